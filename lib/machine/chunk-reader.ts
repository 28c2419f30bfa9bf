import { copyBytes, readU32, readU64 } from '../../protocol/byte-writer.ts';
import { CordwoodError } from '../../protocol/errors.ts';

export function damaged(what: string): CordwoodError {
  return new CordwoodError('SNAPSHOT_DAMAGED', `The snapshot is damaged: ${what}.`);
}

/**
 * Reads a stream of chunks of any sizes as one run of bytes. What has been asked for with `fill` lies contiguous
 * in `buffer[at, end)`; the reader's user moves `at` on.
 *
 * Memory is bounded by what is asked for and one chunk. Nothing is allocated for a length before the bytes came.
 */
export class ChunkReader {
  buffer: Buffer = Buffer.alloc(0);
  at = 0;
  end = 0;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #ended = false;

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  get available(): number {
    return this.end - this.at;
  }

  /** Waits until `bytes` more are there. Throws `SNAPSHOT_DAMAGED` if the stream ends before. */
  async fill(bytes: number): Promise<void> {
    while (this.available < bytes) {
      if (!(await this.#pull())) throw damaged('it ends too early');
    }
  }

  /** Whether all bytes have been taken. */
  async atEnd(): Promise<boolean> {
    while (this.available === 0) if (!(await this.#pull())) return true;
    return false;
  }

  /** Takes in one more chunk, whatever its size. False: there is none. */
  async more(): Promise<boolean> {
    return this.#pull();
  }

  async u32(): Promise<number> {
    await this.fill(4);
    const value = readU32(this.buffer, this.at);
    this.at += 4;
    return value;
  }

  /** A safe integer. */
  async u64(): Promise<number> {
    await this.fill(8);
    const value = readU64(this.buffer, this.at);
    if (!Number.isSafeInteger(value)) throw damaged('a number is out of range');
    this.at += 8;
    return value;
  }

  /** Lets the source clean up when reading ends early. */
  async close(): Promise<void> {
    this.#ended = true;
    await this.#chunks.return?.();
  }

  async #pull(): Promise<boolean> {
    if (this.#ended) return false;
    const next = await this.#chunks.next();
    if (next.done === true) {
      this.#ended = true;
      return false;
    }
    const chunk = next.value;
    const rest = this.available;
    if (this.end + chunk.length > this.buffer.length) {
      const size = rest + chunk.length;
      const target = size > this.buffer.length ? Buffer.allocUnsafeSlow(size + (size >>> 1)) : this.buffer;
      this.buffer.copy(target, 0, this.at, this.end);
      this.buffer = target;
      this.at = 0;
      this.end = rest;
    }
    copyBytes(chunk, 0, chunk.length, this.buffer, this.end);
    this.end += chunk.length;
    return true;
  }
}
