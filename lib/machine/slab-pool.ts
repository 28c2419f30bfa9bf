/** Smallest and largest slab. Sizes are powers of two. */
export const MIN_SLAB_BYTES = 64;
export const MAX_SLAB_BYTES: number = 256 * 1024;

/**
 * Slabs below this size are cut from pages. Memory of its own costs a small slab more than a microsecond and weighs on
 * the garbage collector; a stack takes six of them until it has its first page of 4 KiB. A page lives as long as
 * any slab cut from it.
 */
const OWN_MEMORY_BYTES = 4096;
const PAGE_BYTES = 16 * 1024;

/** Bytes of free slabs kept of each size. */
const FREE_BYTES_PER_SIZE = 1024 * 1024;
const MAX_FREE_PER_SIZE = 256;
const SMALLEST_SHIFT = 31 - Math.clz32(MIN_SLAB_BYTES);
const SIZES = 31 - Math.clz32(MAX_SLAB_BYTES) - SMALLEST_SHIFT + 1;

/**
 * Free slabs of all stacks together, so that a stack that grows and shrinks around the edge of a slab does not
 * allocate each time, and an emptied stack holds no memory of its own. Bounded to a few megabytes.
 */
export class SlabPool {
  readonly #free: DataView[][] = Array.from({ length: SIZES }, () => []);
  #page: ArrayBufferLike = new ArrayBuffer(0);
  #cut = 0;

  /** A slab of the smallest size that holds `bytes` (at most the largest size). Its content is arbitrary. */
  take(bytes: number): DataView {
    const wanted = Math.min(Math.max(bytes, MIN_SLAB_BYTES), MAX_SLAB_BYTES);
    const shift = 32 - Math.clz32(wanted - 1);
    return this.#free[shift - SMALLEST_SHIFT]!.pop() ?? this.#fresh(1 << shift);
  }

  /** Takes back a slab nobody refers to any more. */
  give(slab: DataView): void {
    if (slab.byteLength < MIN_SLAB_BYTES) return;
    const free = this.#free[31 - Math.clz32(slab.byteLength) - SMALLEST_SHIFT]!;
    if (free.length < MAX_FREE_PER_SIZE && (free.length + 1) * slab.byteLength <= FREE_BYTES_PER_SIZE)
      free.push(slab);
  }

  #fresh(bytes: number): DataView {
    if (bytes >= OWN_MEMORY_BYTES) return new DataView(memory(bytes));
    if (this.#cut + bytes > this.#page.byteLength) {
      this.#page = memory(PAGE_BYTES);
      this.#cut = 0;
    }
    this.#cut += bytes;
    return new DataView(this.#page, this.#cut - bytes, bytes);
  }
}

/** Memory whose content is arbitrary: an `ArrayBuffer` made by itself would be filled with zeros. */
function memory(bytes: number): ArrayBufferLike {
  return Buffer.allocUnsafeSlow(bytes).buffer;
}
