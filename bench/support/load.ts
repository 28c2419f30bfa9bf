import { Client, CordwoodError } from '../../lib/client/index.ts';
import { Histogram } from './histogram.ts';
import { NumberSet, numberOf, ValueMaker, workerOf } from './values.ts';

export const Operations = ['push', 'pop', 'mixed', 'top'] as const;
export type Operation = (typeof Operations)[number];

export interface LoadJob {
  readonly operation: Operation;
  readonly stack: string;
  /** Above 1: the calls go round so many stacks, see `stackNames`. */
  readonly stacks?: number;
  /** Calls under way at any time, over all connections together; with a rate, at most. */
  readonly outstanding: number;
  readonly valueBytes: number;
  /** Calls a second, made when they are due whether or not earlier ones have ended; 0: each end begins the next. */
  readonly ratePerS: number;
  readonly warmMs: number;
  readonly measureMs: number;
}

/** What a load knows of the values it pushed and popped. Crosses process borders as it is. */
export interface Ledger {
  readonly worker: number;
  readonly made: number;
  /** Numbers of the pushes that were acknowledged: bits and how many. */
  readonly pushed: NumberSetParts;
  /** Pushes and pops whose outcome is unknown, and such as certainly had no effect. */
  readonly unknownPushes: number;
  readonly unknownPops: number;
  readonly refused: number;
  /** Values popped, by the worker that had pushed them. */
  readonly popped: readonly (readonly [worker: number, numbers: NumberSetParts])[];
  /** What no correct cluster answers: values never pushed, or popped twice. */
  readonly faults: readonly string[];
}

export interface NumberSetParts {
  readonly bits: Uint32Array;
  readonly size: number;
}

export interface LoadResult {
  /** Calls that ended well within the measured time. */
  readonly operations: number;
  readonly elapsedMs: number;
  readonly latencies: Float64Array;
  readonly maxMs: number;
  /** Of this process, in the measured time. */
  readonly cpuMs: number;
  readonly peakRssBytes: number;
  /** Due calls that were not made because too many were under way; only with a rate. */
  readonly missed: number;
  readonly ledger: Ledger;
  /** The last error, if there were any. */
  readonly error: string;
}

export interface LoadEvents {
  /** The measured time begins and ends. */
  begin(): void;
  end(): void;
}

/** A timer of a millisecond fires up to so much late without anything being wrong. */
const TIMER_SLACK_MS = 1.5;
/** Between a failed call and the next try of the same slot. */
const PAUSE_MS = 2;

/**
 * Loads a cluster with calls of `clients` for a while and keeps account of each value. All values are distinct.
 *
 * In a closed loop each of `outstanding` slots is a user who makes the next call when the last has ended. At a fixed
 * rate, latency counts from when a call was due, so that a stall shows in every call it delays.
 */
export async function runLoad(
  clients: readonly Client[],
  worker: number,
  job: LoadJob,
  events: LoadEvents,
): Promise<LoadResult> {
  const load = new Load(clients, worker, job);
  const finished = job.ratePerS > 0 ? load.runOpen() : load.runClosed();
  await delay(job.warmMs);
  events.begin();
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  load.measuring = true;
  await delay(job.measureMs);
  load.measuring = false;
  const elapsedMs = performance.now() - startedMs;
  const { user, system } = process.cpuUsage(cpu);
  events.end();
  load.stopped = true;
  await finished;
  return {
    operations: load.operations,
    elapsedMs,
    latencies: load.latencies.counts,
    maxMs: load.latencies.maxMs,
    cpuMs: (user + system) / 1000,
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
    missed: load.missed,
    ledger: load.ledger(),
    error: load.error,
  };
}

