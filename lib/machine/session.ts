import type { ByteWriter } from '../../protocol/byte-writer.ts';
import { copyBytes } from '../../protocol/byte-writer.ts';
import type { Tracked } from './live-views.ts';
import { ShortCopy } from './short-copy.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/**
 * Lifetimes a session can have; what is asked for is rounded up to one of these. With few lifetimes, sessions of
 * each form a list in which the first to expire stands first, and expiry never searches.
 */
export const SESSION_TTLS_MS: readonly number[] = [
  SECOND,
  2 * SECOND,
  5 * SECOND,
  10 * SECOND,
  30 * SECOND,
  MINUTE,
  2 * MINUTE,
  5 * MINUTE,
  10 * MINUTE,
  30 * MINUTE,
  HOUR,
  2 * HOUR,
  6 * HOUR,
  12 * HOUR,
  24 * HOUR,
  7 * 24 * HOUR,
];

/** The lifetime a session gets that asks for `ttlMs`. */
export function roundTtl(ttlMs: number): number {
  return SESSION_TTLS_MS.find((ttl) => ttl >= ttlMs) ?? SESSION_TTLS_MS[SESSION_TTLS_MS.length - 1]!;
}

/** Words of a slot: offset of the answer's body, its length, its status + 1 (0: nothing recorded). */
const SLOT_WORDS = 3;
const MIN_SLOTS = 4;
const MIN_BYTES = 64;
/** A ring larger than this is given back when it has run empty and the session says it is idle. */
const KEPT_SLOTS = 64;
const NO_SLOTS = new Uint32Array(0);
const NO_BYTES = new Uint8Array(0);
/** Bytes a sequence number counts for beside its answer's body. */
const SLOT_BYTES = 16;
/** For moving answers together; larger ones move to a buffer of their own. */
const scratch = new Uint8Array(64 * 1024);
const recording = new ShortCopy();

/** What `Session.find` says of a sequence number nothing is recorded for. */
export const ABSENT = -1;
/** What `Session.find` says of one that was refused for good. */
export const REFUSED = -2;

/**
 * The replicated state of one session: which sequence numbers ran, and their answers as long as the client may ask
 * again. A session that was only opened holds no buffers.
 *
 * ```
 *  seq:   … acknowledged | low …………………… next − 1 | never seen …
 *                          one slot each, in a ring indexed by seq & mask; gaps are legal
 * ```
 * Bodies lie in one buffer in the order they were made; when it is full, live ones are moved together.
 */
export class Session implements Tracked {
  readonly id: number;
  /** Unused this long (in the cluster's time) it ends. */
  readonly ttlMs: number;
  /** Of the request that opened it, as latin1; empty: none. */
  readonly nonce: string;
  mark: number;

  lastUsedMs = 0;
  /** Position of the last use in the order of all uses of all sessions. */
  useOrder = 0;
  /** Neighbours among the sessions of the same ttl, by last use. */
  older: Session | null = null;
  newer: Session | null = null;

  /** Lowest sequence number whose answer the client may still ask for. */
  low = 1;
  /** One above the highest sequence number in the ring. */
  next = 1;
  /** Bytes of recorded bodies. */
  bodyBytes = 0;
  #slots: Uint32Array = NO_SLOTS;
  #mask = -1;
  #bytes: Uint8Array = NO_BYTES;
  #end = 0;
  /** Sequence numbers refused for good that have no place in the ring. Nearly always null. */
  #refused: Set<number> | null = null;

  constructor(id: number, ttlMs: number, nonce: string, mark: number) {
    this.id = id;
    this.ttlMs = ttlMs;
    this.nonce = nonce;
    this.mark = mark;
  }

  /** What the session counts for in the limit on all of them. */
  get chargedBytes(): number {
    return this.bodyBytes + SLOT_BYTES * (this.next - this.low);
  }

  /** Sequence numbers refused outside the ring. */
  get refused(): ReadonlySet<number> | null {
    return this.#refused;
  }

