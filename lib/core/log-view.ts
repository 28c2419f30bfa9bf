import { invariant } from './invariant.ts';
import type { Index, Term } from './types.ts';

export interface TermRun {
  readonly first: Index;
  readonly term: Term;
}

/**
 * The log as the core sees it: which term each index has, as runs, and how many bytes each entry takes. Never the
 * bytes themselves.
 *
 * ```
 *  prevIndex            firstIndex …                       lastIndex
 *  (compacted up to     |  run term 3  |  run term 5  | run term 6 |
 *   here; its term      the term changes a few times in a log's life, so a
 *   is remembered)      lookup is a short search and needs no disk
 * ```
 */
export class LogView {
  #prevIndex: Index;
  #prevTerm: Term;
  #lastIndex: Index;
  #runFirst: Index[] = [];
  #runTerm: Term[] = [];
  /** Size of entry i at [i − #sizesBase]; grows at the end, its dead front is dropped now and then. */
  #sizes: Uint32Array;
  #sizesBase: Index;
  #totalBytes = 0;

  constructor(prevIndex: Index, prevTerm: Term) {
    this.#prevIndex = prevIndex;
    this.#prevTerm = prevTerm;
    this.#lastIndex = prevIndex;
    this.#sizes = new Uint32Array(64);
    this.#sizesBase = prevIndex + 1;
  }

  /** Index of the entry before the first kept one. */
  get prevIndex(): Index {
    return this.#prevIndex;
  }

  get firstIndex(): Index {
    return this.#prevIndex + 1;
  }

  get lastIndex(): Index {
    return this.#lastIndex;
  }

  get lastTerm(): Term {
    return this.#runTerm.length > 0 ? this.#runTerm[this.#runTerm.length - 1]! : this.#prevTerm;
  }

  /** Bytes of all kept entries. */
  get totalBytes(): number {
    return this.#totalBytes;
  }

  /** The term of an entry; -1 where this log cannot say (compacted away, or beyond the end). */
  termAt(index: Index): Term {
    if (index === this.#prevIndex) return this.#prevTerm;
    if (index < this.#prevIndex || index > this.#lastIndex) return -1;
    return this.#runTerm[this.#runOf(index)]!;
  }

  /** Size in bytes of a kept entry. */
  sizeAt(index: Index): number {
    invariant(index > this.#prevIndex && index <= this.#lastIndex, 'LOG_RANGE', 'no size for entry %', index);
    return this.#sizes[index - this.#sizesBase]!;
  }

  append(term: Term, sizeBytes: number): Index {
    invariant(
      term >= this.lastTerm,
      'TERM_REGRESSED',
      'entry of term % behind one of %',
      term,
      this.lastTerm,
    );
    const index = ++this.#lastIndex;
    if (this.#runTerm.length === 0 || term > this.lastTerm) {
      this.#runFirst.push(index);
      this.#runTerm.push(term);
    }
    const at = index - this.#sizesBase;
    if (at >= this.#sizes.length) this.#makeRoom();
    this.#sizes[index - this.#sizesBase] = sizeBytes;
    this.#totalBytes += sizeBytes;
    return index;
  }

  /** Drops `index` and everything behind it. */
  truncateFrom(index: Index): void {
    invariant(
      index > this.#prevIndex,
      'LOG_RANGE',
      'truncation at %, compacted to %',
      index,
      this.#prevIndex,
    );
    for (let i = index; i <= this.#lastIndex; i++) this.#totalBytes -= this.#sizes[i - this.#sizesBase]!;
    this.#lastIndex = Math.min(this.#lastIndex, index - 1);
    while (this.#runFirst.length > 0 && this.#runFirst[this.#runFirst.length - 1]! >= index) {
      this.#runFirst.pop();
      this.#runTerm.pop();
    }
  }

  /** Forgets entries up to and including `index`. */
  compactTo(index: Index): void {
    if (index <= this.#prevIndex) return;
    invariant(
      index <= this.#lastIndex,
      'LOG_RANGE',
      'compaction to %, log ends at %',
      index,
      this.#lastIndex,
    );
    const term = this.termAt(index);
    for (let i = this.#prevIndex + 1; i <= index; i++) this.#totalBytes -= this.#sizes[i - this.#sizesBase]!;
    this.#prevIndex = index;
    this.#prevTerm = term;
    let dead = 0;
    while (dead + 1 < this.#runFirst.length && this.#runFirst[dead + 1]! <= index + 1) dead++;
    this.#runFirst.splice(0, dead);
    this.#runTerm.splice(0, dead);
    if (index === this.#lastIndex) {
      this.#runFirst.length = 0;
      this.#runTerm.length = 0;
    } else {
      this.#runFirst[0] = index + 1;
    }
  }

  /** Empties the log and restarts it behind (index, term), the last entry of a snapshot. */
  reset(index: Index, term: Term): void {
    this.#prevIndex = this.#lastIndex = index;
    this.#prevTerm = term;
    this.#runFirst.length = 0;
    this.#runTerm.length = 0;
    this.#sizesBase = index + 1;
    this.#totalBytes = 0;
  }

  /** Raft 5.4.1: compares last terms first, lengths only when they are equal. */
  isUpToDate(lastIndex: Index, lastTerm: Term): boolean {
    return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.#lastIndex);
  }

  /**
   * The highest index at or below `index` whose term is at most `term`: as far as another log that has `term` at
   * `index` can possibly agree with this one. Both sides skipping this way need one round for each differing term
   * at most, not one for each entry.
   */
  lastWithTermAtMost(index: Index, term: Term): Index {
    let at = Math.min(index, this.#lastIndex);
    while (at > this.#prevIndex) {
      const run = this.#runOf(at);
      if (this.#runTerm[run]! <= term) return at;
      at = this.#runFirst[run]! - 1;
    }
    return Math.min(at, this.#prevIndex);
  }

  /** Runs of equal term over the kept entries. */
  runs(): TermRun[] {
    return this.#runFirst.map((first, i) => ({ first, term: this.#runTerm[i]! }));
  }

  #runOf(index: Index): number {
    let low = 0;
    let high = this.#runFirst.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#runFirst[middle]! <= index) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #makeRoom(): void {
    const live = this.#lastIndex - this.#prevIndex;
    const next = live * 2 > this.#sizes.length ? new Uint32Array(this.#sizes.length * 2) : this.#sizes;
    const from = this.#prevIndex + 1 - this.#sizesBase;
    next.set(this.#sizes.subarray(from, from + Math.min(live, this.#sizes.length - from)));
    this.#sizes = next;
    this.#sizesBase = this.#prevIndex + 1;
  }
}
