import type { ByteWriter } from '../../protocol/byte-writer.ts';
import { itemBytes, writeTrailer } from './item-trailer.ts';
import type { Tracked } from './live-views.ts';
import type { Named } from './name-bytes.ts';
import { copyWords, LastView } from './short-copy.ts';
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
/** Set by `#locate`: lengths of a top value and of its trailer. Not kept in each stack: there may be a million. */
const located = { length: 0, trailer: 0 };

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
  /** The top slab: its memory, where it begins there, and its length; 0 while there is none. */
  #top: DataView = NO_MEMORY;
  #base = 0;
  #room = 0;
  /** Bytes of the stream in the top slab; never 0 while a slab lies beneath it. */
  #used = 0;

  readonly #pool: SlabPool;
  #topSlab: Slab = 0;
  /** The slabs beneath it, the lowest first; null: there never were any. */
  #beneath: Slab[] | null = null;
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
    return located.length;
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
    const item = located.length + located.trailer;
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
    return { id: this.id, name, size: this.size, bytes: this.bytes, slabs: this.#slabs() };
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
      located.length = last;
      located.trailer = 1;
    } else this.#locateLong();
  }

  #locateLong(): void {
    const pool = this.#pool;
    let place = this.#slabsBeneath();
    let at = this.#used - 1;
    let length = 0;
    let unit = 1;
    let size = 0;
    for (;;) {
      const slab = this.#slabAt(place);
      const byte = pool.view(slab).getUint8(pool.start(slab) + at);
      length += (byte & 0x7f) * unit;
      unit *= 128;
      size++;
      if (byte < 0x80) break;
      if (--at < 0) at = pool.bytes(this.#slabAt(--place)) - 1;
    }
    located.length = length;
    located.trailer = size;
  }

  #copyTop(out: ByteWriter): void {
    const length = located.length;
    const end = this.#used - located.trailer;
    if (end >= length) {
      out.ensure(length);
      copyWords(this.#top, this.#base + end - length, this.#base + end, popping.of(out.buffer), out.position);
      out.position += length;
    } else this.#copyStraddling(out, length);
  }

  #copyStraddling(out: ByteWriter, length: number): void {
    const pool = this.#pool;
    // Walk down to the slab the value starts in, then copy upwards.
    let place = this.#slabsBeneath();
    let start = this.#used - located.trailer - length;
    while (start < 0) start += pool.bytes(this.#slabAt(--place));
    for (let rest = length; rest > 0; start = 0) {
      const piece = pool.bytesOf(this.#slabAt(place++), start, rest);
      out.bytes(piece);
      rest -= piece.length;
    }
  }

  /** Makes the top slab one that may be written to, with room for `need` more bytes while it is the small first. */
  #makeWritable(need: number): void {
    const shared = this.bytes < this.#sharedTo;
    const wanted = this.#used + need;
    if (this.#slabsBeneath() === 0 && this.#room < MAX_FIRST_SLAB_BYTES && wanted > this.#room) {
      this.#replaceTop(Math.min(wanted, MAX_FIRST_SLAB_BYTES));
      // Only this slab can have been shared: the copy is free of views.
      this.#sharedTo = 0;
    } else if (shared && this.#used < this.#room) {
      this.#replaceTop(this.#room);
      // The slabs beneath may still be shared.
      this.#sharedTo = this.bytes - this.#used;
    } else if (shared) {
      // Full: the next byte goes to a new slab.
      this.#sharedTo = this.bytes;
    }
  }

  /** Puts a copy in the place of the top slab, if there is one, at least `bytes` long. */
  #replaceTop(bytes: number): void {
    const from = this.#top;
    const start = this.#base;
    const isCopy = this.#room > 0;
    const old = this.#topSlab;
    this.#setTop(this.#pool.take(bytes));
    if (!isCopy) return;
    copyWords(from, start, start + this.#used, this.#top, this.#base);
    this.#giveUp(old, this.bytes - this.#used);
  }

  /** Writes to the stream's end, chaining slabs as they fill. `#makeWritable` went before. */
  #append(source: DataView, start: number, end: number): void {
    while (start < end) {
      if (this.#used === this.#room) {
        (this.#beneath ??= []).push(this.#topSlab);
        // A quarter of what is there already: little waste in a small stack, few slabs in a large one.
        const wanted = Math.min(this.bytes / 4, MAX_SLAB_BYTES) | 0;
        this.#setTop(this.#pool.take(Math.max(MAX_FIRST_SLAB_BYTES, wanted)));
        this.#used = 0;
      }
      const piece = Math.min(this.#room - this.#used, end - start);
      copyWords(source, start, start + piece, this.#top, this.#base + this.#used);
      this.#used += piece;
      this.bytes += piece;
      start += piece;
    }
  }

  /** Cuts `count` bytes, at least all of the top slab's, off the end; `bytes` tells what is left already. */
  #dropSlabs(count: number): void {
    // Position in the stream at which the top slab begins.
    let slabStart = this.bytes + count - this.#used;
    let rest = count;
    while (this.#room > 0 && rest >= this.#used) {
      rest -= this.#used;
      this.#giveUp(this.#topSlab, slabStart);
      const below = this.#beneath?.pop();
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

  #slabsBeneath(): number {
    return this.#beneath?.length ?? 0;
  }

  /** The slab with so many beneath it. */
  #slabAt(place: number): Slab {
    return this.#beneath?.[place] ?? this.#topSlab;
  }

  /** All slabs, the lowest first. */
  #slabs(): Slab[] {
    return this.#room > 0 ? [...(this.#beneath ?? []), this.#topSlab] : [];
  }

  /** Gives a slab back that begins at `start` in the stream. */
  #giveUp(slab: Slab, start: number): void {
    if (start < this.#sharedTo) this.#pool.lend(slab);
    else this.#pool.give(slab);
  }

  #setTop(slab: Slab): void {
    this.#topSlab = slab;
    this.#top = this.#pool.view(slab);
    this.#base = this.#pool.start(slab);
    this.#room = this.#pool.bytes(slab);
  }
}
