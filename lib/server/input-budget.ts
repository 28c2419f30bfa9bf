import { cutOffHeaviest } from './cut-off.ts';
import type { CutOff } from './cut-off.ts';

/** Up to this much of a frame is the seam between two chunks, however fast its sender is. */
const SEAM_BYTES = 64 << 10;

/** What one connection has sent of a frame that is not whole yet. */
export class UnfinishedInput {
  readonly cutOff: CutOff;
  readonly #change: (bytes: number) => void;
  #bytes = 0;
  #sinceMs = 0;

  constructor(cutOff: CutOff, change: (bytes: number) => void) {
    this.cutOff = cutOff;
    this.#change = change;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Says how much it is now. */
  set(bytes: number): void {
    const more = bytes - this.#bytes;
    if (more === 0) return;
    if (bytes > SEAM_BYTES && (more < 0 || this.#bytes <= SEAM_BYTES)) this.#sinceMs = performance.now();
    this.#bytes = bytes;
    this.#change(more);
  }

  /** Who is cut off first: those with much that has long been under way. */
  weightAt(nowMs: number): number {
    return this.#bytes * (1 + (this.#bytes > SEAM_BYTES ? nowMs - this.#sinceMs : 0));
  }
}

/**
 * Unfinished frames of all binary connections of a front door. Each may be as large as a frame, and nothing says when
 * the rest of it comes: when all together are too many bytes, those that keep the most for the longest are cut off.
 */
export class InputBudget {
  readonly #maxBytes: number;
  readonly #connections = new Set<UnfinishedInput>();
  #bytes = 0;
  #relieving = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Watches a connection until it is forgotten. Its owner says how much it is after each chunk. */
  watch(cutOff: CutOff): UnfinishedInput {
    const unfinished = new UnfinishedInput(cutOff, (bytes) => this.#change(bytes));
    this.#connections.add(unfinished);
    return unfinished;
  }

  /** Idempotent. */
  forget(unfinished: UnfinishedInput): void {
    if (this.#connections.delete(unfinished)) unfinished.set(0);
  }

  #change(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes <= this.#maxBytes || this.#relieving) return;
    this.#relieving = true;
    this.#relieve();
    this.#relieving = false;
  }

  #relieve(): void {
    const nowMs = performance.now();
    const why = 'too many requests have not arrived whole, and it is one of those that keep the most';
    cutOffHeaviest(
      this.#connections,
      (unfinished) => unfinished.weightAt(nowMs),
      (unfinished) => {
        this.forget(unfinished);
        unfinished.cutOff(why);
      },
      () => this.#bytes,
      this.#maxBytes,
    );
  }
}
