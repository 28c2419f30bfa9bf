import type { NameBytes } from './name-bytes.ts';
import type { SlabStack } from './slab-stack.ts';

/** Fewer dropped stacks are not worth a walk over those that are left. */
const MIN_DROPPED = 1024;

/** Stacks in the order of their names' bytes, for lists: sorted when asked for, as far as they are not yet. */
export class NameOrder {
  readonly #names: NameBytes;
  readonly #isThere: (stack: SlabStack) => boolean;
  #sorted: SlabStack[] = [];
  #unsorted: SlabStack[] = [];
  /** How many of both are gone. */
  #dropped = 0;

  /** `isThere` says whether a stack has not been dropped. */
  constructor(names: NameBytes, isThere: (stack: SlabStack) => boolean) {
    this.#names = names;
    this.#isThere = isThere;
  }

  add(stack: SlabStack): void {
    this.#unsorted.push(stack);
  }

  /** Says that a stack is gone, and how many are left. */
  drop(left: number): void {
    // Stacks may come and go by the million and nobody ever ask for a list.
    if (++this.#dropped >= MIN_DROPPED && this.#dropped > left) this.#forgetDropped();
  }

  all(): readonly SlabStack[] {
    if (this.#dropped > 0) this.#forgetDropped();
    if (this.#unsorted.length > 0) {
      this.#unsorted.sort((a, b) => this.#compare(a, b));
      this.#sorted = this.#merge(this.#sorted, this.#unsorted);
      this.#unsorted = [];
    }
    return this.#sorted;
  }

  #forgetDropped(): void {
    this.#sorted = this.#sorted.filter(this.#isThere);
    this.#unsorted = this.#unsorted.filter(this.#isThere);
    this.#dropped = 0;
  }

  #merge(a: readonly SlabStack[], b: readonly SlabStack[]): SlabStack[] {
    const merged: SlabStack[] = [];
    let i = 0;
    let j = 0;
    while (i < a.length && j < b.length) {
      if (this.#compare(a[i]!, b[j]!) < 0) merged.push(a[i++]!);
      else merged.push(b[j++]!);
    }
    while (i < a.length) merged.push(a[i++]!);
    while (j < b.length) merged.push(b[j++]!);
    return merged;
  }

  #compare(a: SlabStack, b: SlabStack): number {
    return this.#names.compare(a.nameAt, a.nameBytes, b.nameAt, b.nameBytes);
  }
}
