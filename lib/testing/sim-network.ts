import type { Random } from '../core/random.ts';
import type { EventQueue } from './event-queue.ts';
import type { Weather } from './weather.ts';

/** A place in the network: a node or a client. Nodes are called by their ids. */
export type Place = number;

/** What stands in the memory of received bytes once they have been dealt with. */
export const OVERWRITTEN = 0xdb;
/** How long it takes to send again what was lost. */
const RESEND_MS = 40;
/** Pauses of a kernel between two attempts to get anything through. No story has the time for cuts that long. */
const MIN_PAUSE_MS = 200;
const MAX_PAUSE_MS = 60_000;
/** Deliveries that are sent without an acknowledgement. */
const WINDOW = 10;

/**
 * Delays, loss and partitions between places. What runs over it are connections (`SimPipe`): they keep the order of
 * their bytes and lose none of them, or end.
 */
export class SimNetwork {
  readonly events: EventQueue;
  readonly random: Random;
  readonly weather: Weather;
  readonly #cut = new Set<string>();
  readonly #pipes = new Set<SimPipe>();

  /** @internal A simulation has one. */
  constructor(events: EventQueue, random: Random, weather: Weather) {
    this.events = events;
    this.random = random;
    this.weather = weather;
  }

  /** Nothing gets from `from` to `to` any more. */
  cut(from: Place, to: Place): void {
    this.#cut.add(`${from}>${to}`);
  }

  heal(): void {
    this.#cut.clear();
  }

  reaches(from: Place, to: Place): boolean {
    return !this.#cut.has(`${from}>${to}`);
  }

  /** Both ways: what a connection needs. */
  connects(a: Place, b: Place): boolean {
    return this.reaches(a, b) && this.reaches(b, a);
  }

  delayMs(): number {
    const { random, weather } = this;
    let delayMs = random.between(weather.minDelayMs, weather.maxDelayMs);
    for (let again = RESEND_MS; random.next() < weather.lossRate && again < 1000; again *= 2)
      delayMs += again;
    return delayMs;
  }

  /** @internal */
  add(pipe: SimPipe): void {
    this.#pipes.add(pipe);
  }

  /** @internal */
  remove(pipe: SimPipe): void {
    this.#pipes.delete(pipe);
  }

  /** @internal All connections there are, each direction by itself. */
  get pipes(): readonly SimPipe[] {
    return [...this.#pipes];
  }

  /** Connections between two places, or of one place, end: a reset, or the death of a process. */
  breakPipes(a: Place, b?: Place): void {
    for (const pipe of this.pipes) {
      const { near, far } = pipe;
      if (b === undefined ? near === a || far === a : (near === a && far === b) || (near === b && far === a))
        pipe.end();
    }
  }
}

/**
 * One direction of a connection from `near` to `far`: in order, each delivery after a delay. What a cut holds up is sent
 * again after a pause, and the pauses of TCP grow up to two minutes: long after a cut is healed the connection may carry
 * nothing. Over a cut the other way a few deliveries get through, until the missing acknowledgements hold up the rest.
 */
export class SimPipe {
  readonly near: Place;
  readonly far: Place;
  readonly #network: SimNetwork;
  readonly #onEnd: () => void;
  #lastMs = 0;
  #ended = false;
  /** What is sent again, in order. */
  #held: (() => void)[] = [];
  #unacknowledged = 0;

  /** `onEnd` is called once, soon after it has ended, unless `end(true)` did it. */
  constructor(network: SimNetwork, near: Place, far: Place, onEnd: () => void) {
    this.near = near;
    this.far = far;
    this.#network = network;
    this.#onEnd = onEnd;
    network.add(this);
  }

  get ended(): boolean {
    return this.#ended;
  }

  deliver(arrive: () => void): void {
    if (this.#ended) return;
    const { events } = this.#network;
    this.#lastMs = Math.max(this.#lastMs, events.nowMs + this.#network.delayMs());
    events.at(this.#lastMs, () => {
      if (this.#ended) return;
      if (this.#held.length === 0 && this.#getsThrough()) arrive();
      else if (this.#held.push(arrive) === 1) this.#sendAgain();
    });
  }

  /** Something is lost, and again when it is sent again: nothing behind it arrives before it does. */
  mute(): void {
    if (this.#held.length > 0) return;
    this.#held.push(() => undefined);
    this.#sendAgain();
  }

  /** What is under way does not arrive. `silent`: the near side knows. */
  end(silent = false): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#held = [];
    this.#network.remove(this);
    if (!silent) this.#network.events.after(this.#network.random.between(0, 3), this.#onEnd);
  }

  #getsThrough(): boolean {
    const { near, far } = this;
    if (!this.#network.reaches(near, far)) return false;
    this.#unacknowledged = this.#network.reaches(far, near) ? 0 : this.#unacknowledged + 1;
    return this.#unacknowledged <= WINDOW;
  }

  #sendAgain(): void {
    const { events, random } = this.#network;
    events.after(random.between(MIN_PAUSE_MS, MAX_PAUSE_MS), () => {
      if (this.#ended) return;
      if (!this.#network.connects(this.near, this.far)) {
        this.#sendAgain();
        return;
      }
      const held = this.#held;
      this.#held = [];
      for (const arrive of held) {
        // An arrival may end it.
        if (this.ended) return;
        arrive();
      }
    });
  }
}
