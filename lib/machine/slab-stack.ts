import type { ByteWriter } from '../../protocol/byte-writer.ts';
import type { Tracked } from './live-views.ts';
import type { Named } from './name-bytes.ts';
import { bytesOf, copyWords, LastView } from './short-copy.ts';
import type { Slab, SlabPool } from './slab-pool.ts';
import { MAX_SLAB_BYTES } from './slab-pool.ts';

/** A stack's first slab grows by copying up to this size; later slabs are chained. */
const MAX_FIRST_SLAB_BYTES = 4096;
/** Of the processor's caches. */
const LINE_BYTES = 64;
const NO_MEMORY = new DataView(new ArrayBuffer(0));
const trailer = new Uint8Array(8);
const trailerView = new DataView(trailer.buffer);
const pushing = new LastView();
const popping = new LastView();

/** Bytes an item of `length` bytes takes in a stack. */
export function itemBytes(length: number): number {
  return length + trailerBytes(length);
}

/** Bytes of the length trailer behind a value of `length` bytes. */
export function trailerBytes(length: number): number {
  return length < 0x80 ? 1 : length < 0x4000 ? 2 : length < 0x200000 ? 3 : length < 0x10000000 ? 4 : 5;
}

/** Writes the trailer of `length` to `target` and returns its size. */
export function writeTrailer(target: Uint8Array, length: number): number {
  const size = trailerBytes(length);
  let rest = length;
  // The byte read first stands last; every byte but the outermost says that another stands before it.
  for (let i = size - 1; i > 0; i--) {
    target[i] = (rest & 0x7f) | 0x80;
    rest = Math.floor(rest / 128);
  }
  target[0] = rest;
  return size;
}

/** A stack's content as it was, sharing the slabs. */
export interface StackCapture {
  readonly id: number;
  readonly name: Uint8Array;
  readonly size: number;
  /** Length of the stream in the slabs. */
  readonly bytes: number;
  readonly slabs: readonly Slab[];
}

/**
 * One stack: a stream of bytes, cut into slabs. Each item is its value followed by its length, written so that it
 * can be read backwards: pop needs no index, cutting off the end is all it does.
 *
 * ```
 * | value … | length | value … | length |      length: 7 bits a byte, the last byte holds the lowest bits,
 *  bottom                          top ^               bit 7 set: one more byte before this one
 * ```
 *
 * All slabs but the top one are full; an item may lie across two or more. The parser of values never sees a
 * straddling one: values are copied out whole.
 */
export class SlabStack implements Named, Tracked {
  // First what a push needs, in the order of the memory it lies in: with many stacks each line of it has to be fetched.
  /** Length of the name, and where the table keeps a copy of it. */
  readonly nameBytes: number;
  nameAt: number;
  mark: number;
  /** Items. */
  size = 0;
  /** Length of the stream. */
  bytes = 0;
  /**
   * Bytes of the stream below this position may be part of a capture: a slab with such bytes is copied before it
   * is written to there.
   */
  #sharedTo = 0;
  /** The last of `#slabs`: its memory, where it begins there, and its length. */
  #top: DataView = NO_MEMORY;
  #base = 0;
  #room = 0;
  /** Bytes of the stream in `#top`; never 0 while a slab lies beneath it. */
  #used = 0;

  readonly #pool: SlabPool;
  #slabs: Slab[] = [];
  /** Set by `#locate`: length of the top value and of its trailer. */
  #topLength = 0;
  #topTrailer = 0;
  readonly id: number;
  /** Of the name, for the table that finds this stack. */
  readonly hash: number;

  constructor(id: number, nameBytes: number, nameAt: number, hash: number, mark: number, pool: SlabPool) {
    this.id = id;
    this.hash = hash;
    this.nameBytes = nameBytes;
    this.nameAt = nameAt;
    this.mark = mark;
    this.#pool = pool;
  }

  /** Copies the value `source[start, end)` onto the stack. */
  push(source: Uint8Array, start: number, end: number): void {
    const length = end - start;
    const need = itemBytes(length);
    const from = pushing.of(source);
    if (this.#used + need > this.#room || this.bytes < this.#sharedTo) {
      this.#makeWritable(need);
      if (this.#used + need > this.#room) {
        this.#append(from, start, end);
        this.#append(trailerView, 0, writeTrailer(trailer, length));
        this.size++;
        return;
      }
    }
    const top = this.#top;
    const at = this.#base + this.#used;
    copyWords(from, start, end, top, at);
    if (length < 0x80) top.setUint8(at + length, length);
    else copyWords(trailerView, 0, writeTrailer(trailer, length), top, at + length);
    this.#used += need;
    this.bytes += need;
    this.size++;
  }

  /** Reads around the end of the stream, where the next push or pop will work: that brings it into the caches. */
  touchEnd(): number {
    const top = this.#top;
    const used = this.#used;
    const at = this.#base + used;
    const before = used > 0 ? top.getUint8(at - 1) : 0;
    return used + LINE_BYTES <= this.#room ? before ^ top.getUint8(at + LINE_BYTES - 1) : before;
  }

  /** Bytes of the top value. The stack must not be empty. */
  topLength(): number {
    this.#locate();
    return this.#topLength;
  }

  /** Copies the top value to `out`. The stack must not be empty. */
  top(out: ByteWriter): void {
    this.#locate();
    this.#copyTop(out);
  }

