import type { Random } from '../core/random.ts';

/** A machine's monotonic clock: begins anywhere, runs at a speed of its own, stands still with the machine. */
export class CoreClock {
  readonly #rate: number;
  readonly #atStartMs: number;
  /** When it began, by the time of the story, and later by as long as it stood still. */
  #startMs: number;
  /** When it was suspended; NaN: it runs. */
  #suspendedMs = NaN;

  /** `drift`: by which part of one its speed may differ from that of the story. */
  constructor(random: Random, drift: number, nowMs: number) {
    this.#startMs = nowMs;
    this.#atStartMs = random.between(0, 1e6);
    this.#rate = random.between(1 - drift, 1 + drift);
  }

  /** What it shows at `nowMs`. */
  at(nowMs: number): number {
    return this.#atStartMs + (nowMs - this.#startMs) * this.#rate;
  }

  /** When it will show `localMs`, seen from `nowMs`. */
  when(localMs: number, nowMs: number): number {
    const waitMs = localMs - this.at(nowMs);
    // Rounding must not let a timer ring before its time for ever.
    return nowMs + (waitMs > 0 ? Math.max(waitMs / this.#rate, 0.001) : 0);
  }

  suspend(nowMs: number): void {
    this.#suspendedMs = nowMs;
  }

  resume(nowMs: number): void {
    if (!Number.isNaN(this.#suspendedMs)) this.#startMs += nowMs - this.#suspendedMs;
    this.#suspendedMs = NaN;
  }
}
