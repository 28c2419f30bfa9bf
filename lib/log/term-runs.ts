import type { Index, Term } from '../core/types.ts';

export interface TermRun {
  readonly first: Index;
  readonly term: Term;
}

/** Which term each entry has, as runs of equal term: a log of a million entries has a handful. */
export class TermRuns {
  #runs: TermRun[] = [];

  get list(): readonly TermRun[] {
    return this.#runs;
  }

  /** Adds the entry behind the last one. */
  push(index: Index, term: Term): void {
    if (this.#runs.length === 0 || this.#runs[this.#runs.length - 1]!.term !== term) {
      this.#runs.push({ first: index, term });
    }
  }

  /** Forgets the entries from `index` on. */
  truncateFrom(index: Index): void {
    while (this.#runs.length > 0 && this.#runs[this.#runs.length - 1]!.first >= index) this.#runs.pop();
  }

  /** Forgets the entries up to and including `index`; `last` is the last entry there is. */
  dropThrough(index: Index, last: Index): void {
    if (index >= last) {
      this.#runs = [];
      return;
    }
    while (this.#runs.length > 1 && this.#runs[1]!.first <= index + 1) this.#runs.shift();
    const head = this.#runs[0];
    if (head !== undefined && head.first <= index) this.#runs[0] = { first: index + 1, term: head.term };
  }

  /** Term of the entry at `index`, which must be between the first and the last; 0 if it is before the first. */
  termAt(index: Index): Term {
    let low = 0;
    let high = this.#runs.length - 1;
    let term = 0;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const run = this.#runs[middle]!;
      if (run.first <= index) {
        term = run.term;
        low = middle + 1;
      } else {
        high = middle - 1;
      }
    }
    return term;
  }

  clear(): void {
    this.#runs = [];
  }
}
