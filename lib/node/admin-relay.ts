import { ByteWriter } from '../../protocol/byte-writer.ts';
import { encodeErrorResponse, frameRequestId } from '../../protocol/client-codec.ts';
import { Lane, Status } from '../../protocol/constants.ts';
import { encodeAdmin, encodeAdminReply } from '../../protocol/peer-transfer.ts';
import type { NodeId } from '../core/types.ts';
import type { Transport } from '../transport/transport.ts';
import type { Replies } from './replies.ts';
import type { Runtime } from './runtime.ts';
import type { Sink } from './sink.ts';
import { Tokens } from './tokens.ts';

interface Passed {
  readonly leader: NodeId;
  readonly requestId: number;
  readonly sink: Sink;
}

/**
 * Passes admin requests of clients on to the leader, and its answers back. Unlike forwarded commands they may take
 * minutes, so only the loss of the leader ends the wait; the client has a deadline of its own.
 */
export class AdminRelay {
  readonly #transport: Transport;
  readonly #replies: Replies;
  readonly #passed = new Map<number, Passed>();
  readonly #tokens: Tokens;

  constructor(transport: Transport, replies: Replies, runtime: Runtime) {
    this.#transport = transport;
    this.#replies = replies;
    this.#tokens = new Tokens(runtime);
  }

  pass(leader: NodeId, frame: Uint8Array, sink: Sink): void {
    const token = this.#tokens.next();
    const requestId = frameRequestId(frame, 0);
    const out = new ByteWriter(frame.length + 64);
    encodeAdmin(out, token, frame);
    if (this.#transport.send(leader, Lane.data, [out.take()])) {
      this.#passed.set(token, { leader, requestId, sink });
      this.#transport.flush();
    } else this.#refuse(sink, requestId, Status.noLeader, 'NO_LEADER', 'the leader cannot be reached');
  }

  /** The leader's answer: a whole response frame in `bytes[start, end)`. */
  replied(from: NodeId, token: number, bytes: Uint8Array, start: number, end: number): void {
    const passed = this.#passed.get(token);
    if (passed?.leader !== from) return;
    this.#passed.delete(token);
    passed.sink.out.bytes(bytes, start, end);
    this.#replies.touch(passed.sink);
  }

  /** Answers what came from `peer` under `token`. */
  answer(peer: NodeId, token: number, frame: Uint8Array): void {
    const out = new ByteWriter(frame.length + 64);
    encodeAdminReply(out, token, frame);
    this.#transport.send(peer, Lane.data, [out.take()]);
    this.#transport.flush();
  }

  /** The connection to `peer` is lost: what it was asked may have been done. */
  lost(peer: NodeId): void {
    for (const [token, { leader, sink, requestId }] of this.#passed) {
      if (leader !== peer) continue;
      this.#passed.delete(token);
      this.#refuse(
        sink,
        requestId,
        Status.unknown,
        'OUTCOME_UNKNOWN',
        'the leader was lost before it answered',
      );
    }
  }

  detach(sink: Sink): void {
    for (const [token, passed] of this.#passed) if (passed.sink === sink) this.#passed.delete(token);
  }

  #refuse(sink: Sink, requestId: number, status: Status, code: string, message: string): void {
    encodeErrorResponse(sink.out, requestId, status, code, message);
    this.#replies.touch(sink);
  }
}