class Load {
  readonly latencies = new Histogram();
  measuring = false;
  stopped = false;
  operations = 0;
  missed = 0;
  error = '';
  readonly #clients: readonly Client[];
  readonly #job: LoadJob;
  readonly #worker: number;
  readonly #values: ValueMaker;
  readonly #stacks: readonly string[];
  #nextStack = 0;
  readonly #pushed = new NumberSet();
  readonly #popped = new Map<number, NumberSet>();
  readonly #faults: string[] = [];
  #unknownPushes = 0;
  #unknownPops = 0;
  #refused = 0;
  #underWay = 0;
  /** See `#turnNow`. */
  #nowMs = 0;
  #nowIsOld = true;
  readonly #ageNow = (): void => {
    this.#nowIsOld = true;
  };

  constructor(clients: readonly Client[], worker: number, job: LoadJob) {
    this.#clients = clients;
    this.#job = job;
    this.#worker = worker;
    this.#values = new ValueMaker(worker, job.valueBytes);
    this.#stacks = stackNames(job.stack, job.stacks ?? 1);
  }

  async runClosed(): Promise<void> {
    const slots: Promise<void>[] = [];
    for (let i = 0; i < this.#job.outstanding; i++) {
      slots.push(this.#slot(this.#clients[i % this.#clients.length]!, i));
    }
    await Promise.all(slots);
  }

  /** Calls fall due in bursts, once a millisecond. */
  async runOpen(): Promise<void> {
    const { ratePerS, outstanding } = this.#job;
    let onIdle: (() => void) | null = null;
    const ended = (): void => {
      if (--this.#underWay === 0) onIdle?.();
    };
    const startedMs = performance.now();
    let made = 0;
    for (let tick = 1; !this.stopped; tick++) {
      const dueMs = startedMs + tick;
      const earlyMs = dueMs - performance.now();
      if (earlyMs > 0) await delay(earlyMs);
      const sinceMs = Math.min(performance.now(), dueMs + TIMER_SLACK_MS);
      for (const target = Math.floor((tick * ratePerS) / 1000); made < target; made++) {
        if (this.#underWay >= outstanding) {
          this.missed++;
          continue;
        }
        this.#underWay++;
        void this.#single(this.#clients[made % this.#clients.length]!, this.#pushesAt(made), sinceMs).then(
          ended,
        );
      }
    }
    if (this.#underWay > 0) await new Promise<void>((resolve) => (onIdle = resolve));
  }

  ledger(): Ledger {
    return {
      worker: this.#worker,
      made: this.#values.made,
      pushed: this.#pushed,
      unknownPushes: this.#unknownPushes,
      unknownPops: this.#unknownPops,
      refused: this.#refused,
      popped: [...this.#popped],
      faults: this.#faults,
    };
  }

  async #slot(client: Client, slot: number): Promise<void> {
    let sinceMs = this.#turnNow();
    for (let turn = slot; !this.stopped; turn++) {
      const pushes = this.#pushesAt(turn);
      const number = pushes ? this.#values.next() : 0;
      try {
        this.#ended(pushes, number, await this.#made(client, pushes));
      } catch (error) {
        this.#failed(pushes, error);
        await delay(PAUSE_MS);
        sinceMs = this.#turnNow();
        continue;
      }
      const nowMs = this.#turnNow();
      if (this.measuring) this.#count(nowMs - sinceMs);
      sinceMs = nowMs;
    }
  }

  async #single(client: Client, pushes: boolean, sinceMs: number): Promise<void> {
    const number = pushes ? this.#values.next() : 0;
    try {
      this.#ended(pushes, number, await this.#made(client, pushes));
      if (this.measuring) this.#count(this.#turnNow() - sinceMs);
    } catch (error) {
      this.#failed(pushes, error);
    }
  }

  /**
   * The clock, read once in a turn of the event loop, as the loads of the peers do: answers that come together have
   * come at the same time, and reading it for each is a twentieth of a client's CPU.
   */
  #turnNow(): number {
    if (this.#nowIsOld) {
      this.#nowIsOld = false;
      this.#nowMs = performance.now();
      setImmediate(this.#ageNow);
    }
    return this.#nowMs;
  }

  #pushesAt(turn: number): boolean {
    const { operation } = this.#job;
    return operation === 'push' || (operation === 'mixed' && turn % 2 === 0);
  }

  #made(client: Client, pushes: boolean): Promise<unknown> {
    const { operation } = this.#job;
    const stack = this.#stacks[this.#nextStack]!;
    if (++this.#nextStack === this.#stacks.length) this.#nextStack = 0;
    if (pushes) return client.push(stack, this.#values.bytes);
    return operation === 'top' ? client.top(stack) : client.pop(stack);
  }

  #ended(pushes: boolean, number: number, value: unknown): void {
    if (pushes) this.#pushed.add(number);
    else if (this.#job.operation === 'top') this.#check(value);
    else this.#take(value);
  }

  #failed(pushes: boolean, error: unknown): void {
    if (!CordwoodError.is(error)) throw error;
    this.error = `${error.code}: ${error.message}`;
    if (error.outcome !== 'unknown') this.#refused++;
    else if (pushes) this.#unknownPushes++;
    else if (this.#job.operation !== 'top') this.#unknownPops++;
  }

  #count(ms: number): void {
    this.operations++;
    this.latencies.record(ms);
  }

  #check(value: unknown): number {
    if (value instanceof Uint8Array && value.length === this.#job.valueBytes) {
      const number = numberOf(value);
      if (number >= 0) return number;
    }
    this.#faults.push('an answer is no value that was pushed');
    return -1;
  }

  #take(value: unknown): void {
    // Nothing on the stack: right for pops that overtake pushes.
    if (value === undefined) return;
    const number = this.#check(value);
    if (number < 0) return;
    const worker = workerOf(value as Uint8Array);
    let numbers = this.#popped.get(worker);
    if (numbers === undefined) this.#popped.set(worker, (numbers = new NumberSet()));
    if (!numbers.add(number)) this.#faults.push(`value ${worker}/${number} was popped twice`);
  }
}

/** The stacks a load goes round. */
export function stackNames(stack: string, count: number): string[] {
  return count === 1 ? [stack] : Array.from({ length: count }, (_, i) => `${stack}-${i}`);
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