  /** The client has every answer below `low`: they are forgotten. */
  acknowledge(low: number): void {
    if (low <= this.low) return;
    const slots = this.#slots;
    const until = Math.min(low, this.next);
    for (let seq = this.low; seq < until; seq++) {
      const slot = (seq & this.#mask) * SLOT_WORDS;
      this.bodyBytes -= slots[slot + 1]!;
      slots[slot + 1] = 0;
      slots[slot + 2] = 0;
    }
    this.low = low;
    if (this.next < low) this.next = low;
    if (this.bodyBytes === 0) this.#end = 0;
    if (this.#refused !== null) this.#forgetRefused();
  }

  /** Where the answer to `seq` (not below `low`) lies: a slot for `statusAt` and `writeBody`; or `ABSENT`, `REFUSED`. */
  find(seq: number): number {
    if (seq < this.next) {
      const slot = (seq & this.#mask) * SLOT_WORDS;
      if (this.#slots[slot + 2] !== 0) return slot;
    }
    return this.#refused?.has(seq) === true ? REFUSED : ABSENT;
  }

  statusAt(slot: number): number {
    return this.#slots[slot + 2]! - 1;
  }

  writeBody(slot: number, out: ByteWriter): void {
    const offset = this.#slots[slot]!;
    out.bytes(this.#bytes, offset, offset + this.#slots[slot + 1]!);
  }

  /** Records the answer to `seq`, which is absent and not below `low`. The body is copied. */
  record(seq: number, status: number, body: Uint8Array, start: number, end: number): void {
    if (seq - this.low > this.#mask) this.#growSlots(seq);
    const length = end - start;
    if (this.#end + length > this.#bytes.length) this.#makeRoom(length);
    const slots = this.#slots;
    const slot = (seq & this.#mask) * SLOT_WORDS;
    slots[slot] = this.#end;
    slots[slot + 1] = length;
    slots[slot + 2] = status + 1;
    recording.copy(body, start, end, this.#bytes, this.#end);
    this.#end += length;
    this.bodyBytes += length;
    if (seq >= this.next) this.next = seq + 1;
  }

  /** Remembers outside the ring that `seq` was refused. */
  refuse(seq: number): void {
    (this.#refused ??= new Set()).add(seq);
  }

  /** Gives memory back that a burst needed. */
  trim(): void {
    if (this.low !== this.next || this.#mask < KEPT_SLOTS) return;
    this.#slots = NO_SLOTS;
    this.#mask = -1;
    this.#bytes = NO_BYTES;
    this.#end = 0;
  }

  #forgetRefused(): void {
    const refused = this.#refused!;
    for (const seq of refused) if (seq < this.low) refused.delete(seq);
    if (refused.size === 0) this.#refused = null;
  }

  #growSlots(seq: number): void {
    const span = seq - this.low + 1;
    const capacity = Math.max(MIN_SLOTS, 2 ** (32 - Math.clz32(span - 1)));
    const grown = new Uint32Array(capacity * SLOT_WORDS);
    for (let s = this.low; s < this.next; s++) {
      const from = (s & this.#mask) * SLOT_WORDS;
      const to = (s & (capacity - 1)) * SLOT_WORDS;
      for (let i = 0; i < SLOT_WORDS; i++) grown[to + i] = this.#slots[from + i]!;
    }
    this.#slots = grown;
    this.#mask = capacity - 1;
  }

  /** Moves the bodies together, in a larger buffer if they would fill more than half of this one. */
  #makeRoom(length: number): void {
    const needed = this.bodyBytes + length;
    const inPlace = needed * 2 <= this.#bytes.length && this.bodyBytes <= scratch.length;
    let target = scratch;
    if (!inPlace) {
      let size = MIN_BYTES;
      while (size < needed * 2) size *= 2;
      target = new Uint8Array(size);
    }
    // Answers mostly lie in the order of their numbers: whole runs of them move at once.
    let end = 0;
    let runStart = 0;
    let runEnd = 0;
    for (let seq = this.low; seq < this.next; seq++) {
      const slot = (seq & this.#mask) * SLOT_WORDS;
      const bodyLength = this.#slots[slot + 1]!;
      if (bodyLength === 0) continue;
      const offset = this.#slots[slot]!;
      if (offset !== runEnd) {
        copyBytes(this.#bytes, runStart, runEnd, target, end - (runEnd - runStart));
        runStart = offset;
      }
      runEnd = offset + bodyLength;
      this.#slots[slot] = end;
      end += bodyLength;
    }
    copyBytes(this.#bytes, runStart, runEnd, target, end - (runEnd - runStart));
    if (inPlace) this.#bytes.set(scratch.subarray(0, end));
    else this.#bytes = target;
    this.#end = end;
  }
}
