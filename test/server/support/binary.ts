import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { ByteWriter, readU32 } from '../../../protocol/byte-writer.ts';
import {
  encodeCommand,
  encodePreamble,
  encodeQuery,
  frameFlags,
  frameKind,
  frameRequestId,
} from '../../../protocol/client-codec.ts';
import { FRAME_HEADER_BYTES, ReadLevel, StackOp } from '../../../protocol/constants.ts';
import { decodeValue, encodeValue } from '../../../protocol/msgpack.ts';

export interface TestFrame {
  readonly kind: number;
  readonly status: number;
  readonly requestId: number;
  readonly body: Buffer;
  /** The body, decoded. */
  readonly value: unknown;
}

/** A client of the binary protocol that does nothing by itself. */
export class BinaryClient {
  readonly socket: Socket;
  readonly frames: TestFrame[] = [];
  /** Resolves when the connection is closed. */
  readonly closed: Promise<void>;
  #pending: Buffer = Buffer.alloc(0);
  #waiters: (() => void)[] = [];
  #isClosed = false;

  constructor(port: number, preamble: Uint8Array = encodePreamble()) {
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.socket.on('error', () => {});
    this.socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    this.closed = new Promise((resolve) => {
      this.socket.on('close', () => {
        this.#isClosed = true;
        resolve();
        this.#wake();
      });
      this.socket.on('end', () => this.socket.end());
    });
    if (preamble.length > 0) this.socket.write(preamble);
  }

  /** Waits until `count` frames have come; rejects if the connection is closed before. */
  async frame(count: number): Promise<TestFrame> {
    while (this.frames.length < count) {
      if (this.#isClosed) throw new Error(`closed after ${this.frames.length} frames`);
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
    return this.frames[count - 1]!;
  }

  destroy(): void {
    this.socket.destroy();
  }

  #onData(chunk: Buffer): void {
    this.#pending = Buffer.concat([this.#pending, chunk]);
    while (this.#pending.length >= 4) {
      const end = readU32(this.#pending, 0) + 4;
      if (this.#pending.length < end) break;
      const bytes = Buffer.from(this.#pending.subarray(0, end));
      this.#pending = this.#pending.subarray(end);
      const body = bytes.subarray(FRAME_HEADER_BYTES);
      this.frames.push({
        kind: frameKind(bytes, 0),
        status: frameFlags(bytes, 0),
        requestId: frameRequestId(bytes, 0),
        body,
        value: body.length === 0 ? undefined : decodeValue(body),
      });
    }
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiters.splice(0)) wake();
  }
}

export function pushFrame(requestId: number, name: string, value: unknown): Buffer {
  const out = new ByteWriter(64);
  encodeCommand(out, requestId, 0, 0, 0, encodeValue([StackOp.push, name, value]));
  return out.take();
}

export function topFrame(requestId: number, name: string): Buffer {
  const out = new ByteWriter(64);
  encodeQuery(out, requestId, ReadLevel.linearizable, encodeValue([StackOp.top, name]));
  return out.take();
}
