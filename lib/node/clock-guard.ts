import type { Runtime } from './runtime.ts';

/**
 * Notices when the monotonic clock cannot be trusted: it stops while a virtual machine is suspended, the wall clock
 * does not. Whoever counted on an hour not having passed must start anew. A step of the wall clock (NTP, an operator)
 * looks the same from here and costs no more than that.
 */
export class ClockGuard {
  readonly #runtime: Runtime;
  readonly #toleranceMs: number;
  readonly #anchorMs: number;
  #skewMs: number;
  #anchoredMs: number;

  /** Divergence beyond `toleranceMs` within `anchorMs` is noticed. */
  constructor(runtime: Runtime, toleranceMs: number, anchorMs: number) {
    this.#runtime = runtime;
    this.#toleranceMs = toleranceMs;
    this.#anchorMs = anchorMs;
    this.#anchoredMs = runtime.now();
    this.#skewMs = runtime.wallNow() - this.#anchoredMs;
  }

  /** Whether the clocks have gone the same way since the last anchor. After `false` it starts from here. */
  check(nowMs: number): boolean {
    const skew = this.#runtime.wallNow() - nowMs;
    const sound = Math.abs(skew - this.#skewMs) <= this.#toleranceMs;
    // Not at every check: many small steps would go unnoticed.
    if (!sound || nowMs - this.#anchoredMs >= this.#anchorMs) {
      this.#skewMs = skew;
      this.#anchoredMs = nowMs;
    }
    return sound;
  }
}
