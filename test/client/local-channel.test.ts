import t from 'tap';
import { Client, Status } from '../../lib/client/index.ts';
import { FakeRequests } from './fake-requests.ts';

t.test('a client of a node in the same process', async (t) => {
  const node = new FakeRequests();
  const client = Client.local(node);
  t.equal(await client.push('a', 'x'), 1);
  t.equal(client.clusterId, 'local');
  t.strictSame(client.leader, { id: 1, address: '' });
  const sizes = await Promise.all(Array.from({ length: 5000 }, (_, i) => client.push('a', i)));
  t.ok(sizes.every((size, i) => size === i + 2));
  t.equal(await client.pop('a'), 4999);
  t.equal(node.cluster.applied.length, 5002);
  await client.close();
  await client.close();
  t.equal(node.listeners, 0);
  t.equal(node.sinks.size, 0, 'the node was told that nobody listens any more');
  t.equal(node.cluster.sessions.size, 0);
});

t.test('a saturated node is not fed', async (t) => {
  const node = new FakeRequests();
  await using client = Client.local(node);
  await client.create('a');
  node.saturated = true;
  const calls = Array.from({ length: 100 }, (_, i) => client.push('a', 'x'.repeat(50_000) + i));
  const timedOut = await client.push('a', 'late', { timeoutMs: 50 }).catch((error: unknown) => error);
  t.match(timedOut, { code: 'TIMEOUT' });
  t.equal(node.cluster.applied.length, 1);
  node.makeRoom();
  await Promise.all(calls);
  t.ok(node.cluster.applied.length >= 101);
  const bodies = node.cluster.applied
    .slice(1, 101)
    .map(({ body }) => body.toString('latin1').replace(/^.*x/s, ''));
  t.strictSame(
    bodies,
    Array.from({ length: 100 }, (_, i) => String(i)),
    'in order, and whole',
  );
});

t.test('leader changes come through, and waiting calls go on', async (t) => {
  const node = new FakeRequests();
  await using client = Client.local(node, { timeoutMs: 60 });
  const leaders: unknown[] = [];
  client.on('leader', (leader) => leaders.push(leader));
  await client.create('a');
  node.refuseWith = Status.noLeader;
  node.setLeader(null);
  await t.rejects(client.push('a', 1), { code: 'NO_LEADER', outcome: 'not_applied' });
  const pushing = client.push('a', 1, { timeoutMs: 5000 });
  node.refuseWith = 0;
  node.setLeader({ id: 2, address: 'elsewhere:1' });
  t.equal(await pushing, 1);
  t.strictSame(leaders, [{ id: 1, address: '' }, null, { id: 2, address: 'elsewhere:1' }]);
});

t.test('closing with calls under way', async (t) => {
  const node = new FakeRequests();
  const client = Client.local(node);
  await client.create('a');
  const pushing = client.push('a', 1);
  await Promise.resolve();
  await Promise.all([t.rejects(pushing, { code: 'CLOSED' }), client.close()]);
});

t.test('clients of a node are closed with it, and the node keeps none that was closed before', async (t) => {
  const node = new FakeRequests();
  const waiting: (() => void)[] = [];
  node.closed = { then: (onClosed: () => void) => waiting.push(onClosed) } as never;
  const kept = Client.local(node);
  for (let i = 0; i < 10; i++) {
    const client = Client.local(node);
    await client.push('a', i);
    await client.close();
  }
  t.equal(waiting.length, 1, 'a wait for each would keep each');
  node.answers = () => false;
  const pushing = kept.push('a', 1);
  await Promise.resolve();
  waiting[0]!();
  await t.rejects(pushing, { code: 'CLOSED' });
  await t.rejects(kept.size('a'), { code: 'CLOSED' });
});

t.test('a node that has no room for long is no dead connection', async (t) => {
  const node = new FakeRequests();
  await using client = Client.local(node, { session: false, stallMs: 20 });
  await client.create('a');
  let connects = 0;
  client.on('connect', () => connects++);
  node.saturated = true;
  const calls = [1, 2, 3].map((i) => client.push('a', i));
  // Many times what a silent connection is given.
  for (let i = 0; i < 3; i++) await t.rejects(client.size('a', { timeoutMs: 100 }), { code: 'TIMEOUT' });
  node.makeRoom();
  t.strictSame(await Promise.all(calls), [1, 2, 3]);
  t.equal(connects, 0);
});
