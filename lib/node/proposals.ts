import type { Index } from '../core/types.ts';
import { detachRuns, type Run } from './batcher.ts';
import { Latency } from './latency.ts';
import type { Sink } from './sink.ts';

const nobody: readonly Run[] = [];

/** Batches in the log whose clients wait for the answer: by index, on the leader that proposed them. */
export class Proposals {
  /** How long batches took from here until they were committed. */
  readonly latency: Latency = new Latency();
  /** Not applied yet, the oldest first. */
  #waiting: { readonly index: Index; readonly runs: readonly Run[] }[] = [];
  /** Not committed yet, the oldest first. */
  #inFlight: { readonly index: Index; readonly bytes: number; readonly sinceMs: number }[] = [];
  #bytes = 0;

  /** Proposed and not committed. */
  get inFlight(): number {
    return this.#inFlight.length;
  }

  get inFlightBytes(): number {
    return this.#bytes;
  }

  /** When the oldest uncommitted batch was proposed. */
  get oldestMs(): number {
    return this.#inFlight[0]?.sinceMs ?? Infinity;
  }

  add(index: Index, runs: readonly Run[], bytes: number, nowMs: number): void {
    this.#waiting.push({ index, runs });
    this.#inFlight.push({ index, bytes, sinceMs: nowMs });
    this.#bytes += bytes;
  }

  /** Everything up to `index` is committed: there is room in the pipeline. */
  committed(index: Index, nowMs: number): void {
    while (this.#inFlight.length > 0 && this.#inFlight[0]!.index <= index) {
      const { bytes, sinceMs } = this.#inFlight.shift()!;
      this.#bytes -= bytes;
      this.latency.add(nowMs - sinceMs);
    }
  }

  /** The runs of the entry at `index`, which is being applied; they are forgotten. */
  take(index: Index): readonly Run[] {
    while (this.#waiting.length > 0 && this.#waiting[0]!.index <= index) {
      const oldest = this.#waiting.shift()!;
      if (oldest.index === index) return oldest.runs;
    }
    return nobody;
  }

  /** Leadership is lost: hands over what is left. Whether those entries will be committed nobody here can say. */
  takeAll(): readonly { readonly index: Index; readonly runs: readonly Run[] }[] {
    const all = this.#waiting;
    this.#waiting = [];
    this.#inFlight = [];
    this.#bytes = 0;
    return all;
  }

  detach(sink: Sink): void {
    for (const { runs } of this.#waiting) detachRuns(runs, sink);
  }
}
