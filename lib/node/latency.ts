/** Upper bounds of the classes, milliseconds: a fast disk's sync to a stall that ends a leader. */
const BOUNDS_MS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000] as const;

/** Durations so far, by class. */
export interface LatencyCounts {
  /** Upper bounds of the classes, milliseconds, ascending; one more class has none. */
  readonly boundsMs: readonly number[];
  /** How many fell into each class: one longer than `boundsMs`. */
  readonly counts: readonly number[];
  readonly count: number;
  readonly sumMs: number;
}

/** Counts durations by class: a few comparisons for each, and no memory that grows. */
export class Latency {
  readonly #counts = new Array<number>(BOUNDS_MS.length + 1).fill(0);
  #count = 0;
  #sumMs = 0;

  add(durationMs: number): void {
    let at = 0;
    while (at < BOUNDS_MS.length && durationMs > BOUNDS_MS[at]!) at++;
    this.#counts[at]!++;
    this.#count++;
    this.#sumMs += durationMs;
  }

  /** As it is now. */
  counts(): LatencyCounts {
    return { boundsMs: BOUNDS_MS, counts: [...this.#counts], count: this.#count, sumMs: this.#sumMs };
  }
}
