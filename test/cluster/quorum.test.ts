// What five nodes promise: any two may be dead; with three dead nothing is acknowledged; nothing acknowledged is lost.
import t, { type Test } from 'tap';
import { CordwoodError } from '../../protocol/errors.ts';
import { TestCluster } from '../e2e/support/cluster.ts';
import { http } from '../e2e/support/http-stacks.ts';
import type { TestNode } from '../e2e/support/test-node.ts';

t.test('five nodes', async (t) => {
  const cluster = await TestCluster.start(t, { nodes: 5 });
  const client = await cluster.client({ timeoutMs: 30_000 });
  /** What must be on the stack, bottom first: every push is awaited. */
  const expected: string[] = [];
  const push = async (value: string): Promise<void> => {
    t.equal(await client.push('kept', value), expected.push(value));
  };

  await t.test('any two of them dead', async (t) => {
    // Neighbours in this list are each pair once: from pair to pair one node comes back, and another dies.
    const order = [1, 2, 3, 4, 5, 1, 3, 5, 2, 4, 1].map((id) => cluster.nodes[id - 1]!);
    const pairs = order.slice(1).map((node, i) => [order[i]!, node] as const);
    t.equal(new Set(pairs.map((pair) => String(pair.map(({ id }) => id).sort()))).size, 10);
    for (const [i, [a, b]] of pairs.entries()) {
      await Promise.all((i === 0 ? [a, b] : [b]).map((node) => node.kill()));
      await push(`with ${a.id} and ${b.id} dead`);
      t.equal(await client.pop('kept'), expected.pop());
      await push(`again with ${a.id} and ${b.id} dead`);
      t.equal(await client.top('kept'), expected.at(-1));
      t.equal(await client.size('kept'), expected.length);
      a.start();
      if (i === pairs.length - 1) b.start();
      // It is back before the next one goes: three at a time are too many.
      await cluster.settled();
    }
  });

  await t.test('three of them dead', async (t) => {
    const leader = await cluster.settled();
    const others = cluster.nodes.filter((node) => node !== leader);
    const dead = [leader, ...others.slice(0, 2)];
    const alive = others.slice(2);
    await Promise.all(dead.map((node) => node.kill()));
    const attempts = ['unserved 1', 'unserved 2', 'unserved 3'];
    const results = await Promise.allSettled(
      attempts.map((value) => client.push('kept', value, { timeoutMs: 2_500 })),
    );
    const maybe: string[] = [];
    results.forEach((result, i) => {
      const error: unknown = result.status === 'rejected' ? result.reason : undefined;
      if (!CordwoodError.is(error)) {
        t.fail(`push ended with ${JSON.stringify(result)}`);
        return;
      }
      t.match(error.code, /^(TIMEOUT|NO_LEADER|OUTCOME_UNKNOWN)$/);
      if (error.outcome === 'unknown') maybe.push(attempts[i]!);
    });
    await t.rejects(client.top('kept', { timeoutMs: 1_000 }), {
      name: 'CordwoodError',
      outcome: 'not_applied',
    });
    for (const node of alive) await refusesOverHttp(t, node);

    dead[1]!.start();
    await cluster.settled();
    const size = await client.size('kept');
    const extra = size - expected.length;
    t.ok(extra >= 0 && extra <= maybe.length, `${extra} of ${maybe.length} unknown pushes took place`);
    // What was unknown is known now: at the top, in any order, and never what was said not to have been applied.
    for (let i = 0; i < extra; i++) t.ok(maybe.includes(String(await client.pop('kept'))));
    await push('served again');
    for (const node of cluster.nodes) if (!node.alive) node.start();
    await cluster.settled();
  });

  await t.test('all of them dead at the same moment', async (t) => {
    const more = Array.from({ length: 2000 }, (_, i) => `value ${i}`);
    const acknowledged = new Set<string>();
    // The nodes die in the middle of this.
    const pushes = more.map((value) =>
      client.push('flood', value, { timeoutMs: 60_000 }).then((size) => {
        acknowledged.add(`${size} ${value}`);
        if (acknowledged.size === 500) for (const node of cluster.nodes) void node.kill();
      }),
    );
    await Promise.race([Promise.all(pushes), ...cluster.nodes.map((node) => node.exited)]);
    await Promise.all(cluster.nodes.map((node) => node.exited));
    t.ok(acknowledged.size >= 500);
    await cluster.startAll();
    await Promise.all(pushes);
    t.equal(acknowledged.size, more.length, 'every push was acknowledged in the end, with a session');
    t.equal(await client.size('flood'), more.length, 'and took place once');
    const bottomFirst = (await client.popMany('flood', more.length)).reverse();
    t.strictSame(
      new Set(bottomFirst.map((value, i) => `${i + 1} ${String(value)}`)),
      acknowledged,
      'each at the place that was acknowledged',
    );
    t.strictSame((await client.popMany('kept', 1000)).reverse(), expected);
  });
});

async function refusesOverHttp(t: Test, node: TestNode): Promise<void> {
  const headers = { 'x-timeout-ms': '1000' };
  const answer = await http(`${node.url}/sPush`, 'kept,never', { headers, timeoutMs: 20_000 });
  const { error } = JSON.parse(answer.body.toString()) as { error: { code: string; outcome: string } };
  t.equal(answer.status, 503);
  t.equal(error.outcome, 'not_applied', error.code);
}
