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
const MAX_STEPS = 5_000_000;

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
    const found = search.run();
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

class Search<S, I, O> {
  readonly #model: SequentialModel<S, I, O>;
  /** By call; those without an answer too. */
  readonly #operations: readonly Operation<I, O>[];
  readonly #done: boolean[];
  readonly #seen = new Set<string>();
  #first = 0;
  #open: number;
  steps = 0;
  /** The longest beginning that could be explained. */
  #best: number[] = [];
  #bestState: S;

  constructor(model: SequentialModel<S, I, O>, operations: readonly Operation<I, O>[]) {
    this.#model = model;
    this.#operations = [...operations].sort((a, b) => a.callMs - b.callMs);
    this.#done = this.#operations.map(() => false);
    this.#open = operations.filter((o) => o.output !== undefined).length;
    this.#bestState = model.initial;
  }

  run(): 'yes' | 'no' | 'gave up' {
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
    const tell = (o: Operation<I, O>): string =>
      `  [${o.callMs.toFixed(1)}, ${o.returnMs.toFixed(1)}] client ${o.client}: ` +
      (model.describe?.(o) ?? `${JSON.stringify(o.input)} → ${JSON.stringify(o.output)}`);
    const placed = new Set(this.#best);
    const answered = this.#operations.filter((o) => o.output !== undefined).length;
    const left = this.#operations.map((_, i) => i).filter((i) => !placed.has(i));
    const end = Math.min(...left.map((i) => this.#operations[i]!.returnMs));
    const stuck = left
      .filter((i) => this.#operations[i]!.callMs <= end)
      .map((i) => tell(this.#operations[i]!));
    return [
      undecided
        ? `undecided after ${this.steps} steps${part === '' ? '' : ` (${part})`}`
        : `not linearizable${part === '' ? '' : `: ${part}`}`,
      `of ${answered} answered operations at most ${this.#best.length} can be put in order; it ends with`,
      ...this.#best.slice(-8).map((i) => tell(this.#operations[i]!)),
      model.describeState
        ? `which leaves ${model.describeState(this.#bestState)}, where none of these can come next:`
        : 'then none of:',
      ...stuck.slice(0, 20),
    ].join('\n');
  }

  /** What may come next: called before anything that is still open has returned. */
  #choice(state: S): Choice<S> {
    const candidates: number[] = [];
    let end = Infinity;
    for (let i = this.#first; i < this.#operations.length; i++) {
      const { callMs, returnMs } = this.#operations[i]!;
      if (callMs > end) break;
      if (this.#done[i]) continue;
      candidates.push(i);
      end = Math.min(end, returnMs);
    }
    const open = candidates.filter((i) => this.#operations[i]!.callMs <= end);
    // Those with an answer first, and the earliest return: mostly that is the order things happened in.
    open.sort((a, b) => this.#operations[a]!.returnMs - this.#operations[b]!.returnMs);
    return { state, candidates: open, tried: 0, chosen: -1 };
  }

  #set(index: number, done: boolean): void {
    this.#done[index] = done;
    if (this.#operations[index]!.output !== undefined) this.#open += done ? -1 : 1;
    if (!done) this.#first = Math.min(this.#first, index);
    else while (this.#done[this.#first]) this.#first++;
  }

  /** Which operations are done: all before the first open one, and these behind it. */
  #key(): string {
    let key = `${this.#first}`;
    const last = this.#operations.length;
    // Nothing that was called after the first open one has returned can be done.
    let end = Infinity;
    for (let i = this.#first; i < last && this.#operations[i]!.callMs <= end; i++) {
      if (this.#done[i]) key += `,${i}`;
      else end = Math.min(end, this.#operations[i]!.returnMs);
    }
    return key;
  }
}
