// Imported because the global is a getter, which is called each time.
import process from 'node:process';

/**
 * Main thread to log thread without a port: numbers in shared memory, and one word the reader sleeps on. A port costs
 * a structured clone, an event and two system calls for each message (measured: a fifth of all CPU at one push at a
 * time); waking a sleeper costs one.
 *
 * ```
 * words:  | TAIL | HEAD | STARVED | DURABLE | WANTED |   Int32, a cache line each
 * slots:  | length | fields … | length | fields … |     Float64, used round; length counts itself
 * times:  | when DURABLE moved |                        Float64, milliseconds of the clock that all threads share
 * ```
 * TAIL and HEAD count slots and wrap at 2^32. The writer publishes a message by moving TAIL, the reader frees its
 * room by moving HEAD. A message of length 1 stands for one that waits on the port: so both kinds keep one order.
 * DURABLE holds the low 32 bits of the last durable ticket, and is what the main thread waits on. It is woken while
 * WANTED is 1: the one side sets WANTED and then looks at DURABLE, the other moves DURABLE and then looks at WANTED, so
 * one of them sees what the other did.
 */
const TAIL = 0;
const HEAD = 16;
const STARVED = 32;
const DURABLE = 48;
const WANTED = 64;
const WORDS = 80;
const SLOTS = 8192;
const MASK: number = SLOTS - 1;

export interface RingMemory {
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly slots: Float64Array<SharedArrayBuffer>;
  readonly times: Float64Array<SharedArrayBuffer>;
}

export function ringMemory(): RingMemory {
  return {
    words: new Int32Array(new SharedArrayBuffer(WORDS * 4)),
    slots: new Float64Array(new SharedArrayBuffer(SLOTS * 8)),
    times: new Float64Array(new SharedArrayBuffer(8)),
  };
}

/** The main thread's end. */
export class RingWriter {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #slots: Float64Array<SharedArrayBuffer>;
  readonly #times: Float64Array<SharedArrayBuffer>;
  #tail = 0;
  /** Messages that found no room, in order; null stands for one on the port. */
  readonly #backlog: (readonly number[] | null)[] = [];
  #durable = 0;

  constructor(memory: RingMemory) {
    this.#words = memory.words;
    this.#slots = memory.slots;
    this.#times = memory.times;
    this.wanted = true;
  }

  /** Passes `fields` on; null: "the next message is on the port", where it has been put before. */
  write(fields: readonly number[] | null): void {
    if (this.#backlog.length > 0 || !this.#put(fields)) {
      this.#backlog.push(fields);
      Atomics.store(this.#words, STARVED, 1);
      // The reader may have made room, and looked for who is waiting, in between.
      this.refill();
    }
    Atomics.notify(this.#words, TAIL);
  }

  /** There is room again: what has waited goes first. */
  refill(): void {
    let done = 0;
    while (done < this.#backlog.length && this.#put(this.#backlog[done]!)) done++;
    if (done === 0) return;
    this.#backlog.splice(0, done);
    if (this.#backlog.length > 0) Atomics.store(this.#words, STARVED, 1);
    Atomics.notify(this.#words, TAIL);
  }

  /** The last durable ticket. Tickets only grow, and by less than 2^32 between two looks. */
  get durable(): number {
    const low = Atomics.load(this.#words, DURABLE) >>> 0;
    this.#durable += (low - this.#durable) >>> 0;
    return this.#durable;
  }

  /** How long the last durable ticket has been that, in milliseconds. */
  get durableForMs(): number {
    return threadsNow() - this.#times[0]!;
  }

  /** Resolves when another ticket than `ticket` is durable; null: one is already. */
  durableAfter(ticket: number): Promise<unknown> | null {
    const wait = Atomics.waitAsync(this.#words, DURABLE, ticket | 0);
    return wait.async ? wait.value : null;
  }

  /** Whether `durableAfter` ends when there is another ticket, as it does at first; otherwise only `interrupt` ends it. */
  set wanted(wanted: boolean) {
    Atomics.store(this.#words, WANTED, wanted ? 1 : 0);
  }

  /** Ends the wait of `durableAfter`. */
  interrupt(): void {
    Atomics.notify(this.#words, DURABLE);
  }

  #put(fields: readonly number[] | null): boolean {
    const length = fields === null ? 1 : fields.length + 1;
    const used = (this.#tail - (Atomics.load(this.#words, HEAD) >>> 0)) >>> 0;
    if (used + length > SLOTS) return false;
    const slots = this.#slots;
    let at = this.#tail;
    slots[at++ & MASK] = length;
    if (fields !== null) for (let i = 0; i < fields.length; i++) slots[at++ & MASK] = fields[i]!;
    this.#tail = at >>> 0;
    Atomics.store(this.#words, TAIL, this.#tail | 0);
    return true;
  }
}

/** The log thread's end. */
export class RingReader {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #slots: Float64Array<SharedArrayBuffer>;
  readonly #times: Float64Array<SharedArrayBuffer>;
  #head = 0;

  constructor(memory: RingMemory) {
    this.#words = memory.words;
    this.#slots = memory.slots;
    this.#times = memory.times;
  }

  /** The next message: its fields, none for one that waits on the port; null: there is none. */
  read(): number[] | null {
    const tail = Atomics.load(this.#words, TAIL) >>> 0;
    if (tail === this.#head) return null;
    const slots = this.#slots;
    let at = this.#head;
    const fields: number[] = [];
    for (let left = slots[at++ & MASK]! - 1; left > 0; left--) fields.push(slots[at++ & MASK]!);
    this.#head = at >>> 0;
    Atomics.store(this.#words, HEAD, this.#head | 0);
    return fields;
  }

  /** Whether the writer had to keep something back; asked once all is read. */
  get starved(): boolean {
    return Atomics.load(this.#words, STARVED) === 1 && Atomics.exchange(this.#words, STARVED, 0) === 1;
  }

  /** Sleeps until there is a message or the time is over; whether it was the time. */
  sleep(timeoutMs: number): boolean {
    return Atomics.wait(this.#words, TAIL, this.#head | 0, timeoutMs) === 'timed-out';
  }

  durable(ticket: number): void {
    this.#times[0] = threadsNow();
    Atomics.store(this.#words, DURABLE, ticket | 0);
    if (Atomics.load(this.#words, WANTED) === 1) Atomics.notify(this.#words, DURABLE);
  }
}

/** `performance.now()` counts from the start of each thread. */
function threadsNow(): number {
  const [s, ns] = process.hrtime();
  return s * 1000 + ns / 1e6;
}
