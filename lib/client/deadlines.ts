import type { Call } from './call.ts';

const SLOTS = 256;
export const TICK_MS = 20;

/**
 * Deadlines of all calls at the cost of one timer: a wheel of 256 slots of 20 ms. A call lies in the slot of its
 * deadline; one that is more than a turn of the wheel away is looked at once each turn and stays.
 */
export class Deadlines {
  readonly #slots: (Call | null)[] = Array.from({ length: SLOTS }, () => null);
  readonly #onExpired: (call: Call) => void;
  #lastTick: number;
  size = 0;

  constructor(nowMs: number, onExpired: (call: Call) => void) {
    this.#lastTick = Math.floor(nowMs / TICK_MS);
    this.#onExpired = onExpired;
  }

  add(call: Call, deadline: number): void {
    // Rounded up: a call may end a tick late, never early. Not behind the hand, which would cost a whole turn.
    const slot = Math.max(Math.ceil(deadline / TICK_MS), this.#lastTick + 1) % SLOTS;
    const head = this.#slots[slot] ?? null;
    call.deadline = deadline;
    call.wheelSlot = slot;
    call.wheelPrevious = null;
    call.wheelNext = head;
    if (head !== null) head.wheelPrevious = call;
    this.#slots[slot] = call;
    this.size++;
  }

  remove(call: Call): void {
    const slot = call.wheelSlot;
    if (slot === -1) return;
    const { wheelPrevious: previous, wheelNext: next } = call;
    if (previous === null) this.#slots[slot] = next;
    else previous.wheelNext = next;
    if (next !== null) next.wheelPrevious = previous;
    call.wheelPrevious = call.wheelNext = null;
    call.wheelSlot = -1;
    this.size--;
  }

  /** Gives every call whose deadline has passed to `onExpired`, which must remove it. */
  advance(nowMs: number): void {
    const tick = Math.floor(nowMs / TICK_MS);
    const first = Math.max(this.#lastTick + 1, tick - SLOTS + 1);
    if (tick <= this.#lastTick) return;
    this.#lastTick = tick;
    for (let t = first; t <= tick && this.size > 0; t++) {
      let call = this.#slots[t % SLOTS] ?? null;
      while (call !== null) {
        // Settling runs no code of the caller (promises settle later), so the list changes only by this removal.
        const next: Call | null = call.wheelNext;
        if (call.deadline <= nowMs) this.#onExpired(call);
        call = next;
      }
    }
  }
}
