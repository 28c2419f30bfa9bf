import { ByteWriter } from '../../protocol/byte-writer.ts';

const FIRST_BYTES = 1024;
/** Dropped names are not worth moving the others for before they take so much. */
const MIN_DEAD_BYTES = 64 * 1024;

/**
 * The names of all stacks, one behind the other. Each command compares one: in objects of their own, ten thousand
 * names would come from memory each time; here they stay in the processor's caches.
 */
export class NameBytes {
  #names = new ByteWriter(FIRST_BYTES);
  #deadBytes = 0;

  /** Copies a name and returns where it begins. */
  add(name: Uint8Array): number {
    const at = this.#names.position;
    this.#names.bytes(name);
    return at;
  }

  /** Whether the name of `length` bytes at `at` is `source[start, start + length)`. */
  is(at: number, length: number, source: Uint8Array, start: number): boolean {
    const bytes = this.#names.buffer;
    for (let i = 0; i < length; i++) if (bytes[at + i] !== source[start + i]) return false;
    return true;
  }

  /** One byte of them. */
  byteAt(at: number): number {
    return this.#names.buffer[at]!;
  }

  /** Says that a name of `length` bytes is not needed any more. True: all names had better be added anew. */
  drop(length: number): boolean {
    this.#deadBytes += length;
    return this.#deadBytes >= MIN_DEAD_BYTES && this.#deadBytes * 2 > this.#names.position;
  }

  clear(): void {
    this.#names = new ByteWriter(FIRST_BYTES);
    this.#deadBytes = 0;
  }
}
