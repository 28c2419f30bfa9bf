import type { Operation, SequentialModel } from './linearizability.ts';

export type StackInput =
  | { readonly kind: 'push'; readonly stack: string; readonly value: string }
  | { readonly kind: 'pop' | 'top' | 'size' | 'drain'; readonly stack: string };

/** Size after a push; value of a pop or top, null if there was none; size; the values of a drain, last one first. */
export type StackOutput = string | number | null;

/** A stack as a list; equal stacks are the same object, so that they are cheap to tell apart. */
export interface StackState {
  readonly id: number;
  readonly size: number;
  readonly top: string;
  readonly below: StackState | null;
}

/**
 * Stacks for `checkLinearizable`, each checked by itself. Make a new model for each history, in which no value is pushed
 * twice.
 */
export function stackModel(): SequentialModel<StackState, StackInput, StackOutput> {
  const empty: StackState = { id: 0, size: 0, top: '', below: null };
  const known = new Map<string, StackState>();
  const push = (below: StackState, top: string): StackState => {
    const key = `${below.id} ${top}`;
    let state = known.get(key);
    if (!state) known.set(key, (state = { id: known.size + 1, size: below.size + 1, top, below }));
    return state;
  };
  return {
    initial: empty,
    step: (state, input, output) => {
      const value = state.below === null ? null : state.top;
      switch (input.kind) {
        case 'push':
          return output === undefined || output === state.size + 1 ? push(state, input.value) : null;
        case 'pop':
          return output === undefined || output === value ? (state.below ?? state) : null;
        case 'top':
          return output === undefined || output === value ? state : null;
        case 'drain':
          return output === undefined || output === valuesOf(state) ? empty : null;
        case 'size':
          return output === undefined || output === state.size ? state : null;
      }
    },
    // Values are pushed once: who was given one saw its push.
    seenMs: ({ input }, operations) => {
      let seenMs = Infinity;
      if (input.kind !== 'push') return seenMs;
      for (const o of operations) {
        if ((o.input.kind === 'pop' || o.input.kind === 'top') && o.output === input.value) {
          seenMs = Math.min(seenMs, o.returnMs);
        } else if (o.input.kind === 'drain' && String(o.output).split(' ').includes(input.value)) {
          seenMs = Math.min(seenMs, o.returnMs);
        }
      }
      return seenMs;
    },
    keyOf: (state) => state.id,
    partOf: (input) => input.stack,
    describe: describeStackOperation,
    describeState: (state) => {
      const values: string[] = [];
      for (let s = state; s.below !== null && values.length < 5; s = s.below) values.push(s.top);
      return state.size === 0
        ? 'an empty stack'
        : `${state.size} on the stack, from the top: ${values.join(' ')}`;
    },
  };
}

function valuesOf(state: StackState): string {
  const values: string[] = [];
  for (let s = state; s.below !== null; s = s.below) values.push(s.top);
  return values.join(' ');
}

export function describeStackOperation({ input, output }: Operation<StackInput, StackOutput>): string {
  const what = input.kind === 'push' ? `push ${input.stack} ${input.value}` : `${input.kind} ${input.stack}`;
  return `${what} → ${output === undefined ? 'unknown' : output === null ? 'nothing' : output}`;
}
