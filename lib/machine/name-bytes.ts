import { ByteWriter } from '../../protocol/byte-writer.ts';

const FIRST_BYTES = 1024;
/** Dropped names are not worth moving the others for before they take so much. */
const MIN_DEAD_BYTES = 64 * 1024;

/** Who has a name: where it begins and how long it is. */
export interface Named {
  nameAt: number;
  readonly nameBytes: number;
}

/**
 * The names of all stacks, one behind the other. Each command compares one: in objects of their own, ten thousand
 * names would come from memory each time; here they stay in the processor's caches.
 */
export class NameBytes {
  #names = new ByteWriter(FIRST_BYTES);
  #deadBytes = 0;

  /** Copies the name `source[start, end)` and returns where it begins. */
  add(source: Uint8Array, start: number, end: number): number {
    const at = this.#names.position;
    this.#names.bytes(source, start, end);
    return at;
  }

  /** The name of `length` bytes at `at`, not copied. Its bytes stay as they are, whatever happens to the names. */
  of(at: number, length: number): Uint8Array {
    return this.#names.buffer.subarray(at, at + length);
  }

  /**
   * Whether the name of `length` bytes at `at` is what stands at `start` in `source`. Looks at the end first: names
   * often begin alike.
   */
  is(at: number, length: number, source: DataView, start: number): boolean {
    const names = this.#names.view;
    let i = length - 4;
    for (; i >= 0; i -= 4) {
      if (names.getInt32(at + i, true) !== source.getInt32(start + i, true)) return false;
    }
    for (i += 3; i >= 0; i--) if (names.getUint8(at + i) !== source.getUint8(start + i)) return false;
    return true;
  }

  /** The order of two names, as `Buffer.compare` has it. */
  compare(at: number, length: number, otherAt: number, otherLength: number): number {
    const names = this.#names.buffer;
    return names.compare(names, otherAt, otherAt + otherLength, at, at + length);
  }

  /** One byte of them. */
  byteAt(at: number): number {
    return this.#names.buffer[at]!;
  }

  /** Says that a name of `length` bytes is not needed any more. True: `keep` had better be called. */
  drop(length: number): boolean {
    this.#deadBytes += length;
    return this.#deadBytes >= MIN_DEAD_BYTES && this.#deadBytes * 2 > this.#names.position;
  }

  /** Closes the gaps between the names of `named`, and tells each where its name is now. */
  keep(named: Iterable<Named>): void {
    const old = this.#names.buffer;
    this.#names = new ByteWriter(FIRST_BYTES);
    this.#deadBytes = 0;
    for (const owner of named) {
      const { nameAt, nameBytes } = owner;
      owner.nameAt = this.add(old, nameAt, nameAt + nameBytes);
    }
  }
}
