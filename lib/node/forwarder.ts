import { ByteWriter, readU32 } from '../../protocol/byte-writer.ts';
import { encodeErrorResponse, frameRequestId } from '../../protocol/client-codec.ts';
import { Lane, Status } from '../../protocol/constants.ts';
import { FORWARD_HEADER_BYTES, encodeForward, encodeForwardReply } from '../../protocol/peer-transfer.ts';
import type { NodeId } from '../core/types.ts';
import type { Transport } from '../transport/transport.ts';
import type { Replies } from './replies.ts';
import type { Runtime } from './runtime.ts';
import type { Sink } from './sink.ts';
import type { Silence } from './silence.ts';
import { Tokens } from './tokens.ts';

/** Answers in one frame at most, unless a single one is larger: the other lane users wait for each. */
const MAX_REPLY_BYTES = 1 << 20;

/** A larger answer is more than a peer takes in one frame: the client may have it from the leader, and only from there. */
const MAX_ANSWER_BYTES = 16 << 20;

interface ForwardedRun {
  readonly leader: NodeId;
  /** The forward frame as it was sent; the run's own frames are its tail, those without an answer from `at` on. */
  readonly frame: Uint8Array;
  at: number;
  readonly sinceMs: number;
  sink: Sink | null;
}

/**
 * The follower's half of "any node takes any request": runs go to the leader as they came, and its answers are passed
 * on without being looked at.
 */
export class Forwarder {
  readonly #transport: Transport;
  readonly #replies: Replies;
  readonly #silence: Pick<Silence, 'sentData'>;
  readonly #runs = new Map<number, ForwardedRun>();
  readonly #tokens: Tokens;
  #bytes = 0;

  constructor(transport: Transport, replies: Replies, runtime: Runtime, silence: Pick<Silence, 'sentData'>) {
    this.#transport = transport;
    this.#replies = replies;
    this.#silence = silence;
    this.#tokens = new Tokens(runtime);
  }

  /** Bytes of runs that are not answered. */
  get bytes(): number {
    return this.#bytes;
  }

  forward(leader: NodeId, bytes: Uint8Array, start: number, end: number, sink: Sink, nowMs: number): void {
    const token = this.#tokens.next();
    const out = new ByteWriter(FORWARD_HEADER_BYTES + end - start);
    encodeForward(out, token, bytes, start, end);
    const frame = out.buffer.subarray(0, out.position);
    if (!this.#transport.send(leader, Lane.data, [frame])) {
      // It never left: certainly not applied.
      this.#replies.refuseRun(bytes, start, end, sink, Status.noLeader, 'the leader cannot be reached');
      return;
    }
    this.#silence.sentData(leader, nowMs);
    this.#runs.set(token, { leader, frame, at: FORWARD_HEADER_BYTES, sinceMs: nowMs, sink });
    this.#bytes += frame.length;
  }

  /** Answers to the run `token`; all that it still waits for, unless there are `more`. */
  replied(leader: NodeId, token: number, bytes: Uint8Array, start: number, end: number, more: boolean): void {
    const run = this.#runs.get(token);
    if (run?.leader !== leader) return;
    if (more) {
      // In the order of the requests: should the rest be lost, that is what is unknown.
      for (let at = start; at < end && run.at < run.frame.length; at += readU32(bytes, at) + 4)
        run.at += readU32(run.frame, run.at) + 4;
    } else this.#drop(token, run);
    if (run.sink === null) return;
    run.sink.out.bytes(bytes, start, end);
    this.#replies.touch(run.sink);
  }

  /** `leader` leads no more or cannot be reached: whether it got the runs in time nobody here can say. */
  lost(leader: NodeId): void {
    for (const [token, run] of this.#runs) {
      if (run.leader === leader) this.#giveUp(token, run, 'the leader was lost before it answered');
    }
  }

  /** Ends runs that were sent before `beforeMs`: their answers were lost on the way. */
  expire(beforeMs: number): void {
    for (const [token, run] of this.#runs) {
      if (run.sinceMs >= beforeMs) return;
      this.#giveUp(token, run, 'the leader did not answer in time');
    }
  }

  detach(sink: Sink): void {
    for (const run of this.#runs.values()) if (run.sink === sink) run.sink = null;
  }

  #giveUp(token: number, run: ForwardedRun, message: string): void {
    this.#drop(token, run);
    if (run.sink === null) return;
    const { frame, at } = run;
    this.#replies.refuseRun(frame, at, frame.length, run.sink, Status.unknown, message);
  }

  #drop(token: number, run: ForwardedRun): void {
    this.#runs.delete(token);
    this.#bytes -= run.frame.length;
  }
}

/**
 * The leader's half: answers to one forwarded run go back to the node it came from. All of them are written in one turn
 * and flushed at its end: what is flushed later nobody waits for any more.
 */
export class RemoteSink implements Sink {
  readonly out: ByteWriter = new ByteWriter(256);
  readonly #transport: Transport;
  readonly #peer: NodeId;
  readonly #token: number;

  constructor(transport: Transport, peer: NodeId, token: number) {
    this.#transport = transport;
    this.#peer = peer;
    this.#token = token;
  }

  flush(): void {
    const { buffer, position } = this.out;
    for (let start = 0; start < position;) {
      let end = start;
      do end += readU32(buffer, end) + 4;
      while (end < position && end + readU32(buffer, end) + 4 - start <= MAX_REPLY_BYTES);
      const fits = end - start <= MAX_ANSWER_BYTES;
      const answers = fits ? buffer : tooLarge(buffer, start);
      const from = fits ? start : 0;
      const to = fits ? end : answers.length;
      const frame = new ByteWriter(FORWARD_HEADER_BYTES + to - from);
      encodeForwardReply(frame, this.#token, answers, from, to, end < position);
      // Should it be lost, the other side finds out by its own clock; what follows would be taken for it.
      if (!this.#transport.send(this.#peer, Lane.data, [frame.buffer.subarray(0, frame.position)])) break;
      start = end;
    }
    this.out.clear();
  }
}

/** In place of the answer at `at`: nobody would be told what stands behind it, either. */
function tooLarge(answers: Uint8Array, at: number): Uint8Array {
  const out = new ByteWriter(64);
  const text = 'it ran, and only the leader can answer: the answer is too large to be passed on';
  encodeErrorResponse(out, frameRequestId(answers, at), Status.unknown, 'OUTCOME_UNKNOWN', text);
  return out.take();
}
