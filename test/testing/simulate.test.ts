import t from 'tap';
import { CommandError, defineMachine } from '../../lib/machine/define-machine.ts';
import type { StateMachine } from '../../lib/machine/state-machine.ts';
import type { SequentialModel } from '../../lib/testing/linearizability.ts';
import { simulate } from '../../lib/testing/simulate.ts';
import { StoryFailure } from '../../lib/testing/story.ts';

/** A counter; `steal` makes the machine wrong after that many commands. */
function counter(steal = Infinity): StateMachine {
  return defineMachine<{ total: number; count: number }, number>({
    name: 'counter',
    version: 1,
    initial: () => ({ total: 0, count: 0 }),
    apply(state, by) {
      if (!Number.isSafeInteger(by)) throw new CommandError('not a number');
      if (++state.count > steal) return state.total;
      return (state.total += by);
    },
    query: (state) => state,
  });
}

const model = (): SequentialModel<number, number, number> => ({
  initial: 0,
  step: (total, by, answer) => (answer === undefined || answer === total + by ? total + by : null),
  keyOf: (total) => total,
});

t.test('a machine of one’s own, its invariant and its model', async (t) => {
  let asked = 0;
  const result = await simulate<number, number>({
    machine: () => counter(),
    seeds: 15,
    step: ({ client, dice, record }) => {
      const by = 1 + Math.floor(dice.next() * 5);
      return record(by, () => client.send<number>(by));
    },
    invariant: ({ ask, index, node }) => {
      const { total, count } = ask(null) as { total: number; count: number };
      if (total < count) throw new Error(`node ${node}, entry ${index}: ${total} of ${count}`);
      asked++;
    },
    last: async ({ client }) => {
      await client.ask(null);
    },
    model,
  });
  t.equal(result.seeds, 15);
  t.ok(result.operations > 100, `${result.operations} operations`);
  t.ok(asked > result.operations, `looked ${asked} times`);
  t.ok([...result.faults.values()].reduce((a, b) => a + b, 0) > 50);
});

t.test('a broken invariant is found, with a seed that shows it again', async (t) => {
  const options = {
    machine: () => counter(10),
    step: ({ client }: { client: { send(by: number): Promise<unknown> } }) => client.send(1),
    invariant: ({ ask }: { ask(query: unknown): unknown }) => {
      const { total, count } = ask(null) as { total: number; count: number };
      if (total !== count) throw new Error('money is gone');
    },
  };
  const error = await simulate({ ...options, seeds: 5 }).catch((e: unknown) => e);
  t.ok(error instanceof StoryFailure);
  t.match((error as Error).message, /^seed (\d+) at [\d.]+ ms: .*money is gone/);
  const seed = Number(/^seed (\d+)/.exec((error as Error).message)![1]);
  const lines: string[] = [];
  const again = await simulate({ ...options, seed, trace: (line) => lines.push(line) }).catch(
    (e: unknown) => e,
  );
  t.equal((again as Error).message, (error as Error).message);
  t.ok(lines.length > 10, 'with everything that happened');
});

t.test('answers that no order explains are found without an invariant', async (t) => {
  const broken = simulate<number, number>({
    machine: () => counter(10),
    seeds: 5,
    step: ({ client, record }) => record(1, () => client.send<number>(1)),
    model,
  });
  await t.rejects(broken, { message: /not linearizable/ });
});

t.test('a machine that is not the same on each replica is found', async (t) => {
  let machines = 0;
  const broken = simulate({
    machine: () => counter(++machines % 3 === 0 ? 5 : Infinity),
    seeds: 5,
    nodes: 3,
    step: ({ client }) => client.send(1),
  });
  await t.rejects(broken, { message: /another replica/ });
});

t.test('a machine that is given twice is told as what it is', async (t) => {
  for (const nodes of [1, 3]) {
    const machine = counter();
    const simulated = simulate({
      machine: () => machine,
      nodes,
      seeds: 10,
      step: ({ client }) => client.send(1),
    });
    await t.rejects(simulated, /make a new one for each start/);
  }
});

t.test('without faults nothing goes wrong, and every call has its answer', async (t) => {
  const { faults, unknown, operations } = await simulate<number, number>({
    machine: () => counter(),
    seeds: 5,
    faults: [],
    nodes: 3,
    step: ({ client, record }) => record(1, () => client.send<number>(1)),
    model,
  });
  t.equal(faults.size, 0);
  t.ok(operations > 50);
  t.ok(unknown <= 5, 'but for clients that were closed in the middle');
});
