import { ByteWriter } from '../../protocol/byte-writer.ts';
import { Status } from '../../protocol/constants.ts';
import type { Index } from '../core/types.ts';
import type { ReplicatedState } from '../machine/replicated-state.ts';
import type { Replies } from './replies.ts';
import type { Sink } from './sink.ts';

interface ReadGroup {
  readonly token: number;
  readonly frames: ByteWriter;
  /** Where each query ends in `frames`, and who asked. */
  readonly ends: number[];
  readonly sinks: (Sink | null)[];
  readonly sinceMs: number;
  index: Index;
}

/**
 * Queries that wait for a read index. All queries of one turn share one question to the core, so their number hardly
 * matters.
 */
export class PendingReads {
  readonly #replies: Replies;
  #open: ReadGroup | null = null;
  readonly #asked = new Map<number, ReadGroup>();
  #confirmed: ReadGroup[] = [];
  #nextToken = 1;
  #bytes = 0;

  constructor(replies: Replies) {
    this.#replies = replies;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(bytes: Uint8Array, start: number, end: number, sink: Sink, nowMs: number): void {
    this.#open ??= {
      token: this.#nextToken++,
      frames: new ByteWriter(256),
      ends: [],
      sinks: [],
      sinceMs: nowMs,
      index: 0,
    };
    this.#open.frames.bytes(bytes, start, end);
    this.#open.ends.push(this.#open.frames.position);
    this.#open.sinks.push(sink);
    this.#bytes += end - start;
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

  /** Answers what `state`, applied up to `applied`, can answer. */
  serve(state: ReplicatedState, applied: Index): void {
    if (this.#confirmed.length === 0) return;
    const later: ReadGroup[] = [];
    for (const group of this.#confirmed) {
      if (group.index > applied) later.push(group);
      else this.#answer(group, state);
    }
    this.#confirmed = later;
  }

  /** Refuses reads asked before `beforeMs`: their answer was lost on the way. */
  expire(beforeMs: number): void {
    for (const [token, group] of this.#asked) if (group.sinceMs < beforeMs) this.failed(token);
  }

  /** The node stops: every read is settled. */
  refuseAll(status: Status, message: string): void {
    this.ask();
    for (const group of [...this.#asked.values(), ...this.#confirmed]) this.#refuse(group, status, message);
    this.#asked.clear();
    this.#confirmed = [];
  }

  detach(sink: Sink): void {
    const groups = [...this.#asked.values(), ...this.#confirmed];
    if (this.#open) groups.push(this.#open);
    for (const { sinks } of groups) {
      for (let i = 0; i < sinks.length; i++) if (sinks[i] === sink) sinks[i] = null;
    }
  }

  #answer(group: ReadGroup, state: ReplicatedState): void {
    let start = 0;
    for (let i = 0; i < group.ends.length; i++) {
      const end = group.ends[i]!;
      const sink = group.sinks[i];
      if (sink) {
        state.query(group.frames.buffer, start, end, sink.out);
        this.#replies.touch(sink);
      }
      start = end;
    }
    this.#bytes -= group.frames.position;
  }

  #refuse(group: ReadGroup, status: Status, message: string): void {
    let start = 0;
    for (let i = 0; i < group.ends.length; i++) {
      const sink = group.sinks[i];
      if (sink) this.#replies.refuseRun(group.frames.buffer, start, group.ends[i]!, sink, status, message);
      start = group.ends[i]!;
    }
    this.#bytes -= group.frames.position;
  }
}
