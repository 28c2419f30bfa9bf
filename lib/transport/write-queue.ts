import type { Socket } from 'node:net';

import { copyBytes } from '../../protocol/byte-writer.ts';

/** Parts shorter than this are copied together: one write of many small buffers costs more than the copy. */
const COPIED_PART_BYTES: number = 32 << 10;
const OUT_BYTES: number = 128 << 10;
const SMALL_BYTES = 1024;

/** What waits to be written to one socket: long parts as they are, short ones copied together in order. */
export class WriteQueue {
  /** What is queued: these parts, then what has been copied to `#out`. */
  #parts: Uint8Array[] = [];
  #partsBytes = 0;
  #out: Buffer | null = null;
  /** Was written from, and may still be read by the socket. */
  #lent: Buffer | null = null;
  #outBytes = 0;

  get bytes(): number {
    return this.#partsBytes + this.#outBytes;
  }

  /** A long part must stay as it is until `socket` has taken it; a short one may change once this returns. */
  add(part: Uint8Array, socket: Socket | null): void {
    if (part.length >= COPIED_PART_BYTES) {
      this.#sealOut();
      this.#parts.push(part);
      this.#partsBytes += part.length;
      return;
    }
    if (this.#outBytes + part.length > OUT_BYTES) this.#sealOut();
    this.#out ??= this.#takeBack(socket) ?? Buffer.allocUnsafeSlow(OUT_BYTES);
    copyBytes(part, 0, part.length, this.#out, this.#outBytes);
    this.#outBytes += part.length;
  }

  /** Hands everything to the kernel in one write. */
  writeTo(socket: Socket): void {
    if (this.#parts.length > 0) {
      this.#sealOut();
      const parts = this.#parts;
      this.#parts = [];
      this.#partsBytes = 0;
      socket.cork();
      for (const part of parts) socket.write(part);
      socket.uncork();
    } else if (this.#outBytes > 0) {
      const out = this.#out!;
      socket.write(out.subarray(0, this.#outBytes));
      this.#outBytes = 0;
      // Mostly the kernel has taken all of it before write() returns, and then the buffer is ours again.
      if (socket.writableLength > 0) {
        this.#lent = out;
        this.#out = null;
      }
    }
  }

  clear(): void {
    this.#parts = [];
    this.#partsBytes = 0;
    this.#outBytes = 0;
  }

  #takeBack(socket: Socket | null): Buffer | null {
    if (socket !== null && socket.writableLength > 0) return null;
    const buffer = this.#lent;
    this.#lent = null;
    return buffer;
  }

  #sealOut(): void {
    if (this.#outBytes === 0) return;
    const out = this.#out!.subarray(0, this.#outBytes);
    this.#partsBytes += this.#outBytes;
    this.#outBytes = 0;
    if (out.length < SMALL_BYTES) {
      // The header before a long part, mostly: not worth the buffer it stands in.
      this.#parts.push(Buffer.from(out));
      return;
    }
    this.#parts.push(out);
    this.#out = null;
  }
}
