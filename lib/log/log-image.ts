import type { Index, Term } from '../core/types.ts';
import type { Segment } from './segment.ts';
import { TermRuns } from './term-runs.ts';

/**
 * The log as its records say it is: which entries are live, in which segment, with which terms. Recovery replays the
 * records of a directory into one of these; the engine then keeps it going with each write.
 *
 * The oldest segments go when a snapshot covers them. What is left may begin with records of a history that was
 * overwritten further back than the kept part reaches; `lastIndex` is then below `prevIndex` until the records
 * that replaced it have been seen.
 */
export class LogImage {
  prevIndex: Index = 0;
  prevTerm: Term = 0;
  lastIndex: Index = 0;
  /** Ascending; the last one is written to. */
  segments: Segment[] = [];
  readonly runs: TermRuns = new TermRuns();

  get current(): Segment {
    return this.segments[this.segments.length - 1]!;
  }

  get lastTerm(): Term {
    return this.termAt(this.lastIndex);
  }

  /** Term of an entry from `prevIndex` on; 0 where it is not known. */
  termAt(index: Index): Term {
    return index === this.prevIndex ? this.prevTerm : index > this.lastIndex ? 0 : this.runs.termAt(index);
  }

  /** Adds the next segment. The first one, and one that resets the log, say where the log begins. */
  start(segment: Segment): void {
    if (this.segments.length === 0 || segment.header.reset) {
      this.segments = [];
      this.runs.clear();
      this.prevIndex = this.lastIndex = segment.header.prevIndex;
      this.prevTerm = segment.header.prevTerm;
    }
    this.segments.push(segment);
  }

  /** Why the entry cannot come next; null if it can. */
  refusal(index: Index, term: Term): string | null {
    if (index < 1) return 'an entry without an index';
    if (index > this.lastIndex + 1) return `entry ${index} follows entry ${this.lastIndex}`;
    const before = index > this.prevIndex ? this.termAt(index - 1) : 0;
    if (term < before) return `entry ${index} of term ${term} follows one of term ${before}`;
    return null;
  }

  /** Adds an entry to the current segment; one at or below the last index replaces the tail from there on. */
  add(index: Index, term: Term, offset: number, size: number): void {
    if (index <= this.lastIndex) this.truncateFrom(index);
    this.lastIndex = index;
    if (index > this.prevIndex) {
      this.current.push(index, offset, size);
      this.runs.push(index, term);
    } else if (index === this.prevIndex) {
      this.prevTerm = term;
    }
  }

  truncateFrom(index: Index): void {
    for (let i = this.segments.length - 1; i >= 0; i--) {
      const segment = this.segments[i]!;
      segment.truncateFrom(index);
      if (segment.count > 0) break;
    }
    this.runs.truncateFrom(index);
    this.lastIndex = index - 1;
  }

  /** Whether the oldest segment holds nothing but entries at or below `through`. */
  canDrop(through: Index): boolean {
    // The second segment began by replacing everything behind its `prevIndex`: what lives in the first is not beyond.
    return this.segments.length > 1 && this.segments[1]!.header.prevIndex <= through;
  }

  /** Forgets the oldest segment and returns it. */
  drop(): Segment {
    const dropped = this.segments.shift()!;
    const floor = Math.max(this.prevIndex, this.segments[0]!.header.prevIndex);
    this.prevTerm = this.termAt(floor);
    this.runs.dropThrough(floor, this.lastIndex);
    this.prevIndex = floor;
    return dropped;
  }

  /** The segment whose live entries include `index`. */
  find(index: Index): Segment | undefined {
    let low = 0;
    let high = this.segments.length - 1;
    // Live ranges ascend, but a segment may have none: fall back to its neighbours.
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      const segment = this.segments[middle]!;
      if (segment.count === 0) return this.segments.find((candidate) => candidate.has(index));
      if (segment.first <= index) low = middle;
      else high = middle - 1;
    }
    const segment = this.segments[low];
    return segment?.has(index) === true ? segment : this.segments.find((candidate) => candidate.has(index));
  }

  /** Sizes of all entries, ascending. */
  sizes(): Uint32Array {
    const sizes = new Uint32Array(Math.max(0, this.lastIndex - this.prevIndex));
    for (const segment of this.segments) {
      for (let i = 0; i < segment.count; i++) {
        const index = segment.first + i;
        if (index > this.prevIndex) sizes[index - this.prevIndex - 1] = segment.sizeOf(index);
      }
    }
    return sizes;
  }
}
