import { CordwoodError } from '../../protocol/errors.ts';
import type { LogStore, SnapshotStore } from '../log/log-store.ts';
import type { ReplicatedState } from '../machine/replicated-state.ts';
import { readAll } from './snapshots.ts';
import type { NodeOptions } from './types.ts';

/** Gives a starting node the state of its newest snapshot, if it can while its log is still being read. */
export class Restoration {
  readonly state: ReplicatedState;
  #touched = false;
  readonly #onProgress: NonNullable<NodeOptions['onProgress']>;
  #running: Promise<void> | null = null;
  #logBytes = 0;
  #restoredBytes = 0;
  #totalBytes = 0;

  constructor(state: ReplicatedState, onProgress: NodeOptions['onProgress']) {
    this.state = state;
    this.#onProgress = onProgress ?? (() => undefined);
  }

  /** Whether the machine may have been given a state. */
  get touched(): boolean {
    return this.#touched;
  }

  /** What the log tells of its reading. */
  readonly readLog: NonNullable<NodeOptions['onProgress']> = ({ doneBytes, totalBytes }) => {
    this.#logBytes = doneBytes;
    this.#totalBytes = totalBytes;
    this.#report();
  };

  /** The snapshots are known. */
  begin(snapshots: SnapshotStore): void {
    if (this.#running !== null) return;
    this.#running = this.#restore(snapshots);
    // Whoever waits for the end hears of a failure; if the log cannot be opened nobody does.
    this.#running.catch(() => undefined);
  }

  /** Resolves when the state is that of the newest snapshot. The log is open. */
  async end({ snapshots, stats }: LogStore): Promise<void> {
    this.begin(snapshots);
    // Both have been read once by now, to see whether they are whole.
    this.#logBytes = stats.logBytes + stats.snapshotBytes;
    this.#totalBytes = this.#logBytes + stats.snapshotBytes;
    await this.#running;
  }

  async #restore(snapshots: SnapshotStore): Promise<void> {
    const { latest } = snapshots;
    if (latest === null) return;
    this.#touched = true;
    const reader = await snapshots.open(latest);
    try {
      await this.state.restore(this.#watched(readAll(reader)));
    } finally {
      await reader.close();
    }
    if (this.state.appliedIndex !== latest.meta.index) {
      const text = `it is named for index ${latest.meta.index} and holds the state at ${this.state.appliedIndex}`;
      throw new CordwoodError('SNAPSHOT_DAMAGED', `snapshot: ${text}`);
    }
  }

  async *#watched(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of pieces) {
      yield piece;
      this.#restoredBytes += piece.length;
      this.#report();
    }
  }

  #report(): void {
    if (this.#totalBytes === 0) return;
    const doneBytes = Math.min(this.#logBytes + this.#restoredBytes, this.#totalBytes);
    this.#onProgress({ doneBytes, totalBytes: this.#totalBytes });
  }
}
