import { copyBytes, viewOf } from '../../protocol/byte-writer.ts';

/** Shorter copies are a plain loop; longer ones a call into the runtime, which costs the same for any length. */
const MIN_WORDS_BYTES = 16;
const MAX_WORDS_BYTES = 320;

/**
 * Copies `from[start, end)` to `to` at `at`; they must not overlap. A call into the runtime costs about 90 ns whatever
 * the length; 64 bytes moved by words take 20 (bench/machine-apply has the effect on a push).
 */
export function copyWords(from: DataView, start: number, end: number, to: DataView, at: number): void {
  if (end - start > MAX_WORDS_BYTES) {
    bytesOf(to, at, at + end - start).set(bytesOf(from, start, end));
    return;
  }
  for (; start + 16 <= end; start += 16, at += 16) {
    to.setInt32(at, from.getInt32(start, true), true);
    to.setInt32(at + 4, from.getInt32(start + 4, true), true);
    to.setInt32(at + 8, from.getInt32(start + 8, true), true);
    to.setInt32(at + 12, from.getInt32(start + 12, true), true);
  }
  for (; start + 4 <= end; start += 4, at += 4) to.setInt32(at, from.getInt32(start, true), true);
  for (; start < end; start++, at++) to.setUint8(at, from.getUint8(start));
}

/** The bytes `[start, end)` of what `view` shows, not copied. */
export function bytesOf(view: DataView, start: number, end: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + start, end - start);
}

/** The view of the buffer that was asked for last: most are, many times in a row. */
export class LastView {
  #bytes: Uint8Array = new Uint8Array(0);
  #view: DataView = viewOf(this.#bytes);

  of(bytes: Uint8Array): DataView {
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#view = viewOf(bytes);
    }
    return this.#view;
  }
}

/**
 * Copies between buffers that stay the same for many copies in a row, and have no views: those are worth making for
 * a buffer seen twice.
 */
export class ShortCopy {
  #source: Uint8Array | null = null;
  #target: Uint8Array | null = null;
  #sourceView: DataView | null = null;
  #targetView: DataView | null = null;

  /** Copies `source[start, end)` to `target` at `at`. The buffers must not overlap. */
  copy(source: Uint8Array, start: number, end: number, target: Uint8Array, at: number): void {
    const length = end - start;
    if (length < MIN_WORDS_BYTES) {
      for (let i = start; i < end; i++) target[at++] = source[i]!;
      return;
    }
    if (source !== this.#source || target !== this.#target) {
      this.#turnTo(source, target);
      copyBytes(source, start, end, target, at);
      return;
    }
    const from = (this.#sourceView ??= viewOf(source));
    const to = (this.#targetView ??= viewOf(target));
    copyWords(from, start, end, to, at);
  }

  /** Remembers the pair. Also the way to let go of buffers. */
  #turnTo(source: Uint8Array, target: Uint8Array): void {
    if (source !== this.#source) {
      this.#source = source;
      this.#sourceView = null;
    }
    if (target !== this.#target) {
      this.#target = target;
      this.#targetView = null;
    }
  }
}
