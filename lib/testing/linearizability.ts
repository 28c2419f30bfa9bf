/** One call of a client and what came of it. */
export interface Operation<I, O> {
  readonly client: number | string;
  readonly input: I;
  /** Undefined: nobody knows whether it took place. */
  readonly output: O | undefined;
  /** On one clock for all clients: when it was called, and when its answer was there (`Infinity` without one). */
  readonly callMs: number;
  readonly returnMs: number;
}

/** What the object would do if only one client used it. */
export interface SequentialModel<S, I, O> {
  readonly initial: S;
  /** The state after `input` in `state` with this answer (undefined: any answer); null if that cannot be. */
  step(state: S, input: I, output: O | undefined): S | null;
  /** Equal states have equal keys. */
  keyOf(state: S): number | string;
  /**
   * Of an operation without an answer: when somebody saw its effect at the latest, so that it must have taken place;
   * `Infinity` if nobody did. Absent: never. It narrows the search.
   */
  seenMs?(operation: Operation<I, O>, operations: readonly Operation<I, O>[]): number;
  /** Operations on different parts have nothing to do with each other and are checked apart. Absent: one part. */
  partOf?(input: I): string;
  /** For explanations. */
  describe?(operation: Operation<I, O>): string;
  describeState?(state: S): string;
}

export type Verdict =
  | { readonly ok: true; readonly steps: number }
  | {
      readonly ok: false;
      readonly part: string;
      /** The search was given up before it was through: nothing is said. */
      readonly undecided: boolean;
      /** Why not, for people to read. */
      readonly explanation: string;
    };

/** Steps of the search after which it is given up. */
const MAX_STEPS = 1_000_000;

/**
 * Whether the operations can be put in one order that explains every answer and in which each takes place between its
 * call and its return (Herlihy and Wing). Operations without an answer may take place at any time after their call, or
 * never.
 *
 * The search is Wing and Gong's, with Lowe's memory: no set of operations is tried twice in the same state. Parts that
 * have nothing to do with each other are checked one by one (Horn and Kroening's P-compositionality).
 *
 * @example
 * const verdict = checkLinearizable(stackModel, operations);
 * if (!verdict.ok) console.error(verdict.explanation);
 */
export function checkLinearizable<S, I, O>(
  model: SequentialModel<S, I, O>,
  operations: readonly Operation<I, O>[],
): Verdict {
  const parts = new Map<string, Operation<I, O>[]>();
  for (const operation of operations) {
    const part = model.partOf?.(operation.input) ?? '';
    const list = parts.get(part);
    if (list) list.push(operation);
    else parts.set(part, [operation]);
  }
  let steps = 0;
  for (const [part, list] of parts) {
    const search = new Search(model, list);
    // Most of what has no answer did not take place, or was seen: an order with few of those is found much faster.
    let found = search.run(0);
    for (let most = 1; found === 'no' && search.heldBack; most *= 4) found = search.run(most);
    steps += search.steps;
    if (found === 'yes') continue;
    const undecided = found === 'gave up';
    return { ok: false, part, undecided, explanation: search.explain(part, undecided) };
  }
  return { ok: true, steps };
}

interface Choice<S> {
  readonly state: S;
  readonly candidates: readonly number[];
  tried: number;
  /** The operation that was chosen last, −1 if none. */
  chosen: number;
}

/**
 * Operations are numbered: first those that must have taken place, by call, then those that need not, by call. The
 * former are done almost in order, so what is done is told by the first that is not and the few behind it.
 */
class Search<S, I, O> {
  readonly #model: SequentialModel<S, I, O>;
  readonly #operations: readonly Operation<I, O>[];
  /** Until when each must have taken place; Infinity: it need not at all. */
  readonly #endMs: readonly number[];
  /** How many must have taken place. */
  readonly #sure: number;
  readonly #done: boolean[];
  #seen = new Set<string>();
  #first = 0;
  /** Operations that must be placed and are not. */
  #open = 0;
  /** Operations that need not be placed and are, and how many may be. */
  #extra = 0;
  #mostExtra = 0;
  /** More of those might have helped. */
  heldBack = false;
  steps = 0;
  /** The longest beginning that could be explained. */
  #best: number[] = [];
  #bestState: S;

  constructor(model: SequentialModel<S, I, O>, operations: readonly Operation<I, O>[]) {
    this.#model = model;
    const timed = operations.map((o) => ({
      o,
      endMs: o.output === undefined ? (model.seenMs?.(o, operations) ?? Infinity) : o.returnMs,
    }));
    const order = (a: (typeof timed)[0], b: (typeof timed)[0]): number =>
      Number(a.endMs === Infinity) - Number(b.endMs === Infinity) || a.o.callMs - b.o.callMs;
    timed.sort(order);
    this.#operations = timed.map(({ o }) => o);
    this.#endMs = timed.map(({ endMs }) => endMs);
    this.#sure = timed.filter(({ endMs }) => endMs < Infinity).length;
    this.#done = timed.map(() => false);
    this.#bestState = model.initial;
  }

