import { createServer, type Socket } from 'node:net';
import { copyBytes, writeU32 } from '../../protocol/byte-writer.ts';
import { crcOf } from '../../protocol/crc.ts';
import { ACK_BYTES, BATCH_HEADER_BYTES, readBatchHeader } from './format.ts';
import { listening, type Role } from './role.ts';
import { RingFile } from './ring-file.ts';
import { ValueStore } from './value-store.ts';

const FIRST_BUFFER_BYTES = 1 << 20;

/** Stores what the leader sends, and says how far it is durable. */
export async function runFollower(path: string): Promise<Role> {
  const file = new RingFile(path);
  const server = createServer({ noDelay: true }, (socket) => new Feed(socket, file));
  return { port: await listening(server), close: () => server.close() };
}

class Feed {
  readonly #socket: Socket;
  readonly #file: RingFile;
  readonly #store = new ValueStore();
  /** A batch that has not arrived whole. */
  #buffer = Buffer.allocUnsafeSlow(FIRST_BUFFER_BYTES);
  #held = 0;

  constructor(socket: Socket, file: RingFile) {
    this.#socket = socket;
    this.#file = file;
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => {
      if (this.#held === 0) this.#hold(chunk, this.#take(chunk, 0, chunk.length));
      else {
        this.#hold(chunk, 0);
        const taken = this.#take(this.#buffer, 0, this.#held);
        this.#buffer.copyWithin(0, taken, this.#held);
        this.#held -= taken;
      }
    });
  }

  #take(bytes: Buffer, start: number, end: number): number {
    let at = start;
    while (at + BATCH_HEADER_BYTES <= end) {
      const { bodyBytes, crc, batch } = readBatchHeader(bytes, at);
      const body = at + BATCH_HEADER_BYTES;
      if (body + bodyBytes > end) break;
      if (crcOf(bytes, body, body + bodyBytes) !== crc) throw new Error('damaged batch');
      this.#file.append(bytes.subarray(at, body + bodyBytes), () => {
        const ack = Buffer.allocUnsafe(ACK_BYTES);
        writeU32(ack, 0, batch);
        this.#socket.write(ack);
      });
      this.#store.push(bytes, body, body + bodyBytes);
      at = body + bodyBytes;
    }
    return at;
  }

  #hold(chunk: Buffer, from: number): void {
    const length = chunk.length - from;
    if (this.#held + length > this.#buffer.length) {
      const grown = Buffer.allocUnsafeSlow(2 * (this.#held + length));
      this.#buffer.copy(grown, 0, 0, this.#held);
      this.#buffer = grown;
    }
    copyBytes(chunk, from, chunk.length, this.#buffer, this.#held);
    this.#held += length;
  }
}
