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
  /** How long to look for a point that a leader confirms. Default 5,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A backup on its way: iterate over it to get the bytes of a backup file (docs/storage.md) from the first to the last.
 * Each piece belongs to whoever takes it. It holds memory until all of them are taken or it is closed.
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
  readonly #requests: Pick<Requests, 'query'>;
  readonly #clusterId: string;
  #running = false;

  constructor(driver: Driver, requests: Pick<Requests, 'query'>, clusterId: string) {
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
      };
      const bytes = this.#bytes(meta, origin, view, close);
      const iterator: AsyncIterator<Uint8Array, void, undefined> = {
        next: () => bytes.next(),
        // A generator that has not begun ends without coming to its `finally`.
        return: async () => {
          const end = await bytes.return();
          close();
          return end;
        },
      };
      return { index, origin, close, [Symbol.asyncIterator]: () => iterator };
    } catch (error) {
      this.#running = false;
      throw error;
    }
  }

  /** Waits until this node has everything that was acknowledged before. */
  async #point({ timeoutMs = 5_000, signal: stop }: BackupOptions): Promise<void> {
    const driver = this.#driver;
    const deadlineMs = driver.now + timeoutMs;
    for (;;) {
      if (stop?.aborted === true)
        throw new CordwoodError('ABORTED', 'the call was aborted', { cause: stop.reason });
      if (driver.stopped) throw new CordwoodError('SHUTTING_DOWN', 'the node is stopping');
      try {
        await readBarrier(this.#requests);
        // A leader's snapshot takes the place of the state: there is none to look at.
        if (!driver.core.installing) return;
        if (driver.now >= deadlineMs)
          throw new CordwoodError('TIMEOUT', 'a snapshot was being installed all the time');
      } catch (error) {
        const again = CordwoodError.is(error) && (error.code === 'NO_LEADER' || error.code === 'BUSY');
        if (!again || driver.now >= deadlineMs) throw error;
      }
      await new Promise<void>((resolve) => {
        driver.options.runtime.timer(RETRY_MS, resolve);
      });
    }
  }

  async *#bytes(
    meta: SnapshotMeta,
    origin: SnapshotOrigin,
    view: SnapshotView,
    close: () => void,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const { runtime } = this.#driver.options;
    try {
      const encoder = new SnapshotEncoder(meta, NO_OWNER, origin);
      yield encoder.header;
      for (const content of view.chunks()) {
        for (const chunk of encoder.add(content)) yield copyOf(chunk);
        // The view is immutable: the node goes on meanwhile.
        await new Promise<void>((resolve) => {
          runtime.defer(resolve);
        });
        if (this.#driver.stopped) throw new CordwoodError('SHUTTING_DOWN', 'the node is stopping');
      }
      for (const rest of encoder.finish().bytes) yield copyOf(rest);
    } finally {
      close();
    }
  }
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
