import { CordwoodError } from '../../protocol/errors.ts';
import type { Index } from '../core/types.ts';
import type { Disk } from './disk.ts';
import { diskError } from './disk-error.ts';
import type { LogEngine } from './log-engine.ts';
import { LogLane } from './log-lane.ts';
import type { LaneStep } from './log-lane.ts';
import { defaultLogSizes } from './log-options.ts';
import type { LogSizes } from './log-options.ts';
import { Scrubber } from './scrubber.ts';
import type { LogDamage, LogEvents, LogSlice, LogStats, LogStore, LogWrite, Recovery } from './log-store.ts';
import { LOG_DIRECTORY, SNAPSHOT_DIRECTORY, openLogFiles } from './open-log-files.ts';
import { RemoteSnapshots, performSnapshotCall } from './snapshot-calls.ts';
import type { SnapshotCall, SnapshotReply } from './snapshot-calls.ts';
import { SnapshotFiles } from './snapshot-files.ts';

/** What is scheduled: a step of the log, a call on snapshots, or the delivery of an answer. */
export type DirectStep = LaneStep | 'snapshot' | 'deliver';

export interface DirectLogOptions {
  readonly disk: Disk;
  readonly path: string;
  readonly events: LogEvents;
  /**
   * Decides when a step happens: calls `run` once, later, never from inside this call. `bytes` is what the step
   * moves. Steps of one store run in the order in which they were scheduled, except snapshot calls, which have an
   * order of their own. Never calling `run` again is a crash.
   */
  readonly schedule: (step: DirectStep, bytes: number, run: () => void) => void;
  /** Random bytes as data, so that a run can be repeated. */
  readonly random: (bytes: Uint8Array) => void;
  readonly sizes?: Partial<LogSizes>;
  /** Checksum that stands in every file; default 0. */
  readonly owner?: number;
  /** Whether a directory without a log gets an empty one; default true. */
  readonly create?: boolean;
}

/**
 * A `LogStore` without a thread: the log of `ThreadLogStore`, run in place over any disk, at the times its owner
 * says. For simulators and tests.
 */
export class DirectLogStore implements LogStore {
  readonly recovery: Recovery;
  readonly snapshots: RemoteSnapshots;
  readonly #options: DirectLogOptions;
  readonly #lane: LogLane;
  readonly #files: SnapshotFiles;
  readonly #reads = new Map<number, { resolve(slice: LogSlice): void; reject(error: Error): void }>();
  readonly #scrubber: Scrubber;
  readonly #marks = new Map<number, { resolve(): void; reject(error: Error): void }>();
  #nextRead = 1;
  #announces = true;
  /** Durable, and nobody has been told; 0: nothing. */
  #unheard = 0;
  #scheduled = false;
  #closed = false;
  readonly #engine: LogEngine;

