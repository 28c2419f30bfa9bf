import { CordwoodError } from '../../lib/client/index.ts';
import type { Ledger } from './load.ts';
import { NumberSet, ValueMaker } from './values.ts';

/**
 * Pushes one value each `everyMs`, whatever becomes of the ones before, and remembers when each was made and when it
 * was acknowledged: what a user sees of a fault.
 */
export class SteadyWriter {
  readonly #write: (value: Uint8Array) => Promise<unknown>;
  readonly #everyMs: number;
  readonly #values: ValueMaker;
  readonly #pushed = new NumberSet();
  readonly #madeMs: number[] = [];
  readonly #ackedMs: number[] = [];
  #unknown = 0;
  #refused = 0;
  #stopped = false;
  #running: Promise<void> | null = null;
  #underWay = 0;
  #onIdle: (() => void) | null = null;
  readonly #waiting: (() => void)[] = [];

  /** `write` has taken a copy of the value when it returns; its promise is the acknowledgement. */
  constructor(
    write: (value: Uint8Array) => Promise<unknown>,
    worker: number,
    everyMs: number,
    valueBytes: number,
  ) {
    this.#write = write;
    this.#everyMs = everyMs;
    this.#values = new ValueMaker(worker, valueBytes);
  }

  start(): void {
    this.#stopped = false;
    this.#running = this.#run();
  }

  /** Ends the pushing, for now, and waits for the pushes that are under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    if (this.#underWay > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
  }

  /** Resolves with the next acknowledgement of a push made from now on: milliseconds from now. */
  async nextAck(timeoutMs: number): Promise<number> {
    const first = this.#values.made;
    const sinceMs = performance.now();
    const deadlineMs = sinceMs + timeoutMs;
    while (performance.now() < deadlineMs) {
      let soonest = Infinity;
      for (let number = first; number < this.#values.made; number++) {
        soonest = Math.min(soonest, this.#ackedMs[number] ?? Infinity);
      }
      if (soonest !== Infinity) return soonest - sinceMs;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    throw new Error(`no push was acknowledged within ${timeoutMs} ms`);
  }

  /** Longest time between two acknowledgements, one behind the other, in a stretch of time. */
  longestGapMs(fromMs: number, toMs: number): number {
    const acks = this.#ackedMs.filter((ms) => ms >= fromMs && ms <= toMs).sort((a, b) => a - b);
    let longest = 0;
    let last = fromMs;
    for (const ms of [...acks, toMs]) {
      longest = Math.max(longest, ms - last);
      last = ms;
    }
    return longest;
  }

  get unknown(): number {
    return this.#unknown;
  }

  get refused(): number {
    return this.#refused;
  }

  ledger(worker: number): Ledger {
    return {
      worker,
      made: this.#values.made,
      pushed: this.#pushed,
      unknownPushes: this.#unknown,
      unknownPops: 0,
      refused: this.#refused,
      popped: [],
      faults: [],
    };
  }

  async #run(): Promise<void> {
    const startedMs = performance.now();
    for (let tick = 0; !this.#stopped; tick++) {
      const earlyMs = startedMs + tick * this.#everyMs - performance.now();
      if (earlyMs > 0) await new Promise((resolve) => setTimeout(resolve, earlyMs));
      void this.#push();
    }
  }

  async #push(): Promise<void> {
    const number = this.#values.next();
    this.#madeMs[number] = performance.now();
    this.#underWay++;
    try {
      await this.#write(this.#values.bytes);
      this.#ackedMs[number] = performance.now();
      this.#pushed.add(number);
    } catch (error) {
      if (!CordwoodError.is(error)) throw error;
      if (error.outcome === 'unknown') this.#unknown++;
      else this.#refused++;
    }
    for (const resolve of this.#waiting.splice(0)) resolve();
    if (--this.#underWay === 0) this.#onIdle?.();
  }
}
