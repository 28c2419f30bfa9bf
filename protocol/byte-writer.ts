// Imported because the global is a getter, which is called each time.
import { Buffer } from 'node:buffer';

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
  position = 0;
  #buffer: Buffer;
  #view: DataView;

  constructor(initialBytes = 4096) {
    this.#buffer = Buffer.allocUnsafeSlow(initialBytes);
    this.#view = viewOf(this.#buffer);
  }

  /** Another one after whatever makes room. */
  get buffer(): Buffer {
    return this.#buffer;
  }

  /** Of `buffer`, for whole words: a store each, where bytes would be four. */
  get view(): DataView {
    return this.#view;
  }

  /** Makes room for `bytes` more; everything written so far stays where it is, relative to the start. */
  ensure(bytes: number): void {
    const needed = this.position + bytes;
    if (needed <= this.#buffer.length) return;
    let size = this.#buffer.length * 2;
    while (size < needed) size *= 2;
    const full = this.#buffer;
    this.#renew(size);
    full.copy(this.#buffer, 0, 0, this.position);
  }

  u8(value: number): this {
    this.ensure(1);
    this.#buffer[this.position++] = value;
    return this;
  }

  u16(value: number): this {
    this.ensure(2);
    const b = this.#buffer;
    b[this.position++] = value;
    b[this.position++] = value >>> 8;
    return this;
  }

  u32(value: number): this {
    this.ensure(4);
    this.#view.setUint32(this.position, value, true);
    this.position += 4;
    return this;
  }

  /** A safe integer as two words, low first. */
  u64(value: number): this {
    this.ensure(8);
    setU64(this.#view, this.position, value);
    this.position += 8;
    return this;
  }

  /** Copies `source[start, end)`. */
  bytes(source: Uint8Array, start = 0, end: number = source.length): this {
    const length = end - start;
    this.ensure(length);
    copyBytes(source, start, end, this.#buffer, this.position);
    this.position += length;
    return this;
  }

  /** Writes over earlier bytes, typically a length known only afterwards. */
  patchU32(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  /** Hands over what was written, as a view on a buffer the writer no longer touches. */
  take(): Buffer {
    const taken = this.#buffer.subarray(0, this.position);
    this.leave(this.#buffer.length);
    return taken;
  }

  /** Leaves the buffer to whoever still reads it, and goes on with an empty one of `bytes`. */
  leave(bytes: number): void {
    this.#renew(bytes);
    this.position = 0;
  }

  /** Forgets what was written and keeps the buffer. */
  clear(): void {
    this.position = 0;
  }

  #renew(bytes: number): void {
    this.#buffer = Buffer.allocUnsafeSlow(bytes);
    this.#view = viewOf(this.#buffer);
  }
}

/** The same bytes, for whole words. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Below this many bytes a loop beats the call into the runtime (measured). */
const LOOP_COPY_BYTES = 24;

/**
 * From so many bytes on they are copied by `fill`, which is the C library's `memcpy` underneath. Where one side is
 * shared memory `set` and `copy` are a loop instead, of bytes unless both begin at the same place within a word: ten
 * times slower (measured: 4 bytes a nanosecond).
 */
const FILL_COPY_BYTES = 512;

/** Copies `source[start, end)` to `target` at `at`. The two do not overlap. */
export function copyBytes(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  at: number,
): void {
  if (end - start <= LOOP_COPY_BYTES) {
    for (let i = start; i < end; i++) target[at++] = source[i]!;
  } else if (end - start >= FILL_COPY_BYTES) {
    const bytes = start === 0 && end === source.length ? source : source.subarray(start, end);
    asBuffer(target).fill(bytes, at, at + bytes.length);
  } else if (start === 0 && end === source.length) {
    target.set(source, at);
  } else if (source instanceof Buffer) {
    source.copy(target, at, start, end);
  } else {
    target.set(source.subarray(start, end), at);
  }
}

/** Arrays of bytes up to this size cost the runtime no memory of their own, and a loop beats a call into it. */
const SMALL_BYTES = 64;

/**
 * `bytes[start, end)` in memory of its own: a plain `Uint8Array`, whatever `bytes` is. A `slice` of what is declared a
 * `Uint8Array` and turns out to be a Buffer is a view, and what it shows changes with the next read of a socket.
 */
export function copyOf(bytes: Uint8Array, start = 0, end: number = bytes.length): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(end - start);
  if (end - start > SMALL_BYTES) copy.set(bytes.subarray(start, end));
  else for (let i = start; i < end; i++) copy[i - start] = bytes[i]!;
  return copy;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
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
  writeU32(b, at, value >>> 0);
  writeU32(b, at + 4, highWord(value));
}

/** As `readU64`. */
export function getU64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 4294967296;
}

/** As `writeU64`. */
export function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, highWord(value), true);
}

/** Nearly always 0, and a division costs as much as all the rest. */
function highWord(value: number): number {
  return value < 4294967296 ? 0 : Math.floor(value / 4294967296);
}
