import fc from 'fast-check';
import t from 'tap';
import { checkLinearizable, type Operation } from '../../lib/testing/linearizability.ts';
import { stackModel, type StackInput, type StackOutput } from '../../lib/testing/stack-model.ts';

type Op = Operation<StackInput, StackOutput>;

/** `call return kind [value] answer`; `?` for an answer that never came. */
function history(text: string): Op[] {
  return text
    .trim()
    .split('\n')
    .map((line, client) => {
      const [call, end, kind, ...rest] = line.trim().split(/\s+/);
      const input = (
        kind === 'push' ? { kind, stack: 's', value: rest[0] } : { kind, stack: 's' }
      ) as StackInput;
      const answer = rest.at(-1)!;
      const number = kind === 'push' || kind === 'size';
      const output =
        answer === '?' ? undefined : answer === 'nothing' ? null : number ? Number(answer) : answer;
      return {
        client,
        input,
        output,
        callMs: Number(call),
        returnMs: answer === '?' ? Infinity : Number(end),
      };
    });
}

const check = (text: string): boolean => checkLinearizable(stackModel(), history(text)).ok;

t.test('known good histories', (t) => {
  t.ok(check('0 1 push a 1\n2 3 push b 2\n4 5 pop b\n6 7 pop a\n8 9 pop nothing'));
  t.ok(check('0 9 push a 2\n1 8 push b 1'), 'concurrent pushes in either order');
  t.ok(check('0 5 pop a\n1 4 push a 1'), 'a pop that began before the push, and waited for it');
  t.ok(check('0 1 push a ?\n5 6 pop a'), 'an unknown push that took place');
  t.ok(check('0 1 push a ?\n5 6 pop nothing'), 'an unknown push that did not');
  t.ok(check('0 1 push a ?\n5 6 size 0\n7 8 top a'), 'an unknown push that took place late');
  t.ok(check('0 1 push a 1\n2 3 pop ?\n4 5 top a\n6 7 size 0'));
  t.end();
});

t.test('known bad histories, and why', (t) => {
  t.notOk(check('0 1 push a 1\n2 3 pop a\n4 5 pop a'), 'popped twice');
  t.notOk(check('0 1 push a 1\n2 3 pop nothing'), 'an acknowledged push lost');
  t.notOk(check('0 1 push a 1\n2 3 push b 2\n4 5 pop a'), 'not the top');
  t.notOk(check('0 1 push a 1\n2 3 size 0'), 'a stale read');
  t.notOk(check('0 1 push a 1\n2 3 pop a\n4 5 top a'), 'a stale top');
  t.notOk(check('0 1 pop a\n2 3 push a 1'), 'taken before it was put there');
  t.notOk(check('0 1 push a 1\n2 3 push b 1'), 'two first pushes');
  t.notOk(check('0 1 push a ?\n4 5 pop a\n6 7 pop a'), 'an unknown push counts once');
  t.notOk(check('0 1 push a ?\n2 3 top a\n4 5 top nothing'), 'an unknown push cannot go away again');
  t.notOk(check('0 1 push a 1\n2 9 top nothing\n3 4 top a'), 'a read that goes back behind one that ended');
  const verdict = checkLinearizable(stackModel(), history('0 1 push a 1\n2 3 push b 2\n4 5 pop a'));
  t.match(verdict, { ok: false, part: 's', undecided: false });
  t.match(!verdict.ok && verdict.explanation, /at most 2 .*2 on the stack, from the top: b a.*pop s → a/s);
  t.end();
});

t.test('stacks are checked apart', (t) => {
  const ops: Op[] = ['x', 'y'].map((stack, client) => ({
    client,
    input: { kind: 'push', stack, value: 'a' },
    output: 1,
    callMs: 0,
    returnMs: 1,
  }));
  t.ok(checkLinearizable(stackModel(), ops).ok);
  t.end();
});

/** Every order, without any cleverness. */
function bruteForce(ops: readonly Op[]): boolean {
  const model = stackModel();
  const go = (left: readonly Op[], state: typeof model.initial): boolean => {
    if (left.every((o) => o.output === undefined)) return true;
    const end = Math.min(...left.map((o) => o.returnMs));
    return left.some((o) => {
      if (o.callMs > end) return false;
      const after = model.step(state, o.input, o.output);
      return (
        after !== null &&
        go(
          left.filter((other) => other !== o),
          after,
        )
      );
    });
  };
  return go(ops, model.initial);
}

t.test('says what trying all orders says', (t) => {
  const call = fc.record({
    kind: fc.constantFrom('push' as const, 'pop' as const, 'top' as const, 'size' as const),
    callMs: fc.nat(12),
    lasts: fc.nat(8),
    answer: fc.nat(6),
    unknown: fc.constantFrom(false, false, false, true),
  });
  const history = fc.array(call, { maxLength: 7 }).map((calls) =>
    calls.map(({ kind, callMs, lasts, answer, unknown }, i): Op => {
      const number = kind === 'push' || kind === 'size';
      const output: StackOutput = number ? answer % 4 : answer === 6 ? null : `v${answer % 4}`;
      return {
        client: 1,
        input: kind === 'push' ? { kind, stack: 's', value: `v${i}` } : { kind, stack: 's' },
        output: unknown ? undefined : output,
        callMs,
        returnMs: unknown ? Infinity : callMs + lasts,
      };
    }),
  );
  let good = 0;
  fc.assert(
    fc.property(history, (ops) => {
      const expected = bruteForce(ops);
      if (expected) good++;
      return checkLinearizable(stackModel(), ops).ok === expected;
    }),
    { numRuns: 3000 },
  );
  t.ok(good > 100, `${good} of them were linearizable`);
  t.end();
});

t.test('a long honest history with many clients is decided fast', (t) => {
  // Eight clients, each answer is that of an instant somewhere between call and return.
  let seed = 1;
  const random = (): number => ((seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) >>> 8) / 2 ** 24;
  const stack: string[] = [];
  const ops: Op[] = [];
  for (let i = 0; i < 3000; i++) {
    const at = i + random();
    const kind = random() < 0.5 ? 'push' : random() < 0.7 ? 'pop' : 'top';
    let input: StackInput = { kind, stack: 's' } as StackInput;
    let output: StackOutput | undefined;
    if (kind === 'push') {
      input = { kind, stack: 's', value: `v${i}` };
      output = stack.push(`v${i}`);
    } else output = (kind === 'pop' ? stack.pop() : stack.at(-1)) ?? null;
    const unknown = random() < 0.01;
    ops.push({
      client: i % 8,
      input,
      output: unknown ? undefined : output,
      callMs: at - random() * 4,
      returnMs: unknown ? Infinity : at + random() * 4,
    });
  }
  t.ok(checkLinearizable(stackModel(), ops).ok);
  t.end();
});
