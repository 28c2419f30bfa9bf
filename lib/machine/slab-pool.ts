import { bytesOf } from './short-copy.ts';

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

/**
 * Memory somebody has: a number, so that whoever has many of them has one array of numbers. Its lower bits say which
 * slab of its page it is, the others which page.
 */
export type Slab = number;
const PLACE_BITS = 8;
const PLACE_MASK = (1 << PLACE_BITS) - 1;

/** Memory for slabs of one size. */
class Page {
  readonly number: number;
  readonly view: DataView;
  readonly bytes: number;
  readonly slabBytes: number;
  /** Slabs that were given back. */
  readonly #free: Slab[] = [];
  /** Slabs behind these have not been cut yet. */
  #cut = 0;
  /** Slabs somebody has. */
  used = 0;
  /** Where it stands among the pages that are not full. */
  place = 0;

  constructor(number: number, slabBytes: number) {
    this.number = number;
    this.slabBytes = slabBytes;
    const bytes =
      slabBytes < OWN_PAGE_BYTES ? Math.max(slabBytes * SLABS_PER_PAGE, MIN_PAGE_BYTES) : slabBytes;
    // Arbitrary content: an `ArrayBuffer` made by itself would be filled with zeros.
    this.view = new DataView(Buffer.allocUnsafeSlow(bytes).buffer);
    this.bytes = bytes;
  }

  get isFull(): boolean {
    return this.#free.length === 0 && this.#cut * this.slabBytes === this.bytes;
  }

  take(): Slab {
    this.used++;
    const slab = this.#free.pop();
    if (slab !== undefined) return slab;
    return (this.number << PLACE_BITS) | this.#cut++;
  }

  give(slab: Slab): void {
    this.used--;
    this.#free.push(slab);
  }
}

/** The pages of one size that are not full. */
class OpenPages {
  readonly slabBytes: number;
  /** Slabs are taken from the last. */
  readonly #pages: Page[] = [];
  idleBytes = 0;

  constructor(slabBytes: number) {
    this.slabBytes = slabBytes;
  }

  last(): Page | undefined {
    return this.#pages.at(-1);
  }

  add(page: Page): void {
    page.place = this.#pages.length;
    this.#pages.push(page);
  }

  remove(page: Page): void {
    const last = this.#pages.pop()!;
    if (last === page) return;
    this.#pages[page.place] = last;
    last.place = page.place;
  }
}

/**
 * The memory of all stacks together. Slabs that are given back are used again, so that a stack that grows and shrinks
 * around the edge of one does not allocate each time; a page none of whose slabs is used is the garbage collector's,
 * but for a few megabytes.
 */
export class SlabPool {
  /** By number. The numbers of pages that were let go of are used again. */
  readonly #pages: (Page | undefined)[] = [];
  readonly #freeNumbers: number[] = [];
  /** By size. */
  readonly #open: OpenPages[] = [];
  readonly #isViewed: () => boolean;
  #lent: Slab[] = [];

  /** `isViewed` says whether any capture is in use. */
  constructor(isViewed: () => boolean) {
    this.#isViewed = isViewed;
    for (let bytes = MIN_SLAB_BYTES; bytes <= MAX_SLAB_BYTES; bytes *= 2) {
      this.#open.push(new OpenPages(bytes));
    }
  }

  /** The memory a slab is part of. */
  view(slab: Slab): DataView {
    return this.#pageOf(slab).view;
  }

  /** Where it begins there. */
  start(slab: Slab): number {
    return (slab & PLACE_MASK) * this.bytes(slab);
  }

  /** Its length. */
  bytes(slab: Slab): number {
    return this.#pageOf(slab).slabBytes;
  }

  /** Its bytes from `start` on, `count` or as many as there are, not copied. */
  bytesOf(slab: Slab, start: number, count: number): Uint8Array {
    const from = this.start(slab) + start;
    return bytesOf(this.view(slab), from, from + Math.min(count, this.bytes(slab) - start));
  }

  /** A slab of the smallest size that holds `bytes` (at most the largest size). Its content is arbitrary. */
  take(bytes: number): Slab {
    const open = this.#openFor(Math.min(Math.max(bytes, MIN_SLAB_BYTES), MAX_SLAB_BYTES));
    let page = open.last();
    if (page === undefined) {
      page = this.#newPage(open.slabBytes);
      open.add(page);
    } else if (page.used === 0) open.idleBytes -= page.bytes;
    const slab = page.take();
    if (page.isFull) open.remove(page);
    return slab;
  }

  /** Takes back a slab nobody refers to any more. */
  give(slab: Slab): void {
    const page = this.#pageOf(slab);
    const open = this.#openFor(page.slabBytes);
    if (page.isFull) open.add(page);
    page.give(slab);
    if (page.used > 0) return;
    if (open.idleBytes + page.bytes > IDLE_BYTES_PER_SIZE) {
      open.remove(page);
      this.#pages[page.number] = undefined;
      this.#freeNumbers.push(page.number);
    } else open.idleBytes += page.bytes;
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

  #pageOf(slab: Slab): Page {
    return this.#pages[slab >>> PLACE_BITS]!;
  }

  /** The open pages of the smallest slabs that hold `bytes`. */
  #openFor(bytes: number): OpenPages {
    return this.#open[32 - Math.clz32(bytes - 1) - SMALLEST_SHIFT]!;
  }

  #newPage(slabBytes: number): Page {
    const page = new Page(this.#freeNumbers.pop() ?? this.#pages.length, slabBytes);
    this.#pages[page.number] = page;
    return page;
  }
}