  /** Copies the top value to `out` and removes it. The stack must not be empty. */
  pop(out: ByteWriter): void {
    this.#locate();
    this.#copyTop(out);
    const item = this.#topLength + this.#topTrailer;
    this.size--;
    this.bytes -= item;
    if (item < this.#used) this.#used -= item;
    else this.#dropSlabs(item);
  }

  /** Adds a piece of another stack's stream that consists of `count` whole items. */
  appendStream(source: Uint8Array, start: number, end: number, count: number): void {
    if (end === start) return;
    this.#makeWritable(end - start);
    this.#append(pushing.of(source), start, end);
    this.size += count;
  }

  /** The content as it is now, under its name. Nothing written later shows in it. */
  capture(name: Uint8Array): StackCapture {
    if (this.bytes > this.#sharedTo) this.#sharedTo = this.bytes;
    return { id: this.id, name, size: this.size, bytes: this.bytes, slabs: this.#slabs.slice() };
  }

  /** Gives the memory back. The stack must not be used afterwards. */
  free(): void {
    const count = this.bytes;
    this.bytes = 0;
    this.size = 0;
    this.#dropSlabs(count);
  }

  #locate(): void {
    const last = this.#top.getUint8(this.#base + this.#used - 1);
    if (last < 0x80) {
      this.#topLength = last;
      this.#topTrailer = 1;
    } else this.#locateLong();
  }

  #locateLong(): void {
    let slab = this.#slabs.length - 1;
    let at = this.#used - 1;
    let length = 0;
    let unit = 1;
    let size = 0;
    for (;;) {
      const { view, at: base } = this.#slabs[slab]!;
      const byte = view.getUint8(base + at);
      length += (byte & 0x7f) * unit;
      unit *= 128;
      size++;
      if (byte < 0x80) break;
      if (--at < 0) at = this.#slabs[--slab]!.bytes - 1;
    }
    this.#topLength = length;
    this.#topTrailer = size;
  }

  #copyTop(out: ByteWriter): void {
    const length = this.#topLength;
    const end = this.#used - this.#topTrailer;
    if (end >= length) {
      out.ensure(length);
      copyWords(this.#top, this.#base + end - length, this.#base + end, popping.of(out.buffer), out.position);
      out.position += length;
    } else this.#copyStraddling(out, length);
  }

  #copyStraddling(out: ByteWriter, length: number): void {
    // Walk down to the slab the value starts in, then copy upwards.
    let slab = this.#slabs.length - 1;
    let start = this.#used - this.#topTrailer - length;
    while (start < 0) start += this.#slabs[--slab]!.bytes;
    let rest = length;
    while (rest > 0) {
      const piece = this.#slabs[slab++]!;
      const end = Math.min(piece.bytes, start + rest);
      out.bytes(bytesOf(piece.view, piece.at + start, piece.at + end));
      rest -= end - start;
      start = 0;
    }
  }

  /** Makes the top slab one that may be written to, with room for `need` more bytes while it is the small first. */
  #makeWritable(need: number): void {
    const slabs = this.#slabs;
    const last = slabs.length - 1;
    const shared = this.bytes < this.#sharedTo;
    const wanted = this.#used + need;
    if (last <= 0 && this.#room < MAX_FIRST_SLAB_BYTES && wanted > this.#room) {
      // Only this slab can be shared: the copy is free of views.
      const grown = this.#pool.take(Math.min(wanted, MAX_FIRST_SLAB_BYTES));
      copyWords(this.#top, this.#base, this.#base + this.#used, grown.view, grown.at);
      if (last === 0) this.#giveUp(slabs[0]!, 0);
      slabs[0] = grown;
      this.#setTop(grown);
      this.#sharedTo = 0;
    } else if (shared && this.#used < this.#room) {
      const own = this.#pool.take(this.#room);
      copyWords(this.#top, this.#base, this.#base + this.#used, own.view, own.at);
      this.#pool.lend(slabs[last]!);
      slabs[last] = own;
      this.#setTop(own);
      // The slabs beneath may still be shared.
      this.#sharedTo = this.bytes - this.#used;
    } else if (shared) {
      // Full: the next byte goes to a new slab.
      this.#sharedTo = this.bytes;
    }
  }

  /** Writes to the stream's end, chaining slabs as they fill. `#makeWritable` went before. */
  #append(source: DataView, start: number, end: number): void {
    while (start < end) {
      let room = this.#room - this.#used;
      if (room === 0) {
        // A quarter of what is there already: little waste in a small stack, few objects in a large one.
        const top = this.#pool.take(
          Math.max(MAX_FIRST_SLAB_BYTES, Math.min(this.bytes / 4, MAX_SLAB_BYTES) | 0),
        );
        this.#slabs.push(top);
        this.#setTop(top);
        this.#used = 0;
        room = this.#room;
      }
      const piece = Math.min(room, end - start);
      copyWords(source, start, start + piece, this.#top, this.#base + this.#used);
      this.#used += piece;
      this.bytes += piece;
      start += piece;
    }
  }

  /** Cuts `count` bytes, at least all of the top slab's, off the end; `bytes` tells what is left already. */
  #dropSlabs(count: number): void {
    const slabs = this.#slabs;
    // Position in the stream at which the top slab begins.
    let slabStart = this.bytes + count - this.#used;
    let rest = count;
    while (slabs.length > 0 && rest >= this.#used) {
      rest -= this.#used;
      const emptied = slabs.pop()!;
      this.#giveUp(emptied, slabStart);
      const below = slabs.at(-1);
      if (below !== undefined) this.#setTop(below);
      else {
        // Not only its length: the view alone would keep a page.
        this.#top = NO_MEMORY;
        this.#room = 0;
      }
      this.#used = this.#room;
      slabStart -= this.#used;
    }
    this.#used -= rest;
  }

  /** Gives a slab back that begins at `start` in the stream. */
  #giveUp(slab: Slab, start: number): void {
    if (start < this.#sharedTo) this.#pool.lend(slab);
    else this.#pool.give(slab);
  }

  #setTop(slab: Slab): void {
    this.#top = slab.view;
    this.#base = slab.at;
    this.#room = slab.bytes;
  }
}
