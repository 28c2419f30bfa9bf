import type { Index, SnapshotMeta } from '../core/types.ts';
import type { LogStore } from '../log/log-store.ts';
import type { ReplicatedState } from '../machine/replicated-state.ts';
import type { Runtime } from './runtime.ts';

export interface SnapshotTakerEvents {
  /** It is durable and the newest: the log can be compacted behind it. */
  taken(meta: SnapshotMeta): void;
  failed(error: Error): void;
}

export interface SnapshotCounts {
  readonly taken: number;
  readonly failed: number;
  readonly running: boolean;
  /** How long the last one took; 0: there was none. */
  readonly lastDurationMs: number;
}

/**
 * Writes snapshots of the machine piece by piece between turns: the view is immutable, so the node goes on meanwhile.
 * One at a time.
 */
export class SnapshotTaker {
  readonly #state: ReplicatedState;
  readonly #log: LogStore;
  readonly #runtime: Runtime;
  readonly #events: SnapshotTakerEvents;
  #running: Promise<void> | null = null;
  #cancelled = false;
  /** Index of the last one taken or tried, so that a failure is not repeated in every turn. */
  #lastIndex: Index;
  #taken = 0;
  #failed = 0;
  #lastDurationMs = 0;
  #failure: Error | null = null;

  constructor(
    state: ReplicatedState,
    log: LogStore,
    runtime: Runtime,
    lastIndex: Index,
    events: SnapshotTakerEvents,
  ) {
    this.#state = state;
    this.#log = log;
    this.#runtime = runtime;
    this.#lastIndex = lastIndex;
    this.#events = events;
  }

  get running(): boolean {
    return this.#running !== null;
  }

  get counts(): SnapshotCounts {
    const { running } = this;
    return { taken: this.#taken, failed: this.#failed, running, lastDurationMs: this.#lastDurationMs };
  }

  /** Why the last one could not be taken; null: it could, or there was none. */
  get failure(): Error | null {
    return this.#failure;
  }

  /** Index of the last snapshot taken or tried. */
  get lastIndex(): Index {
    return this.#lastIndex;
  }

  /** A leader's snapshot has taken the place of one of our own. */
  installed(index: Index): void {
    this.#lastIndex = Math.max(this.#lastIndex, index);
  }

  /** Takes a snapshot of the state as it is now. `meta.index` must be what is applied, and durable. */
  start(meta: SnapshotMeta): void {
    if (this.#running !== null) return;
    this.#lastIndex = meta.index;
    const startedMs = this.#runtime.now();
    this.#running = this.#write(meta).then(
      () => {
        this.#running = null;
        this.#taken++;
        this.#failure = null;
        this.#lastDurationMs = this.#runtime.now() - startedMs;
        if (!this.#cancelled) this.#events.taken(meta);
      },
      (error: unknown) => {
        this.#running = null;
        this.#failed++;
        this.#failure = error as Error;
        if (!this.#cancelled) this.#events.failed(error as Error);
      },
    );
  }

  /** Ends what runs and waits for it. */
  async close(): Promise<void> {
    this.#cancelled = true;
    await this.#running;
  }

  async #write(meta: SnapshotMeta): Promise<void> {
    // Taken before anything is awaited: the view must show exactly `meta.index`.
    const view = this.#state.snapshot();
    try {
      const writer = await this.#log.snapshots.create(meta);
      try {
        for (const chunk of view.chunks()) {
          if (this.#cancelled) {
            await writer.abort();
            return;
          }
          await writer.write(chunk);
          await new Promise<void>((resolve) => {
            this.#runtime.defer(resolve);
          });
        }
        await writer.commit();
      } catch (error) {
        await writer.abort();
        throw error;
      }
    } finally {
      view.release();
    }
  }
}
