import { EMPTY, type Op, type OpKind } from './history.ts';

/** More states than any honest history of these tests needs. */
const MAX_STATES = 3_000_000;

export interface Verdict {
  readonly linearizable: boolean;
  /** The search was given up: nothing is said. */
  readonly undecided: boolean;
  readonly states: number;
  /** The longest explicable beginning, and what could not follow it. */
  readonly stuckAt: readonly Op[];
}

interface Level {
  readonly value: string;
  readonly below: Level | null;
  readonly size: number;
  /** When the first of the pops that must take this value or one below has ended. */
  readonly goneMs: number;
  readonly hash1: number;
  readonly hash2: number;
}

interface Step {
  readonly candidates: readonly number[];
  next: number;
  /** Operation that led here, -1 at the root, and the stack before it. */
  readonly by: number;
  readonly before: Level | null;
  readonly firstBefore: number;
}

/**
 * Whether the operations on one stack can be put in an order that explains all answers and in which whatever ended
 * before another began comes first: a depth-first search that never visits the same set of done operations with the
 * same stack twice (Wing and Gong, with Lowe's memory). The sizes that pushes return keep the search narrow.
 *
 * Operations of unknown outcome may be placed anywhere after their call, or nowhere. As each value is pushed once and
 * the stack is popped empty at the end, much is known about them all the same: a push whose value was seen took place
 * before that was; a pop without an answer can only have taken a value that no other pop returned.
 */
export function checkLinearizable(ops: readonly Op[]): Verdict {
  // Most of what is unknown did not happen: an order with as few such operations as there must be (each acknowledged
  // value that nobody got was taken by one) or little more is found much faster.
  let states = 0;
  let more = 0;
  for (;;) {
    const search = new Search(ops, more);
    const verdict = search.run();
    states += verdict.states;
    if (verdict.linearizable || search.mostMaybe >= search.maybeCount) return { ...verdict, states };
    more += more < 4 ? 1 : more;
  }
}

class Search {
  readonly #sure: readonly Op[];
  readonly #maybe: readonly Op[];
  readonly #ops: readonly Op[];
  /** Values that pops returned, each with its pop. */
  readonly #popped = new Map<string, Op>();
  readonly #done: Uint8Array;
  readonly #random1: Uint32Array;
  readonly #random2: Uint32Array;
  readonly #seen = new Set<number>();
  #first = 0;
  #hash1 = 0;
  #hash2 = 0;
  #stack: Level | null = null;
  /** Operations of unknown outcome that may be placed. */
  readonly mostMaybe: number;
  #maybePlaced = 0;

