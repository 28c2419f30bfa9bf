import type { Random } from '../core/random.ts';
import type { Runtime } from '../node/runtime.ts';
import type { EventQueue } from './event-queue.ts';

/** 2026-01-01T00:00:00Z: what wall clocks say when a simulation begins. */
const EPOCH_MS = 1_767_225_600_000;

/**
 * Time and turns of one simulated process. Nothing runs while it stands still; what was due meanwhile runs when it
 * goes on, and nothing runs ever again once it is dead.
 */
export class SimRuntime implements Runtime {
  readonly #events: EventQueue;
  readonly #random: Random;
  readonly #startMs: number;
  readonly #offsetMs: number;
  /** Speed of the clock. */
  readonly #rate: number;
  /** How far the wall clock is off; an operator or NTP may move it. */
  wallOffsetMs = 0;
  #state: 'runs' | 'stands still' | 'dead' = 'runs';
  /** When its machine was suspended; the monotonic clock has stopped since. NaN: it runs. */
  #suspendedMs = NaN;
  /** How long its machine has been suspended altogether, before that. */
  #sleptMs = 0;
  #held: { readonly timer: boolean; readonly run: () => void }[] = [];

  constructor(events: EventQueue, random: Random, drift: number) {
    this.#events = events;
    this.#random = random;
    this.#startMs = events.nowMs;
    this.#offsetMs = random.between(0, 1e6);
    this.#rate = random.between(1 - drift, 1 + drift);
  }

  get dead(): boolean {
    return this.#state === 'dead';
  }

  get paused(): boolean {
    return this.#state === 'stands still';
  }

  now(): number {
    const { nowMs } = this.#events;
    const asleepMs = Number.isNaN(this.#suspendedMs) ? 0 : nowMs - this.#suspendedMs;
    return this.#offsetMs + (nowMs - this.#startMs - this.#sleptMs - asleepMs) * this.#rate;
  }

  /** Driven by the same crystal as the monotonic clock, and going on while the machine is suspended. */
  wallNow(): number {
    return EPOCH_MS + this.wallOffsetMs + this.#startMs + (this.#events.nowMs - this.#startMs) * this.#rate;
  }

  defer(callback: () => void): void {
    this.#events.after(0, () => {
      this.run(callback);
    });
  }

  timer(delayMs: number, callback: () => void): () => void {
    let cancelled = false;
    const dueMs = this.now() + delayMs;
    const run = (): void => {
      if (cancelled) return;
      // A machine that was suspended meanwhile does not know that the time is over.
      if (dueMs - this.now() > 0.001) arm();
      else callback();
    };
    // As timers of the system do, it may ring late and never early.
    const arm = (): void => {
      const realMs = Math.max(dueMs - this.now(), 0.001) / this.#rate + this.#random.next() * 0.5;
      this.#events.after(realMs, () => {
        this.#enter(run, true);
      });
    };
    arm();
    return () => {
      cancelled = true;
    };
  }

  random(): number {
    return Math.floor(this.#random.next() * 4294967296);
  }

  /** Runs `action` as the process: at once, when it goes on, or never. */
  run(action: () => void): void {
    this.#enter(action, false);
  }

  /** With `suspend` the whole machine stands still, and its monotonic clock with it. */
  pause(suspend = false): void {
    if (this.#state !== 'runs') return;
    this.#state = 'stands still';
    if (suspend) this.#suspendedMs = this.#events.nowMs;
  }

  /** Sockets are read before timers ring, as an event loop does. */
  resume(): void {
    if (this.#state !== 'stands still') return;
    this.#state = 'runs';
    if (!Number.isNaN(this.#suspendedMs)) this.#sleptMs += this.#events.nowMs - this.#suspendedMs;
    this.#suspendedMs = NaN;
    const held = this.#held;
    this.#held = [];
    for (const late of [false, true]) {
      for (const { timer, run } of held)
        if (timer === late) this.#events.after(0, () => this.#enter(run, timer));
    }
  }

  kill(): void {
    this.#state = 'dead';
    this.#held = [];
  }

  #enter(run: () => void, timer: boolean): void {
    if (this.#state === 'runs') run();
    else if (this.#state === 'stands still') this.#held.push({ timer, run });
  }
}
