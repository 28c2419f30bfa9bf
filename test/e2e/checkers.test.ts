// The checkers of the chaos tests, checked themselves: against every possible order, on small histories.
import fc from 'fast-check';
import t from 'tap';
import { checkFacts } from './support/check-facts.ts';
import { checkLinearizable } from './support/check-linearizable.ts';
import { EMPTY, History, type Op, type OpKind } from './support/history.ts';

interface Sketch {
  readonly kind: OpKind;
  readonly callMs: number;
  readonly lengthMs: number;
  readonly lost: boolean;
}

const sketch: fc.Arbitrary<Sketch> = fc.record({
  kind: fc.constantFrom<OpKind>('push', 'push', 'pop', 'pop', 'top', 'size'),
  callMs: fc.integer({ min: 0, max: 40 }),
  lengthMs: fc.integer({ min: 1, max: 25 }),
  lost: fc.boolean(),
});

/** What a real stack answers if each operation takes place at a random time between call and end. */
function play(sketches: readonly Sketch[], at: readonly number[]): Op[] {
  const order = sketches.map((s, i) => ({ s, i, ms: s.callMs + s.lengthMs * at[i % at.length]! }));
  order.sort((a, b) => a.ms - b.ms);
  const stack: string[] = [];
  const ops = order.map(({ s, i }): Op => {
    const value = s.kind === 'push' ? `v${i}` : null;
    // A lost answer: half of these ran all the same.
    const runs = !s.lost || i % 2 === 0;
    const result = runs ? apply(stack, s.kind, value) : EMPTY;
    const outcome = s.lost ? 'unknown' : 'ok';
    const endMs = s.lost ? Infinity : s.callMs + s.lengthMs;
    return {
      client: 'c',
      stack: 's',
      kind: s.kind,
      value,
      callMs: s.callMs,
      endMs,
      outcome,
      result,
      error: '',
    };
  });
  for (let ms = 1000; ; ms++) {
    const result = apply(stack, 'pop', null);
    ops.push({ ...ops[0]!, kind: 'pop', value: null, callMs: ms, endMs: ms + 0.5, outcome: 'ok', result });
    if (result === EMPTY) return ops;
  }
}

function apply(stack: string[], kind: OpKind, value: string | null): string | number | null {
  switch (kind) {
    case 'push':
      return stack.push(value!);
    case 'pop':
      return stack.pop() ?? EMPTY;
    case 'top':
      return stack.at(-1) ?? EMPTY;
    case 'size':
      return stack.length;
  }
}

/** By trying all orders. */
function linearizable(left: readonly Op[], stack: readonly string[]): boolean {
  const sure = left.filter((op) => op.outcome === 'ok');
  if (sure.length === 0) return true;
  const end = Math.min(...sure.map((op) => op.endMs));
  return left.some((op, i) => {
    if (op.callMs > end) return false;
    const after = [...stack];
    const result = apply(after, op.kind, op.value);
    if (op.outcome === 'ok' && result !== op.result) return false;
    return linearizable([...left.slice(0, i), ...left.slice(i + 1)], after);
  });
}

const times = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 8 });

t.test('what a stack did is linearizable', (t) => {
  fc.assert(
    fc.property(fc.array(sketch, { minLength: 1, maxLength: 60 }), times, (sketches, at) => {
      const ops = play(sketches, at);
      const history = new History();
      for (const op of ops) history.add(op);
      return checkLinearizable(ops).linearizable && checkFacts(history).length === 0;
    }),
    { numRuns: 300 },
  );
  t.end();
});

t.test('a wrong answer is found exactly where no order explains it', (t) => {
  let wrong = 0;
  const damage = fc.record({ at: fc.nat(), to: fc.nat(), shift: fc.integer({ min: -1, max: 1 }) });
  fc.assert(
    fc.property(
      fc.array(sketch, { minLength: 2, maxLength: 6 }),
      times,
      damage,
      (sketches, at, { at: which, to, shift }) => {
        const ops = play(sketches, at);
        // The last pop stays what it was: the one that found the stack empty.
        const one = ops[which % (ops.length - 1)]!;
        const other = ops[to % (ops.length - 1)]!;
        const swap =
          typeof one.result === 'number'
            ? ops.map((op) => (op === one ? { ...op, result: Number(op.result) + shift } : op))
            : one.kind === other.kind
              ? ops.map((op) =>
                  op === one
                    ? { ...op, result: other.result }
                    : op === other
                      ? { ...op, result: one.result }
                      : op,
                )
              : ops;
        const expected = linearizable(swap, []);
        if (!expected) wrong++;
        return checkLinearizable(swap).linearizable === expected;
      },
    ),
    { numRuns: 1500 },
  );
  t.ok(wrong > 50, `${wrong} histories were wrong`);
  t.end();
});

t.test('plain facts', (t) => {
  const op = (
    kind: OpKind,
    value: string | null,
    result: string | number | null,
    more: Partial<Op> = {},
  ): Op => ({
    client: 'c',
    stack: 's',
    kind,
    value,
    callMs: 0,
    endMs: 1,
    outcome: 'ok',
    result,
    error: '',
    ...more,
  });
  const facts = (...ops: Op[]): string => {
    const history = new History();
    for (const one of ops) history.add(one);
    return checkFacts(history).join('\n');
  };
  t.equal(facts(op('push', 'a', 1), op('pop', null, 'a')), '');
  t.match(facts(op('push', 'a', 1)), /1 acknowledged pushes are lost/);
  t.equal(facts(op('push', 'a', 1), op('pop', null, null, { outcome: 'unknown' })), '');
  t.match(facts(op('push', 'a', 1), op('pop', null, 'a'), op('pop', null, 'a')), /popped twice/);
  t.match(facts(op('pop', null, 'a')), /never pushed/);
  t.match(facts(op('push', 'a', null, { outcome: 'not_applied' }), op('pop', null, 'a')), /"not applied"/);
  t.equal(facts(op('push', 'a', null, { outcome: 'unknown' }), op('pop', null, 'a')), '');
  t.end();
});
