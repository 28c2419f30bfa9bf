import { copyOf } from '../../protocol/byte-writer.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import type { SnapshotMeta } from '../core/types.ts';
import { SnapshotEncoder } from '../log/snapshot-encoder.ts';
import type { SnapshotOrigin } from '../log/snapshot-format.ts';
import type { ReplicatedState } from '../machine/replicated-state.ts';
import type { SnapshotView } from '../machine/state-machine.ts';
import { checkOptions, signal, timeMs, type Rules } from './check-options.ts';
import type { Driver } from './driver.ts';
import { readBarrier } from './read-barrier.ts';
import type { Requests } from './types.ts';

export interface BackupOptions {
  /** How long to look for a point that a leader confirms, and to get there. Default 5,000. */
  readonly timeoutMs?: number;
  /** Ends the backup, also while it is read. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * A backup on its way: iterate over it to get the bytes of a backup file (docs/storage.md) from the first to the last.
 * Each piece belongs to whoever takes it. It can be read once, and holds memory until all pieces are taken or it is closed.
 */
export interface Backup extends AsyncIterable<Uint8Array> {
  /** The state is that behind this entry: everything acknowledged before the backup was asked for is in it. */
  readonly index: number;
  readonly origin: SnapshotOrigin;
  /** Ends it. Idempotent. */
  close(): void;
}

const RULES: Rules<BackupOptions> = { timeoutMs: timeMs, signal };

/** What stands in a file that belongs to no directory. */
const NO_OWNER = 0;
/** Between two tries while no leader confirms the point. */
const RETRY_MS = 50;

/** Makes backups of a node's state, one at a time: while one is taken, whatever changes is kept twice. */
export class Backups {
  readonly #driver: Driver;
  readonly #requests: Pick<Requests, 'query' | 'detach'>;
  readonly #clusterId: string;
  #running = false;

  constructor(driver: Driver, requests: Pick<Requests, 'query' | 'detach'>, clusterId: string) {
    this.#driver = driver;
    this.#requests = requests;
    this.#clusterId = clusterId;
  }

  /** See `RaftNode.backup`. */
  async open(options: BackupOptions = {}): Promise<Backup> {
    checkOptions(options, RULES);
    if (this.#running) throw new CordwoodError('BUSY', 'this node makes a backup already');
    this.#running = true;
    try {
      await this.#point(options);
      const { core, state, options: settings } = this.#driver;
      // In one turn with what was just found to be up to date: the view shows exactly `index`.
      const index = state.appliedIndex;
      const base = core.configAt(index);
      const meta = { index, term: core.termAt(index), config: base.config, configIndex: base.index };
      const { name: machine, version: machineVersion } = state.machine;
      const origin: SnapshotOrigin = {
        clusterId: this.#clusterId,
        nodeId: settings.id,
        createdMs: settings.runtime.wallNow(),
        machine,
        machineVersion,
      };
      const view = viewOf(state);
      let open = true;
      const close = (): void => {
        if (!open) return;
        open = false;
        view.release();
        this.#running = false;
        options.signal?.removeEventListener('abort', close);
      };
      // Whoever gave up may never ask for the next piece.
      options.signal?.addEventListener('abort', close);
      const check = (): void => {
        checkSignal(options.signal);
        if (!open) throw new CordwoodError('CLOSED', 'the backup is closed');
        if (this.#driver.stopped) throw new CordwoodError('SHUTTING_DOWN', 'the node is stopping');
      };
      const bytes = this.#bytes(meta, origin, view, check);
      let begun = false;
      const iterator: AsyncIterator<Uint8Array, void, undefined> = {
        next: async () => {
          try {
            const piece = await bytes.next();
            if (piece.done === true) close();
            return piece;
          } catch (error) {
            close();
            throw error;
          }
        },
        // A generator that has not begun ends without coming to its `finally`.
        return: async () => {
          const end = await bytes.return();
          close();
          return end;
        },
      };
      const iterate = (): AsyncIterator<Uint8Array, void, undefined> => {
        // The second would find nothing left, and write an empty file.
        if (begun) throw new CordwoodError('CLOSED', 'a backup can be read once');
        begun = true;
        return iterator;
      };
      return { index, origin, close, [Symbol.asyncIterator]: iterate };
    } catch (error) {
      this.#running = false;
      throw error;
    }
  }

  /** Waits until this node has everything that was acknowledged before. */
  async #point({ timeoutMs = 5_000, signal: stop }: BackupOptions): Promise<void> {
    const driver = this.#driver;
    const { runtime } = driver.options;
    const deadlineMs = driver.now + timeoutMs;
    for (;;) {
      checkSignal(stop);
      if (driver.stopped) throw new CordwoodError('SHUTTING_DOWN', 'the node is stopping');
      try {
        await readBarrier(this.#requests, runtime, { deadlineMs, signal: stop });
        // A leader's snapshot takes the place of the state: there is none to look at.
        if (!driver.core.installing) return;
        if (driver.now >= deadlineMs)
          throw new CordwoodError('TIMEOUT', 'a snapshot was being installed all the time');
      } catch (error) {
        const again = CordwoodError.is(error) && (error.code === 'NO_LEADER' || error.code === 'BUSY');
        if (!again || driver.now >= deadlineMs) throw error;
      }
      await new Promise<void>((resolve) => {
        runtime.timer(RETRY_MS, resolve);
      });
    }
  }

  async *#bytes(
    meta: SnapshotMeta,
    origin: SnapshotOrigin,
    view: SnapshotView,
    check: () => void,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const { runtime } = this.#driver.options;
    check();
    const encoder = new SnapshotEncoder(meta, NO_OWNER, origin);
    yield encoder.header;
    check();
    for (const content of view.chunks()) {
      for (const chunk of encoder.add(content)) {
        yield copyOf(chunk);
        check();
      }
      // The view is immutable: the node goes on meanwhile.
      await new Promise<void>((resolve) => {
        runtime.defer(resolve);
      });
      check();
    }
    for (const rest of encoder.finish().bytes) yield copyOf(rest);
  }
}

function checkSignal(stop: AbortSignal | undefined): void {
  if (stop?.aborted !== true) return;
  throw new CordwoodError('ABORTED', 'the call was aborted', { cause: stop.reason });
}

/** A machine may hold what it cannot save. */
function viewOf(state: ReplicatedState): SnapshotView {
  try {
    return state.snapshot();
  } catch (cause) {
    if (CordwoodError.is(cause)) throw cause;
    const { name } = state.machine;
    throw new CordwoodError('MACHINE_FAILED', `machine "${name}" cannot be saved: ${String(cause)}`, {
      cause,
    });
  }
}
