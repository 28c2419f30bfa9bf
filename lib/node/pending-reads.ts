import { ByteWriter } from '../../protocol/byte-writer.ts';
import { Status } from '../../protocol/constants.ts';
import type { Index } from '../core/types.ts';
import type { ReplicatedState } from '../machine/replicated-state.ts';
import type { Replies } from './replies.ts';
import type { Runtime } from './runtime.ts';
import type { Sink } from './sink.ts';
import { Tokens } from './tokens.ts';

/** Answered in one turn at most, so that heartbeats and requests are never far behind. */
const MAX_TURN_BYTES = 8 << 20;
/** Answers for one sink beyond this are passed on before there are more. */
const SPILL_BYTES = 1 << 20;

interface ReadGroup {
  readonly token: number;
  readonly frames: ByteWriter;
  /** Of `frames`, what is counted: without the queries of sinks that are gone. */
  bytes: number;
  /** Where each query ends in `frames`, and who asked. */
  readonly ends: number[];
  readonly sinks: (Sink | null)[];
  readonly sinceMs: number;
  index: Index;
  /** The first query that has no answer yet. */
  next: number;
}

/** What is left after a round of answers. */
export type Unserved =
  /** Nothing that could be answered now. */
  | 'nothing'
  /** Another turn can go on at once. */
  | 'more'
  /** Queries whose sinks are full. */
  | 'stalled';

/**
 * Queries that wait for a read index. All queries of one turn share one question to the core, so their number hardly
 * matters.
 *
 * A query is small and its answer is not: 64 KiB from one client can ask for gigabytes. So answers are made only as
 * fast as they leave; a query may always be answered later than it could have been.
 */
export class PendingReads {
  readonly #replies: Replies;
  /** Nobody waits for the answer to this question any more. */
  readonly #lost: (token: number) => void;
  #open: ReadGroup | null = null;
  readonly #asked = new Map<number, ReadGroup>();
  #confirmed: ReadGroup[] = [];
  /** Queries that could be answered if their sinks were not full. */
  readonly #stalled = new Map<Sink, ReadGroup>();
  readonly #tokens: Tokens;
  #bytes = 0;

