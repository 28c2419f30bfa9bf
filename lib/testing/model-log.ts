import type { Config, EntryKind, Index, Term } from '../core/types.ts';

/** An entry as the simulator knows it: `id` stands for its bytes and is different for every entry ever made. */
export interface ModelEntry {
  readonly index: Index;
  readonly term: Term;
  readonly kind: EntryKind;
  readonly id: number;
  readonly sizeBytes: number;
  readonly config: Config | null;
}

/** A log the naive way: an array of entries behind (prevIndex, prevTerm). */
export class ModelLog {
  prevIndex: Index = 0;
  prevTerm: Term = 0;
  entries: ModelEntry[] = [];

  get lastIndex(): Index {
    return this.prevIndex + this.entries.length;
  }

  get lastTerm(): Term {
    return this.entries.at(-1)?.term ?? this.prevTerm;
  }

  get(index: Index): ModelEntry | undefined {
    return this.entries[index - this.prevIndex - 1];
  }

  /** −1 where the log cannot say. */
  termAt(index: Index): Term {
    return index === this.prevIndex ? this.prevTerm : (this.get(index)?.term ?? -1);
  }

  slice(first: Index, last: Index): ModelEntry[] {
    return this.entries.slice(first - this.prevIndex - 1, last - this.prevIndex);
  }

  append(entry: ModelEntry): void {
    if (entry.index !== this.lastIndex + 1) {
      throw new Error(`entry ${entry.index} does not follow ${this.lastIndex}`);
    }
    this.entries.push(entry);
  }

  truncateFrom(index: Index): void {
    this.entries.length = Math.min(this.entries.length, Math.max(0, index - this.prevIndex - 1));
  }

  compactTo(index: Index): void {
    if (index <= this.prevIndex) return;
    const term = this.termAt(index);
    if (term < 0) throw new Error(`compaction to ${index}, log is ${this.prevIndex}…${this.lastIndex}`);
    this.entries.splice(0, index - this.prevIndex);
    this.prevIndex = index;
    this.prevTerm = term;
  }

  reset(index: Index, term: Term): void {
    this.entries = [];
    this.prevIndex = index;
    this.prevTerm = term;
  }
}
