import type { Runtime } from './runtime.ts';

/** The timer that brings a node's turns when nothing else does. */
export class TurnTimer {
  readonly #runtime: Runtime;
  readonly #fired: (now: number) => boolean;
  readonly #wake: () => void;
  #cancelTimer: (() => void) | null = null;
  /** When the timer fires; never later than a turn is due. */
  #firesAtMs = Infinity;
  /** When a turn is due if nothing happens before. */
  #dueMs = Infinity;

  /** `fired` is told the time at which the timer does, and says whether that alone is reason for a turn. */
  constructor(runtime: Runtime, fired: (now: number) => boolean, wake: () => void) {
    this.#runtime = runtime;
    this.#fired = fired;
    this.#wake = wake;
  }

  /** By how much the timer is late, which it is only where the process itself stood still. Below 0: it is not. */
  lateMs(now: number): number {
    return now - this.#firesAtMs;
  }

  /**
   * A timer that is early is left alone: setting one anew in every turn would cost more. When it fires it is set to
   * what is due by then, without a turn: an idle follower would take half of its turns for that.
   */
  arm(dueMs: number): void {
    this.#dueMs = dueMs;
    if (this.#firesAtMs <= dueMs) return;
    this.#cancelTimer?.();
    this.#firesAtMs = dueMs;
    this.#cancelTimer = this.#runtime.timer(Math.max(Math.ceil(dueMs - this.#runtime.now()), 0), () => {
      const now = this.#runtime.now();
      const turnWanted = this.#fired(now);
      this.#firesAtMs = Infinity;
      if (!turnWanted && now < this.#dueMs) this.arm(this.#dueMs);
      else this.#wake();
    });
  }

  cancel(): void {
    this.#cancelTimer?.();
  }
}