  constructor(replies: Replies, runtime: Runtime, lost: (token: number) => void) {
    this.#replies = replies;
    this.#lost = lost;
    this.#tokens = new Tokens(runtime);
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(bytes: Uint8Array, start: number, end: number, sink: Sink, nowMs: number): void {
    this.#open ??= newGroup(this.#tokens.next(), nowMs);
    this.#append(this.#open, bytes, start, end, sink);
  }

  /** Closes the group of this turn. Its token for the core, 0 if nobody asks. */
  ask(): number {
    const group = this.#open;
    if (group === null) return 0;
    this.#open = null;
    this.#asked.set(group.token, group);
    return group.token;
  }

  confirmed(token: number, index: Index): void {
    const group = this.#asked.get(token);
    if (!group) return;
    this.#asked.delete(token);
    group.index = index;
    this.#confirmed.push(group);
  }

  /** Nobody leads, or someone else by now: the clients ask again. */
  failed(token: number): void {
    const group = this.#asked.get(token);
    if (!group) return;
    this.#asked.delete(token);
    this.#refuse(group, Status.noLeader, 'no leader confirmed the read');
  }

  /** Answers what `state`, applied up to `applied`, can answer, as far as one turn allows. */
  serve(state: ReplicatedState, applied: Index): Unserved {
    if (this.#confirmed.length === 0 && this.#stalled.size === 0) return 'nothing';
    this.#resume();
    let room = MAX_TURN_BYTES;
    // They stay where `detach` finds them: an answer that is passed on may be the end of its sink.
    const groups = this.#confirmed;
    for (const group of groups)
      if (group.index <= applied && room > 0) room -= this.#answer(group, state, room);
    this.#confirmed = groups.filter(isOpen);
    const more = this.#confirmed.some((group) => group.index <= applied);
    if (more || this.#anyPassesOn()) return 'more';
    return this.#stalled.size > 0 ? 'stalled' : 'nothing';
  }

  /** Queries whose sinks are not full any more come first: they have waited longest. */
  #resume(): void {
    const resumed: ReadGroup[] = [];
    for (const [sink, group] of this.#stalled) {
      if (isFull(sink)) continue;
      // To look may have been the end of the sink.
      if (this.#stalled.delete(sink)) resumed.push(group);
    }
    if (resumed.length > 0) this.#confirmed = [...resumed, ...this.#confirmed];
  }

  /** A sink in this process empties itself between two turns: there is nothing to wait for. */
  #anyPassesOn(): boolean {
    for (const sink of this.#stalled.keys()) if (sink.full === undefined) return true;
    return false;
  }

  /**
   * Refuses reads asked before `beforeMs`: their answer was lost on the way. Those that have one wait for as long as it
   * takes: a node whose disk is full will have what they ask for once there is room.
   */
  expire(beforeMs: number): void {
    for (const [token, group] of this.#asked) {
      if (group.sinceMs >= beforeMs) continue;
      this.failed(token);
      this.#lost(token);
    }
  }

  /** The node stops: every read is settled. */
  refuseAll(status: Status, message: string): void {
    this.ask();
    for (const group of this.#groups()) this.#refuse(group, status, message);
    this.#asked.clear();
    this.#confirmed = [];
    this.#stalled.clear();
  }

  /** The sink takes no more answers: its queries count no longer, and where nobody else asks nobody is answered. */
  detach(sink: Sink): void {
    const stalled = this.#stalled.get(sink);
    if (stalled !== undefined) {
      this.#stalled.delete(sink);
      this.#drop(stalled);
    }
    if (this.#open !== null && this.#leave(this.#open, sink)) this.#open = null;
    for (const [token, group] of this.#asked) {
      if (!this.#leave(group, sink)) continue;
      this.#asked.delete(token);
      this.#lost(token);
    }
    this.#confirmed = this.#confirmed.filter((group) => !this.#leave(group, sink));
  }

  /** Takes `sink` out of `group`. Whether nobody is left who waits for an answer: then the group is dropped. */
  #leave(group: ReadGroup, sink: Sink): boolean {
    const { ends, sinks } = group;
    let left = 0;
    let waits = false;
    for (let i = 0; i < sinks.length; i++) {
      if (sinks[i] === sink) {
        sinks[i] = null;
        left += ends[i]! - startOf(group, i);
      } else if (i >= group.next && sinks[i] !== null) waits = true;
    }
    if (left === 0) return false;
    group.bytes -= left;
    this.#bytes -= left;
    if (!waits) this.#drop(group);
    return !waits;
  }

  /** Whatever it still holds is of no use to anybody. */
  #drop(group: ReadGroup): void {
    group.next = group.ends.length;
    this.#bytes -= group.bytes;
    group.bytes = 0;
  }

  #groups(): ReadGroup[] {
    return [...this.#asked.values(), ...this.#confirmed, ...this.#stalled.values()];
  }

  #append(group: ReadGroup, bytes: Uint8Array, start: number, end: number, sink: Sink): void {
    group.frames.bytes(bytes, start, end);
    group.ends.push(group.frames.position);
    group.sinks.push(sink);
    group.bytes += end - start;
    this.#bytes += end - start;
  }

  /** Answers queries of a group until their answers are `room` bytes, or all have one. Returns how many bytes. */
  #answer(group: ReadGroup, state: ReplicatedState, room: number): number {
    const { frames, ends, sinks } = group;
    let answered = 0;
    while (group.next < ends.length && answered < room) {
      const i = group.next++;
      const start = startOf(group, i);
      const full = isFull(sinks[i] ?? null);
      // Read again: passing answers on may have been the end of the sink.
      const sink = sinks[i] ?? null;
      if (sink === null) continue;
      if (full) {
        this.#setAside(frames.buffer, start, ends[i]!, sink, group);
        continue;
      }
      const before = sink.out.position;
      state.query(frames.buffer, start, ends[i]!, sink.out);
      answered += sink.out.position - before;
      this.#replies.touch(sink);
    }
    if (!isOpen(group)) this.#drop(group);
    return answered;
  }

  /** One full sink must not keep the answers of others waiting. */
  #setAside(bytes: Uint8Array, start: number, end: number, sink: Sink, from: ReadGroup): void {
    let group = this.#stalled.get(sink);
    if (group === undefined) {
      group = newGroup(0, from.sinceMs);
      this.#stalled.set(sink, group);
    }
    group.index = Math.max(group.index, from.index);
    this.#append(group, bytes, start, end, sink);
  }

  #refuse(group: ReadGroup, status: Status, message: string): void {
    const { frames, ends, sinks } = group;
    for (let i = group.next; i < ends.length; i++) {
      const sink = sinks[i];
      if (sink) this.#replies.refuseRun(frames.buffer, startOf(group, i), ends[i]!, sink, status, message);
    }
    this.#drop(group);
  }
}

function newGroup(token: number, sinceMs: number): ReadGroup {
  return { token, frames: new ByteWriter(256), bytes: 0, ends: [], sinks: [], sinceMs, index: 0, next: 0 };
}

/** Whether queries of it have no answer yet. */
function isOpen({ next, ends }: ReadGroup): boolean {
  return next < ends.length;
}

/** Where query `i` begins in `group.frames`. */
function startOf({ ends }: ReadGroup, i: number): number {
  return i === 0 ? 0 : ends[i - 1]!;
}

function isFull(sink: Sink | null): boolean {
  if (sink === null) return false;
  if (sink.out.position >= SPILL_BYTES) sink.flush();
  return sink.full === true || sink.out.position >= SPILL_BYTES;
}
