import type { ErrorCode } from '../../protocol/errors.ts';
import { retryDelayMs } from './answer-policy.ts';
import type { Call } from './call.ts';
import { FrameStore } from './frame-store.ts';

export interface LaneNature {
  /** Its calls are few and others wait for them: no limit applies. */
  readonly urgent?: boolean;
  /** Where one of its calls finds no leader none would. */
  readonly needsLeader?: boolean;
  /** After a refusal one call at a time is sent, until one is accepted or there is a new leader. Default true. */
  readonly probes?: boolean;
}

/**
 * Calls that wait to be sent, in the order they were made; a call that must be sent again returns to its place.
 *
 * What is refused for different reasons has lanes of its own: behind a read that waits for a leader a question that any
 * node answers would end with `NO_LEADER`, too.
 */
export class Lane {
  /** Frames of a lane lie together: a burst of commands is one write even if reads were made in between. */
  readonly frames: FrameStore = new FrameStore();
  readonly urgent: boolean;
  readonly needsLeader: boolean;
  readonly probes: boolean;
  /** What one of its calls counts for those who wait until calls have ended: none of a caller's is urgent. */
  readonly weight: 0 | 1;
  length = 0;
  head: Call | null = null;
  #tail: Call | null = null;
  /** The call returned last: calls of a lost connection return in order, so the next one belongs behind it. */
  #lastReturned: Call | null = null;

  /** Nothing of the lane is sent before this time, because the last try was refused. */
  holdUntil = 0;
  /** The last try was refused, and there is no new leader since. */
  probing = false;
  /** The one call on the wire while `probing`, if the lane `probes`. */
  probe: Call | null = null;
  /** Why the last try was refused; null after one that was not. */
  lastRefusal: ErrorCode | null = null;
  #refusals = 0;

  constructor({ urgent = false, needsLeader = false, probes = true }: LaneNature = {}) {
    this.urgent = urgent;
    this.weight = urgent ? 0 : 1;
    this.needsLeader = needsLeader;
    this.probes = probes;
  }

  append(call: Call): void {
    this.#insertAfter(this.#tail, call);
  }

  /** Puts a call that was on the wire back to its place. */
  return(call: Call): void {
    let place = this.#lastReturned;
    if (place === null || place.order > call.order) place = null;
    let next = place === null ? this.head : place.queueNext;
    while (next !== null && next.order < call.order) {
      place = next;
      next = next.queueNext;
    }
    this.#insertAfter(place, call);
    this.#lastReturned = call;
  }

  remove(call: Call): void {
    if (!call.queued) return;
    const { queuePrevious: previous, queueNext: next } = call;
    if (previous === null) this.head = next;
    else previous.queueNext = next;
    if (next === null) this.#tail = previous;
    else next.queuePrevious = previous;
    if (this.#lastReturned === call) this.#lastReturned = previous;
    call.queuePrevious = call.queueNext = null;
    call.queued = false;
    this.length--;
  }

  /** A call was refused: the lane waits before the next try. The refusals of one burst count as one. */
  refused(status: number, code: ErrorCode | null, nowMs: number, random: number): void {
    this.lastRefusal = code;
    this.probing = true;
    if (this.holdUntil > nowMs) return;
    this.holdUntil = nowMs + retryDelayMs(status, ++this.#refusals, random);
  }

  /** A call was answered by the machine. */
  accepted(): void {
    if (this.#refusals !== 0) this.clearHold();
  }

  /** Something has changed that makes a refusal unlikely. */
  clearHold(): void {
    this.holdUntil = 0;
    this.probing = false;
    this.probe = null;
    this.lastRefusal = null;
    this.#refusals = 0;
  }

  #insertAfter(previous: Call | null, call: Call): void {
    const next = previous === null ? this.head : previous.queueNext;
    call.queuePrevious = previous;
    call.queueNext = next;
    if (previous === null) this.head = call;
    else previous.queueNext = call;
    if (next === null) this.#tail = call;
    else next.queuePrevious = call;
    call.queued = true;
    this.length++;
  }
}
