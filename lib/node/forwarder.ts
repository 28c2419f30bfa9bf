import { ByteWriter } from '../../protocol/byte-writer.ts';
import { Lane, Status } from '../../protocol/constants.ts';
import { FORWARD_HEADER_BYTES, encodeForward, encodeForwardReply } from '../../protocol/peer-transfer.ts';
import type { NodeId } from '../core/types.ts';
import type { Transport } from '../transport/transport.ts';
import type { Replies } from './replies.ts';
import type { Sink } from './sink.ts';

interface ForwardedRun {
  readonly leader: NodeId;
  /** The forward frame as it was sent; the run's own frames are its tail. */
  readonly frame: Uint8Array;
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
  readonly #runs = new Map<number, ForwardedRun>();
  #nextToken = 1;
  #bytes = 0;

  constructor(transport: Transport, replies: Replies) {
    this.#transport = transport;
    this.#replies = replies;
  }

  /** Bytes of runs that are not answered. */
  get bytes(): number {
    return this.#bytes;
  }

  forward(leader: NodeId, bytes: Uint8Array, start: number, end: number, sink: Sink, nowMs: number): void {
    const token = this.#nextToken;
    this.#nextToken = token === 0xffffffff ? 1 : token + 1;
    const out = new ByteWriter(FORWARD_HEADER_BYTES + end - start);
    encodeForward(out, token, bytes, start, end);
    const frame = out.buffer.subarray(0, out.position);
    if (!this.#transport.send(leader, Lane.data, [frame])) {
      // It never left: certainly not applied.
      this.#replies.refuseRun(bytes, start, end, sink, Status.noLeader, 'the leader cannot be reached');
      return;
    }
    this.#runs.set(token, { leader, frame, sinceMs: nowMs, sink });
    this.#bytes += frame.length;
  }

  /** Answers to the run `token`. */
  replied(leader: NodeId, token: number, bytes: Uint8Array, start: number, end: number): void {
    const run = this.#runs.get(token);
    if (run?.leader !== leader) return;
    this.#drop(token, run);
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
    const { frame } = run;
    this.#replies.refuseRun(frame, FORWARD_HEADER_BYTES, frame.length, run.sink, Status.unknown, message);
  }

  #drop(token: number, run: ForwardedRun): void {
    this.#runs.delete(token);
    this.#bytes -= run.frame.length;
  }
}

/** The leader's half: answers to one forwarded run go back to the node it came from. */
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
    const frame = new ByteWriter(FORWARD_HEADER_BYTES + this.out.position);
    encodeForwardReply(frame, this.#token, this.out.buffer, 0, this.out.position);
    this.out.clear();
    // Should it be lost, the other side finds out by its own clock.
    this.#transport.send(this.#peer, Lane.data, [frame.buffer.subarray(0, frame.position)]);
  }
}
