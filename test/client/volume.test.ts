import t from 'tap';
import { Client, Status } from '../../lib/client/index.ts';
import { Kind } from '../../protocol/constants.ts';
import { FakeCluster } from './fake-cluster.ts';

t.test('ten thousand outstanding, answered in order, in reverse, and in part after a drop', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  await using client = await Client.connect({ addresses: cluster.addresses });
  await client.create('a');
  const node = cluster.node(1);
  const count = 10_000;

  const sizes = await Promise.all(Array.from({ length: count }, (_, i) => client.push('a', i)));
  t.ok(
    sizes.every((size, i) => size === i + 1),
    'in order',
  );

  const held: (() => void)[] = [];
  node.onFrame = (frame, link) => {
    if (frame.kind !== Kind.command) {
      link.answer(frame);
      return;
    }
    const { status, body } = cluster.execute(frame);
    held.push(() => link.respond(frame.requestId, status, body));
    if (held.length === count) for (const answer of held.reverse()) answer();
  };
  const reversed = await Promise.all(Array.from({ length: count }, (_, i) => client.push('a', i)));
  t.ok(
    reversed.every((size, i) => size === count + i + 1),
    'in reverse',
  );

  held.length = 0;
  node.onFrame = (frame, link) => {
    if (frame.kind !== Kind.command) {
      link.answer(frame);
      return;
    }
    const { status, body } = cluster.execute(frame);
    held.push(() => link.respond(frame.requestId, status, body));
    if (held.length !== count) return;
    for (const answer of held.slice(0, count / 2)) answer();
    setImmediate(() => link.socket.end());
    node.onFrame = (again, connection) => connection.answer(again);
  };
  const dropped = await Promise.all(Array.from({ length: count }, (_, i) => client.push('a', i)));
  t.ok(
    dropped.every((size, i) => size === 2 * count + i + 1),
    'after a drop',
  );
  t.equal(cluster.applied.length, 3 * count + 1);
});

t.test('no more than the limits is on the wire; the others wait their turn', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  const node = cluster.node(1);
  let onWire = 0;
  let most = 0;
  node.onFrame = (frame, link) => {
    if (frame.kind !== Kind.command) {
      link.answer(frame);
      return;
    }
    most = Math.max(most, ++onWire);
    setImmediate(() => {
      onWire--;
      link.answer(frame);
    });
  };
  await using client = await Client.connect({ addresses: cluster.addresses, maxOutstanding: 10 });
  const calls = Array.from({ length: 200 }, (_, i) => client.push('a', i));
  t.ok(client.saturated);
  const order: number[] = [];
  for (const call of calls) call.then((size) => order.push(size));
  await client.ready();
  t.notOk(client.saturated);
  await Promise.all(calls);
  t.equal(most, 10);
  t.strictSame(
    order,
    Array.from({ length: 200 }, (_, i) => i + 1),
    'first come, first served',
  );
});

t.test('bytes on the wire are limited too, but one large request always goes', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  const node = cluster.node(1);
  let bytes = 0;
  let most = 0;
  node.onFrame = (frame, link) => {
    if (frame.kind !== Kind.command) {
      link.answer(frame);
      return;
    }
    bytes += frame.body.length;
    most = Math.max(most, bytes);
    setImmediate(() => {
      bytes -= frame.body.length;
      link.answer(frame);
    });
  };
  await using client = await Client.connect({ addresses: cluster.addresses, maxOutstandingBytes: 10_000 });
  await Promise.all(Array.from({ length: 100 }, () => client.push('a', 'x'.repeat(1000))));
  t.ok(most <= 10_000 && most > 5000);
  t.equal(await client.push('a', 'x'.repeat(1 << 20)), 101);
});

t.test('a full client refuses: busy, not applied', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  await using client = await Client.connect({ addresses: cluster.addresses, maxQueuedBytes: 10_000 });
  const results = await Promise.allSettled(
    Array.from({ length: 20 }, () => client.push('a', 'x'.repeat(1000))),
  );
  const refused = results.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
  t.ok(refused.length >= 10);
  t.match(refused[0]!.reason, { code: 'BUSY', outcome: 'not_applied' });
  t.equal(await client.size('a'), 20 - refused.length);
});

t.test('what a call takes beside what it sends counts, too', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  await using client = await Client.connect({ addresses: cluster.addresses, maxQueuedBytes: 100_000 });
  const results = await Promise.allSettled(Array.from({ length: 1000 }, (_, i) => client.push('a', i)));
  const done = results.filter(({ status }) => status === 'fulfilled').length;
  t.ok(done > 100 && done < 200, `${done} at a time`);
});

t.test('more than the node takes in one frame is refused here', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  cluster.maxFrameBytes = 2000;
  await using client = await Client.connect({ addresses: cluster.addresses });
  await t.rejects(client.push('a', 'x'.repeat(2000)), { code: 'TOO_LARGE', outcome: 'not_applied' });
  t.equal(await client.push('a', 'x'.repeat(1000)), 1);
});

t.test('values of all sizes arrive whole, whatever lies around them', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  await using client = await Client.connect({ addresses: cluster.addresses });
  const values = Array.from(
    { length: 60 },
    (_, i) => 'é'.repeat(Math.floor(1.25 ** i)).slice(0, 300_000) + i,
  );
  await Promise.all(values.map((value) => client.push('a', value)));
  t.strictSame((await client.popMany('a', 8)).length > 0, true);
  const rest: unknown[] = [];
  for (let value = await client.pop('a'); value !== undefined; value = await client.pop('a'))
    rest.push(value);
  t.strictSame(rest.reverse(), values.slice(0, rest.length));
});

t.test('a connection that takes nothing does not make the client lose anything', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  const node = cluster.node(1);
  await using client = await Client.connect({ addresses: cluster.addresses, stallMs: 60_000 });
  await client.create('a');
  for (const link of node.links) link.socket.pause();
  const big = 'x'.repeat(100_000);
  const calls = Array.from({ length: 400 }, (_, i) => client.push('a', i % 20 === 0 ? i : big));
  const late = await client.push('a', 'late', { timeoutMs: 60 }).catch((error: unknown) => error);
  t.match(late, { code: 'TIMEOUT' });
  for (const link of node.links) link.socket.resume();
  await Promise.all(calls);
  t.equal(cluster.applied.filter(({ body }) => body.length < 20).length >= 20, true);
  t.equal(await client.size('a'), cluster.applied.length - 1);
  t.equal(
    node.seen(Kind.command).every(({ seq, session }) => seq > 0 && session === 1),
    true,
  );
  t.equal(Status.ok, 0);
});

for (const bytes of [1, 5000]) {
  t.test(`who waits until the client is ready is not refused: ${bytes} bytes each`, async (t) => {
    const cluster = await FakeCluster.start();
    t.teardown(() => cluster.close());
    await using client = await Client.connect({ addresses: cluster.addresses, maxQueuedBytes: 100_000 });
    const value = 'x'.repeat(bytes);
    const calls: Promise<number>[] = [];
    for (let i = 0; i < 1000; i++) {
      await client.ready();
      calls.push(client.push('a', value));
    }
    t.strictSame(
      await Promise.all(calls),
      calls.map((_, i) => i + 1),
    );
  });
}

t.test('a client that has room for nothing refuses, and is ready when there is nothing in it', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  await using client = await Client.connect({ addresses: cluster.addresses, maxQueuedBytes: 1 });
  await client.ready();
  await t.rejects(client.push('a', 1), { code: 'BUSY', outcome: 'not_applied' });
  await client.ready();
});
