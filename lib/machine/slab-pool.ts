/** Smallest and largest slab. Sizes are powers of two. */
export const MIN_SLAB_BYTES = 64;
export const MAX_SLAB_BYTES: number = 256 * 1024;

/**
 * Slabs below this size are cut from pages, larger ones are a page each. Memory of its own costs a small slab more
 * than a microsecond and weighs on the garbage collector; a stack takes six of them until it has its first 4 KiB.
 */
const OWN_PAGE_BYTES = 8192;
/** Few: a page lives as long as any of its slabs is used. */
const SLABS_PER_PAGE = 16;
const MIN_PAGE_BYTES = 16 * 1024;
/** Bytes of pages kept of each size though nobody uses any of their slabs. */
const IDLE_BYTES_PER_SIZE = 1024 * 1024;
const SMALLEST_SHIFT = 31 - Math.clz32(MIN_SLAB_BYTES);

/** The bytes `[at, at + bytes)` of a page. */
export interface Slab {
  readonly view: DataView;
  readonly at: number;
  readonly bytes: number;
  readonly page: Page;
}

/** Memory for slabs of one size. */
class Page {
  readonly view: DataView;
  readonly bytes: number;
  readonly #slabBytes: number;
  /** Slabs that were given back. */
  readonly #free: Slab[] = [];
  /** What lies behind has not been cut yet. */
  #cut = 0;
  /** Slabs somebody has. */
  used = 0;
  /** Where it stands among the pages that are not full. */
  place = 0;

  constructor(slabBytes: number) {
    this.#slabBytes = slabBytes;
    const bytes =
      slabBytes < OWN_PAGE_BYTES ? Math.max(slabBytes * SLABS_PER_PAGE, MIN_PAGE_BYTES) : slabBytes;
    // Arbitrary content: an `ArrayBuffer` made by itself would be filled with zeros.
    this.view = new DataView(Buffer.allocUnsafeSlow(bytes).buffer);
    this.bytes = bytes;
  }

  get isFull(): boolean {
    return this.#free.length === 0 && this.#cut === this.bytes;
  }

  take(): Slab {
    this.used++;
    return this.#free.pop() ?? this.#cutOne();
  }

  give(slab: Slab): void {
    this.used--;
    this.#free.push(slab);
  }

  #cutOne(): Slab {
    const at = this.#cut;
    this.#cut += this.#slabBytes;
    return { view: this.view, at, bytes: this.#slabBytes, page: this };
  }
}

/** The pages of one size that are not full. */
class Pages {
  readonly #slabBytes: number;
  /** Slabs are taken from the last. */
  readonly #open: Page[] = [];
  #idleBytes = 0;

  constructor(slabBytes: number) {
    this.#slabBytes = slabBytes;
  }

  take(): Slab {
    let page = this.#open.at(-1);
    if (page === undefined) {
      page = new Page(this.#slabBytes);
      this.#add(page);
    } else if (page.used === 0) this.#idleBytes -= page.bytes;
    const slab = page.take();
    if (page.isFull) this.#open.pop();
    return slab;
  }

  give(slab: Slab): void {
    const { page } = slab;
    if (page.isFull) this.#add(page);
    page.give(slab);
    if (page.used > 0) return;
    if (this.#idleBytes + page.bytes > IDLE_BYTES_PER_SIZE) this.#remove(page);
    else this.#idleBytes += page.bytes;
  }

  #add(page: Page): void {
    page.place = this.#open.length;
    this.#open.push(page);
  }

  #remove(page: Page): void {
    const last = this.#open.pop()!;
    if (last === page) return;
    this.#open[page.place] = last;
    last.place = page.place;
  }
}

/**
 * The memory of all stacks together. Slabs that are given back are used again, so that a stack that grows and shrinks
 * around the edge of one does not allocate each time; a page none of whose slabs is used is the garbage collector's,
 * but for a few megabytes.
 */
export class SlabPool {
  readonly #sizes: Pages[] = [];
  readonly #isViewed: () => boolean;
  #lent: Slab[] = [];

  /** `isViewed` says whether any capture is in use. */
  constructor(isViewed: () => boolean) {
    this.#isViewed = isViewed;
    for (let bytes = MIN_SLAB_BYTES; bytes <= MAX_SLAB_BYTES; bytes *= 2) this.#sizes.push(new Pages(bytes));
  }

  /** A slab of the smallest size that holds `bytes` (at most the largest size). Its content is arbitrary. */
  take(bytes: number): Slab {
    return this.#pagesFor(Math.min(Math.max(bytes, MIN_SLAB_BYTES), MAX_SLAB_BYTES)).take();
  }

  /** Takes back a slab nobody refers to any more. */
  give(slab: Slab): void {
    this.#pagesFor(slab.bytes).give(slab);
  }

  /** Takes back a slab that captures may show. It is not used again before `endLoans`. */
  lend(slab: Slab): void {
    if (this.#isViewed()) this.#lent.push(slab);
    else this.give(slab);
  }

  /** Says that no capture is in use any more. */
  endLoans(): void {
    const lent = this.#lent;
    this.#lent = [];
    for (const slab of lent) this.give(slab);
  }

  #pagesFor(bytes: number): Pages {
    return this.#sizes[32 - Math.clz32(bytes - 1) - SMALLEST_SHIFT]!;
  }
}