  constructor(ops: readonly Op[], moreMaybe: number) {
    const seenMs = new Map<string, number>();
    for (const op of ops) {
      const { kind, outcome, result, endMs } = op;
      if (outcome !== 'ok' || (kind !== 'pop' && kind !== 'top') || typeof result !== 'string') continue;
      seenMs.set(result, Math.min(endMs, seenMs.get(result) ?? Infinity));
      if (kind === 'pop') this.#popped.set(result, op);
    }
    const sure = ops.filter((op) => op.outcome === 'ok');
    const lostPops = ops.filter((op) => op.outcome === 'unknown' && op.kind === 'pop');
    const maybe = [...lostPops];
    for (const op of ops) {
      if (op.outcome !== 'unknown' || op.kind !== 'push') continue;
      const endMs = seenMs.get(op.value!);
      if (endMs !== undefined) sure.push({ ...op, endMs });
      else if (lostPops.length > 0) maybe.push(op);
    }
    const byCall = (a: Op, b: Op): number => a.callMs - b.callMs;
    const missing = sure.filter((op) => op.kind === 'push' && !this.#popped.has(op.value!)).length;
    this.mostMaybe = missing + moreMaybe;
    this.#sure = sure.sort(byCall);
    this.#maybe = maybe.sort(byCall);
    this.#ops = [...this.#sure, ...this.#maybe];
    this.#done = new Uint8Array(this.#ops.length);
    this.#random1 = randoms(this.#ops.length, 0x9e3779b9);
    this.#random2 = randoms(this.#ops.length, 0x85ebca6b);
  }

  get maybeCount(): number {
    return this.#maybe.length;
  }

  run(): Verdict {
    let left = this.#sure.length;
    let fewest = left;
    let stuckAt: readonly Op[] = [];
    const path: Step[] = [this.#step(-1, null, 0)];
    while (left > 0) {
      const step = path.at(-1)!;
      const index = step.candidates[step.next++];
      if (index === undefined) {
        if (path.length === 1) return this.#verdict(false, false, stuckAt);
        path.pop();
        this.#undo(step);
        if (step.by < this.#sure.length) left++;
        continue;
      }
      const before = this.#stack;
      const firstBefore = this.#first;
      if (!this.#apply(index)) continue;
      if (this.#seen.size > MAX_STATES) return this.#verdict(false, true, stuckAt);
      if (index < this.#sure.length) left--;
      const next = this.#step(index, before, firstBefore);
      path.push(next);
      if (left < fewest) {
        fewest = left;
        stuckAt = next.candidates.map((i) => this.#ops[i]!);
      }
    }
    return this.#verdict(true, false, []);
  }

  #verdict(linearizable: boolean, undecided: boolean, stuckAt: readonly Op[]): Verdict {
    return { linearizable, undecided, states: this.#seen.size, stuckAt };
  }

  #step(by: number, before: Level | null, firstBefore: number): Step {
    return { candidates: this.#candidates(), next: 0, by, before, firstBefore };
  }

  /** Operations that may come next: called before any that is not done has ended. Sure ones first. */
  #candidates(): number[] {
    const window: number[] = [];
    let end = Infinity;
    for (let i = this.#first; i < this.#sure.length && this.#sure[i]!.callMs <= end; i++) {
      if (this.#done[i] === 1) continue;
      window.push(i);
      end = Math.min(end, this.#sure[i]!.endMs);
    }
    const candidates = window.filter((i) => this.#sure[i]!.callMs <= end);
    if (this.#maybePlaced === this.mostMaybe) return candidates;
    // Pops without an answer are all alike, and so are pushes of values that nobody saw: the one called first can stand
    // for any other.
    const tried = new Set<OpKind>();
    for (let i = 0; i < this.#maybe.length && this.#maybe[i]!.callMs <= end; i++) {
      const { kind } = this.#maybe[i]!;
      if (this.#done[this.#sure.length + i] === 1 || tried.has(kind)) continue;
      tried.add(kind);
      candidates.push(this.#sure.length + i);
    }
    return candidates;
  }

  /** Carries out an operation if its answer fits and what results is new. */
  #apply(index: number): boolean {
    const op = this.#ops[index]!;
    const sure = op.outcome === 'ok';
    const top = this.#stack;
    const size = top?.size ?? 0;
    let after = top;
    switch (op.kind) {
      case 'push':
        if (sure && op.result !== size + 1) return false;
        after = pushed(top, op.value!, this.#popped.get(op.value!)?.endMs ?? Infinity);
        // It would lie above a value whose pop had ended before its own began.
        if (top !== null && top.goneMs < (this.#popped.get(op.value!)?.callMs ?? op.callMs)) return false;
        break;
      case 'pop':
        // One that took nothing changed nothing: it need not be placed.
        if (!sure && (top === null || this.#popped.has(top.value))) return false;
        if (sure && op.result !== (top === null ? EMPTY : top.value)) return false;
        after = top === null ? null : top.below;
        break;
      case 'top':
        if (op.result !== (top === null ? EMPTY : top.value)) return false;
        break;
      case 'size':
        if (op.result !== size) return false;
    }
    const hash1 = (this.#hash1 ^ this.#random1[index]!) >>> 0;
    const hash2 = (this.#hash2 ^ this.#random2[index]!) >>> 0;
    const key1 = (hash1 ^ (after?.hash1 ?? 0)) >>> 0;
    const key2 = (hash2 ^ (after?.hash2 ?? 0)) >>> 11;
    const key = key1 * 0x200000 + key2;
    if (this.#seen.has(key)) return false;
    this.#seen.add(key);
    this.#hash1 = hash1;
    this.#hash2 = hash2;
    this.#stack = after;
    this.#done[index] = 1;
    if (index >= this.#sure.length) this.#maybePlaced++;
    while (this.#first < this.#sure.length && this.#done[this.#first] === 1) this.#first++;
    return true;
  }

  #undo(step: Step): void {
    this.#done[step.by] = 0;
    if (step.by >= this.#sure.length) this.#maybePlaced--;
    this.#hash1 = (this.#hash1 ^ this.#random1[step.by]!) >>> 0;
    this.#hash2 = (this.#hash2 ^ this.#random2[step.by]!) >>> 0;
    this.#stack = step.before;
    this.#first = step.firstBefore;
  }
}

function pushed(below: Level | null, value: string, poppedMs: number): Level {
  let hash1 = below?.hash1 ?? 0x811c9dc5;
  let hash2 = below?.hash2 ?? 0x1b873593;
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    hash1 = Math.imul(hash1 ^ code, 0x01000193) >>> 0;
    hash2 = (Math.imul(hash2 ^ code, 0x5bd1e995) + 0x6b43a9b5) >>> 0;
  }
  hash1 = Math.imul(hash1 ^ 0xff, 0x01000193) >>> 0;
  const goneMs = Math.min(poppedMs, below?.goneMs ?? Infinity);
  return { value, below, size: (below?.size ?? 0) + 1, goneMs, hash1, hash2 };
}

function randoms(count: number, seed: number): Uint32Array {
  const numbers = new Uint32Array(count);
  let state = seed;
  for (let i = 0; i < count; i++) {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    numbers[i] = (z ^ (z >>> 14)) >>> 0;
  }
  return numbers;
}
