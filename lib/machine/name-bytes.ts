import { copyBytes } from '../../protocol/byte-writer.ts';

const FIRST_BYTES = 1024;
/** Dropped names are not worth moving the others for before they take so much. */
const MIN_DEAD_BYTES = 64 * 1024;

/**
 * The names of all stacks, one behind the other. Each command compares one: in objects of their own, ten thousand
 * names would come from memory each time; here they stay in the processor's caches.
 */
export class NameBytes {
  #bytes = new Uint8Array(FIRST_BYTES);
  #end = 0;
  #deadBytes = 0;

  /** Copies a name and returns where it begins. */
  add(name: Uint8Array): number {
    const at = this.#end;
    const end = at + name.length;
    if (end > this.#bytes.length) {
      let size = this.#bytes.length * 2;
      while (size < end) size *= 2;
      const grown = new Uint8Array(size);
      grown.set(this.#bytes.subarray(0, at));
      this.#bytes = grown;
    }
    copyBytes(name, 0, name.length, this.#bytes, at);
    this.#end = end;
    return at;
  }

  /** Whether the name of `length` bytes at `at` is `source[start, start + length)`. */
  is(at: number, length: number, source: Uint8Array, start: number): boolean {
    const bytes = this.#bytes;
    for (let i = 0; i < length; i++) if (bytes[at + i] !== source[start + i]) return false;
    return true;
  }

  /** Says that a name of `length` bytes is not needed any more. True: all names had better be added anew. */
  drop(length: number): boolean {
    this.#deadBytes += length;
    return this.#deadBytes >= MIN_DEAD_BYTES && this.#deadBytes * 2 > this.#end;
  }

  clear(): void {
    this.#bytes = new Uint8Array(FIRST_BYTES);
    this.#end = 0;
    this.#deadBytes = 0;
  }
}
