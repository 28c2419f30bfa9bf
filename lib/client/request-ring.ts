import type { Call } from './call.ts';

const FIRST_SIZE = 256;

/**
 * The calls on one connection by request id. Ids count up and wrap at 2^32; the call of an id lies at `id & mask`.
 * Answers come nearly in order, so the ring stays about as large as the number of requests on the wire.
 */
export class RequestRing {
  #slots: (Call | null)[] = new Array<Call | null>(FIRST_SIZE).fill(null);
  #mask = FIRST_SIZE - 1;
  #nextId: number;
  size = 0;
  /** So many of them are commands. */
  commands = 0;

  constructor(firstId = 1) {
    this.#nextId = firstId >>> 0;
  }

  /** Gives the call its id. */
  add(call: Call): number {
    if (this.size > this.#mask >>> 1) this.#grow();
    // A slot is taken only by a call that has waited for a whole turn of the ring: its id is passed over. So is 0,
    // the id of pings.
    while (this.#nextId === 0 || this.#slots[this.#nextId & this.#mask] !== null) {
      this.#nextId = (this.#nextId + 1) >>> 0;
    }
    const id = this.#nextId;
    this.#slots[id & this.#mask] = call;
    this.#nextId = (id + 1) >>> 0;
    this.size++;
    if (call.isCommand) this.commands++;
    call.requestId = id;
    return id;
  }

  /** The call of an id, taken out; null for an id that is not waited for. */
  take(id: number): Call | null {
    const slot = id & this.#mask;
    const call = this.#slots[slot] ?? null;
    if (call === null || call.requestId !== id) return null;
    this.#slots[slot] = null;
    this.size--;
    if (call.isCommand) this.commands--;
    return call;
  }

  /** All calls, in the order they were made. */
  calls(): Call[] {
    const calls: Call[] = [];
    for (const call of this.#slots) if (call !== null) calls.push(call);
    return calls.sort((a, b) => a.order - b.order);
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Array<Call | null>(old.length * 2).fill(null);
    this.#mask = this.#slots.length - 1;
    // Ids that differ below the old mask differ below the new one: nothing collides.
    for (const call of old) if (call !== null) this.#slots[call.requestId & this.#mask] = call;
  }
}
