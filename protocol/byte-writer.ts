/**
 * A growing byte buffer with a write position. Whole batches of frames are laid out in one of these and leave with
 * one write.
 *
 * The buffer belongs to the writer until `take()` hands it over.
 *
 * @example
 * const out = new ByteWriter(64);
 * out.u32(5).u8(1);
 * socket.write(out.take());
 */
export class ByteWriter {
  buffer: Buffer;
  position = 0;

  constructor(initialBytes = 4096) {
    this.buffer = Buffer.allocUnsafeSlow(initialBytes);
  }

  /** Makes room for `bytes` more; everything written so far stays where it is, relative to the start. */
  ensure(bytes: number): void {
    const needed = this.position + bytes;
    if (needed <= this.buffer.length) return;
    let size = this.buffer.length * 2;
    while (size < needed) size *= 2;
    const grown = Buffer.allocUnsafeSlow(size);
    this.buffer.copy(grown, 0, 0, this.position);
    this.buffer = grown;
  }

  u8(value: number): this {
    this.ensure(1);
    this.buffer[this.position++] = value;
    return this;
  }

  u16(value: number): this {
    this.ensure(2);
    const b = this.buffer;
    b[this.position++] = value;
    b[this.position++] = value >>> 8;
    return this;
  }

  u32(value: number): this {
    this.ensure(4);
    writeU32(this.buffer, this.position, value);
    this.position += 4;
    return this;
  }

  /** A safe integer as two words, low first. */
  u64(value: number): this {
    this.ensure(8);
    writeU64(this.buffer, this.position, value);
    this.position += 8;
    return this;
  }

  /** Copies `source[start, end)`. */
  bytes(source: Uint8Array, start = 0, end: number = source.length): this {
    const length = end - start;
    this.ensure(length);
    copyBytes(source, start, end, this.buffer, this.position);
    this.position += length;
    return this;
  }

  /** Writes over earlier bytes, typically a length known only afterwards. */
  patchU32(at: number, value: number): void {
    writeU32(this.buffer, at, value);
  }

  /** Hands over what was written, as a view on a buffer the writer no longer touches. */
  take(): Buffer {
    const taken = this.buffer.subarray(0, this.position);
    this.buffer = Buffer.allocUnsafeSlow(this.buffer.length);
    this.position = 0;
    return taken;
  }

  /** Forgets what was written and keeps the buffer. */
  clear(): void {
    this.position = 0;
  }
}

/** Below this many bytes a loop beats the call into the runtime (measured). */
const LOOP_COPY_BYTES = 24;

/** Copies `source[start, end)` to `target` at `at`. */
export function copyBytes(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  at: number,
): void {
  if (end - start <= LOOP_COPY_BYTES) {
    for (let i = start; i < end; i++) target[at++] = source[i]!;
  } else if (start === 0 && end === source.length) {
    target.set(source, at);
  } else if (source instanceof Buffer) {
    source.copy(target, at, start, end);
  } else {
    target.set(source.subarray(start, end), at);
  }
}

export function readU16(b: Uint8Array, at: number): number {
  return b[at]! | (b[at + 1]! << 8);
}

export function readU32(b: Uint8Array, at: number): number {
  return (b[at]! | (b[at + 1]! << 8) | (b[at + 2]! << 16) | (b[at + 3]! << 24)) >>> 0;
}

/** A u64 below 2^53; a larger one comes back as a number above `Number.MAX_SAFE_INTEGER`, for the caller to refuse. */
export function readU64(b: Uint8Array, at: number): number {
  return readU32(b, at) + readU32(b, at + 4) * 4294967296;
}

export function writeU32(b: Uint8Array, at: number, value: number): void {
  b[at] = value;
  b[at + 1] = value >>> 8;
  b[at + 2] = value >>> 16;
  b[at + 3] = value >>> 24;
}

export function writeU64(b: Uint8Array, at: number, value: number): void {
  const high = Math.floor(value / 4294967296);
  writeU32(b, at, value >>> 0);
  writeU32(b, at + 4, high);
}