  /** Recovers the directory, synchronously; throws what the disk throws. */
  constructor(options: DirectLogOptions) {
    this.#options = options;
    const sizes = { ...defaultLogSizes, reserveBytes: 0, ...options.sizes };
    const owner = options.owner ?? 0;
    const { disk, path, random, events } = options;
    const opened = openLogFiles(disk, path, { sizes, owner, random }, options.create ?? true);
    this.recovery = opened.recovery;
    this.#engine = opened.engine;
    this.#files = new SnapshotFiles(disk, `${path}/${SNAPSHOT_DIRECTORY}`, owner, opened.latest);
    this.snapshots = new RemoteSnapshots(
      opened.latest,
      opened.snapshotBytes,
      (call) => this.#snapshot(call),
      (reason) => {
        this.#damaged({ file: `${path}/${SNAPSHOT_DIRECTORY}`, offset: 0, reason });
      },
    );
    this.#scrubber = new Scrubber(disk, opened.engine, `${path}/${SNAPSHOT_DIRECTORY}`, (damage) => {
      this.#damaged(damage);
    });
    this.#lane = new LogLane(
      opened.engine,
      {
        durable: (ticket) => {
          this.#deliver(() => {
            this.#unheard = ticket;
            if (this.#announces) this.poll();
          });
        },
        failed: (error) => {
          this.#deliver(() => {
            events.onFailure(error);
          });
        },
        slice: (id, result) => {
          this.#settle(id, result);
        },
        done: (id, error) => {
          const mark = this.#marks.get(id);
          this.#marks.delete(id);
          if (error === null) mark?.resolve();
          else mark?.reject(error);
        },
        changed: () => {},
      },
      sizes.maxGroupBytes,
    );
  }

  get stats(): LogStats {
    return { ...this.#engine.stats, snapshotBytes: this.snapshots.bytes };
  }

  append(write: LogWrite): void {
    if (this.#closed) return;
    this.#lane.append(write);
    this.#kick();
  }

  poll(): void {
    const ticket = this.#unheard;
    this.#unheard = 0;
    if (ticket !== 0) this.#options.events.onDurable(ticket, 0);
  }

  announce(wanted: boolean): void {
    this.#announces = wanted;
    if (!wanted || this.#unheard === 0) return;
    this.#deliver(() => {
      this.poll();
    });
  }

  read(from: Index, to: Index, maxBytes: number): Promise<LogSlice> {
    if (this.#closed) return Promise.reject(new CordwoodError('CLOSED', 'the log is closed'));
    const id = this.#nextRead++;
    return new Promise((resolve, reject) => {
      this.#reads.set(id, { resolve, reject });
      this.#lane.read(id, from, to, maxBytes);
      this.#kick();
    });
  }

  compact(through: Index): void {
    if (this.#closed) return;
    this.#lane.compact(through);
    this.#kick();
  }

  setQuarantine(reason: string | null): Promise<void> {
    if (this.#closed) return Promise.reject(new CordwoodError('CLOSED', 'the log is closed'));
    const id = this.#nextRead++;
    return new Promise((resolve, reject) => {
      this.#marks.set(id, { resolve, reject });
      this.#lane.setQuarantine(id, reason);
      this.#kick();
    });
  }

  /** Looks at the room on the disk; `onSpace` is told, or `onFailure`. */
  checkSpace(): void {
    if (this.#closed) return;
    const space = this.#lane.checkSpace();
    if (space === null) return;
    this.#deliver(() => {
      this.#options.events.onSpace?.(space);
    });
  }

  /** Checks the next piece of what is at rest; returns how often everything has been. Call it while idle. */
  scrub(): number {
    if (!this.#closed && this.#lane.next === null) this.#scrubber.step();
    return this.#scrubber.rounds;
  }

  /** Does at once what is queued; answers are still delivered as scheduled. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#scrubber.close();
    this.#lane.close();
    this.#files.close();
  }

  #kick(): void {
    if (this.#scheduled || this.#closed) return;
    const next = this.#lane.next;
    if (next === null) return;
    this.#scheduled = true;
    this.#options.schedule(next, this.#lane.nextBytes, () => {
      this.#scheduled = false;
      if (this.#closed) return;
      this.#lane.step();
      this.#kick();
    });
  }

  #deliver(run: () => void): void {
    this.#options.schedule('deliver', 0, run);
  }

  #settle(id: number, result: LogSlice | Error): void {
    const read = this.#reads.get(id);
    this.#reads.delete(id);
    if (!(result instanceof Error)) {
      read?.resolve(result);
      return;
    }
    read?.reject(result);
    if (CordwoodError.is(result) && result.code === 'LOG_DAMAGED') {
      this.#damaged({ file: `${this.#options.path}/${LOG_DIRECTORY}`, offset: 0, reason: result.message });
    }
  }

  #damaged(damage: LogDamage): void {
    this.#deliver(() => {
      this.#options.events.onDamage?.(damage);
    });
  }

  #snapshot(call: SnapshotCall): Promise<SnapshotReply> {
    if (this.#closed) return Promise.reject(new CordwoodError('CLOSED', 'the log is closed'));
    // The chunk may change once this returns, the file gets it later.
    const kept: SnapshotCall =
      call.kind === 'write' ? { ...call, content: Uint8Array.from(call.content) } : call;
    const bytes = kept.kind === 'write' ? kept.content.length : kept.kind === 'read' ? kept.maxBytes : 0;
    return new Promise((resolve, reject) => {
      this.#options.schedule('snapshot', bytes, () => {
        try {
          resolve(performSnapshotCall(this.#files, kept));
        } catch (error) {
          reject(diskError(error));
        }
      });
    });
  }
}
