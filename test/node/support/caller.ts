import { Intake } from '../../../lib/node/intake.ts';
import type { RaftNode } from '../../../lib/node/node.ts';
import type { Sink } from '../../../lib/node/sink.ts';
import { ByteWriter, readU32 } from '../../../protocol/byte-writer.ts';
import { encodeCommand, encodeQuery, frameFlags, frameRequestId } from '../../../protocol/client-codec.ts';
import { FRAME_HEADER_BYTES, ReadLevel } from '../../../protocol/constants.ts';
import { decodeValue, encodeValue } from '../../../protocol/msgpack.ts';

export interface Answer {
  readonly status: number;
  readonly value: unknown;
}

/** A client in place: frames in, answers out. Nothing is tried again. */
export class Caller implements Sink {
  readonly out: ByteWriter = new ByteWriter();
  readonly #intake: Intake;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #nextId = 1;

  constructor(node: RaftNode) {
    this.#intake = new Intake(node, this);
  }

  /** Requests without an answer. */
  get waiting(): number {
    return this.#waiting.size;
  }

  command(...body: unknown[]): Promise<Answer> {
    return this.send((out, id) => {
      encodeCommand(out, id, 0, 0, 0, encodeValue(body));
    });
  }

  query(...body: unknown[]): Promise<Answer> {
    return this.queryAt(ReadLevel.linearizable, ...body);
  }

  queryAt(level: ReadLevel, ...body: unknown[]): Promise<Answer> {
    return this.send((out, id) => {
      encodeQuery(out, id, level, encodeValue(body));
    });
  }

  /** Sends one frame that `encode` writes under the request id it is given. */
  send(encode: (out: ByteWriter, requestId: number) => void): Promise<Answer> {
    return this.sendTogether(1, encode)[0]!;
  }

  /** Sends `count` frames in one piece. */
  sendTogether(count: number, encode: (out: ByteWriter, requestId: number) => void): Promise<Answer>[] {
    const out = new ByteWriter();
    const answers = Array.from({ length: count }, () => {
      const id = this.#nextId++;
      encode(out, id);
      return new Promise<Answer>((resolve) => {
        this.#waiting.set(id, resolve);
      });
    });
    this.#intake.feed(out.take());
    return answers;
  }

  flush(): void {
    const bytes = this.out.take();
    for (let at = 0; at < bytes.length; at += readU32(bytes, at) + 4) {
      const end = at + readU32(bytes, at) + 4;
      const id = frameRequestId(bytes, at);
      const start = at + FRAME_HEADER_BYTES;
      this.#waiting.get(id)?.({
        status: frameFlags(bytes, at),
        value: end > start ? decodeValue(bytes, start, end) : null,
      });
      this.#waiting.delete(id);
    }
  }
}
