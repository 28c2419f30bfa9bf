import type { Runtime } from './runtime.ts';

/** The cluster's clock runs no slower and no faster than this against the monotonic one until it is right again. */
const SLOWEST = 0.5;
const FASTEST = 2;

/**
 * What a leader stamps into entries: its wall clock, but never behind what any entry says, and never in steps. Sessions
 * and idempotency keys expire by it: a wall clock that is set forward by a day on a node that runs (by NTP, by hand)
 * would end all of them at once, and a command that is sent again would run twice. So such a step is only caught up
 * with, at twice the speed of time; one back is waited for at half of it.
 *
 * When a process starts its wall clock is believed: what has gone by meanwhile nobody else knows.
 */
export class ClusterClock {
  readonly #runtime: Runtime;
  #timeMs: number;
  /** On the monotonic clock: when `#timeMs` was right. */
  #atMs: number;

  /** `lastTimeMs`: newest time stamp of any entry so far. */
  constructor(runtime: Runtime, lastTimeMs: number) {
    this.#runtime = runtime;
    this.#timeMs = Math.max(lastTimeMs, runtime.wallNow());
    this.#atMs = runtime.now();
  }

  /** An entry of another leader says that it is at least so late. */
  observe(timeMs: number): void {
    this.#advance();
    this.#timeMs = Math.max(this.#timeMs, timeMs);
  }

  /** The time for an entry, in whole milliseconds since 1970. */
  stamp(): number {
    this.#advance();
    return Math.floor(this.#timeMs);
  }

  #advance(): void {
    const nowMs = this.#runtime.now();
    const elapsedMs = Math.max(0, nowMs - this.#atMs);
    const behindMs = this.#runtime.wallNow() - this.#timeMs;
    this.#timeMs += Math.min(Math.max(behindMs, SLOWEST * elapsedMs), FASTEST * elapsedMs);
    this.#atMs = nowMs;
  }
}