  /** Searches for an order with at most so many operations that need not have taken place. */
  run(mostExtra: number): 'yes' | 'no' | 'gave up' {
    this.#seen = new Set();
    this.#done.fill(false);
    this.#first = 0;
    this.#open = this.#sure;
    this.#extra = 0;
    this.#mostExtra = mostExtra;
    this.heldBack = false;
    const path: Choice<S>[] = [this.#choice(this.#model.initial)];
    while (this.#open > 0) {
      const choice = path[path.length - 1]!;
      if (choice.chosen >= 0) this.#set(choice.chosen, false);
      choice.chosen = -1;
      const next = choice.candidates[choice.tried++];
      if (next === undefined) {
        path.pop();
        if (path.length === 0) return 'no';
        continue;
      }
      if (++this.steps > MAX_STEPS) return 'gave up';
      const { input, output } = this.#operations[next]!;
      const state = this.#model.step(choice.state, input, output);
      if (state === null) continue;
      this.#set(next, true);
      choice.chosen = next;
      const key = `${this.#key()} ${this.#model.keyOf(state)}`;
      if (this.#seen.has(key)) continue;
      this.#seen.add(key);
      path.push(this.#choice(state));
      if (path.length - 1 > this.#best.length) {
        this.#best = path.slice(0, -1).map((c) => c.chosen);
        this.#bestState = state;
      }
    }
    return 'yes';
  }

  explain(part: string, undecided: boolean): string {
    const model = this.#model;
    const tell = (i: number): string => {
      const o = this.#operations[i]!;
      const what = model.describe?.(o) ?? `${JSON.stringify(o.input)} → ${JSON.stringify(o.output)}`;
      return `  [${o.callMs.toFixed(1)}, ${o.returnMs.toFixed(1)}] client ${o.client}: ${what}`;
    };
    const placed = new Set(this.#best);
    const left = this.#operations.map((_, i) => i).filter((i) => !placed.has(i));
    const end = Math.min(...left.map((i) => this.#endMs[i]!));
    const stuck = left.filter((i) => this.#operations[i]!.callMs <= end);
    return [
      `${undecided ? `undecided after ${this.steps} steps` : 'not linearizable'}${part === '' ? '' : `: ${part}`}`,
      `of ${this.#sure} operations that took place at most ${this.#best.length} can be put in order; it ends with`,
      ...this.#best.slice(-8).map(tell),
      model.describeState
        ? `which leaves ${model.describeState(this.#bestState)}, where none of these can come next:`
        : 'then none of:',
      ...stuck.slice(0, 20).map(tell),
    ].join('\n');
  }

  /** What may come next: called before anything that is still open has ended. */
  #choice(state: S): Choice<S> {
    let candidates: number[] = [];
    let end = Infinity;
    for (let i = this.#first; i < this.#sure && this.#operations[i]!.callMs <= end; i++) {
      if (this.#done[i]) continue;
      candidates.push(i);
      end = Math.min(end, this.#endMs[i]!);
    }
    // The earliest end first: mostly that is the order things happened in.
    candidates = candidates.filter((i) => this.#operations[i]!.callMs <= end);
    candidates.sort((a, b) => this.#endMs[a]! - this.#endMs[b]!);
    for (let i = this.#sure; i < this.#operations.length && this.#operations[i]!.callMs <= end; i++) {
      if (this.#done[i]) continue;
      if (this.#extra < this.#mostExtra) candidates.push(i);
      else this.heldBack = true;
    }
    return { state, candidates, tried: 0, chosen: -1 };
  }

  #set(index: number, done: boolean): void {
    this.#done[index] = done;
    if (index >= this.#sure) {
      this.#extra += done ? 1 : -1;
      return;
    }
    this.#open += done ? -1 : 1;
    if (!done) this.#first = Math.min(this.#first, index);
    else while (this.#done[this.#first] && this.#first < this.#sure) this.#first++;
  }

  #key(): string {
    let key = `${this.#first}`;
    // Nothing that was called after the end of one that is open can be done.
    let end = Infinity;
    for (let i = this.#first; i < this.#sure && this.#operations[i]!.callMs <= end; i++) {
      if (this.#done[i]) key += `,${i}`;
      else end = Math.min(end, this.#endMs[i]!);
    }
    if (this.#extra === 0) return key;
    for (let i = this.#sure; i < this.#operations.length; i++) if (this.#done[i]) key += `,${i}`;
    return key;
  }
}
