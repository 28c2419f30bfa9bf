import t from 'tap';
import { Client } from '../../lib/client/index.ts';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { encodeWelcome } from '../../protocol/client-codec.ts';
import { Kind } from '../../protocol/constants.ts';
import { FakeCluster, freePort } from './fake-cluster.ts';

t.test('stack operations', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  await using client = await Client.connect({ addresses: [`http://${cluster.addresses[0]!}/`] });

  t.equal(await client.create('a'), true);
  t.equal(await client.create('a'), false);
  t.equal(await client.exists('a'), true);
  t.equal(await client.exists('b'), false);
  t.equal(await client.pop('a'), undefined, 'an empty stack gives undefined');
  t.equal(await client.top('a'), undefined);
  await t.rejects(client.pop('b'), { code: 'NOT_FOUND', outcome: 'not_applied' });
  await t.rejects(client.top('b'), { code: 'NOT_FOUND' });
  await t.rejects(client.size('b'), { code: 'NOT_FOUND' });

  t.equal(await client.push('a', { id: 1, list: [null, 'é', 2 ** 40] }), 1);
  t.equal(await client.push('a', null), 2);
  t.equal(await client.pop('a'), null, 'a nil value is null, not undefined');
  t.strictSame(await client.top('a'), { id: 1, list: [null, 'é', 2 ** 40] });
  t.equal(
    await client.pushMany(
      'a',
      Array.from({ length: 300 }, (_, i) => i),
    ),
    301,
  );
  t.equal(await client.size('a'), 301);
  t.strictSame(await client.popMany('a', 3), [299, 298, 297]);
  t.equal(await client.pushEncoded('a', Uint8Array.of(0x93, 1, 2, 3)), 299);
  t.strictSame([...(await client.topEncoded('a'))!], [0x93, 1, 2, 3]);
  t.strictSame([...(await client.popEncoded('a'))!], [0x93, 1, 2, 3]);
  t.strictSame((await client.popMany('a', 1000)).length, 298);
  t.strictSame(await client.popMany('a', 5), []);
  t.equal(await client.drop('a'), true);
  t.equal(await client.drop('a'), false);

  const stack = client.stack<number>('typed');
  t.equal(await stack.push(7), 1);
  t.equal(await stack.top(), 7);
  t.equal((await stack.pop())! + 1, 8);
});

t.test('list pages through all stacks', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  await using client = await Client.connect({ addresses: cluster.addresses });
  await Promise.all(Array.from({ length: 25 }, (_, i) => client.push(`s${String(i).padStart(2, '0')}`, i)));
  await client.create('other');
  const names: string[] = [];
  for await (const { name, size } of client.list({ prefix: 's', pageSize: 10 })) {
    names.push(name);
    t.equal(size, 1);
  }
  t.equal(names.length, 25);
  t.strictSame(names, [...names].sort());
});

t.test('values that have no encoding, and wrong arguments, reject and disturb nothing', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  await using client = await Client.connect({ addresses: cluster.addresses });
  await t.rejects(
    client.push('a', () => 1),
    TypeError,
  );
  await t.rejects(client.push(undefined as never, 1), TypeError);
  await t.rejects(client.popMany('a', -1), RangeError);
  await t.rejects(client.push('a', 1, { idempotencyKey: 'k'.repeat(256) }), RangeError);
  const reentrant = {
    get now(): Promise<number> {
      return client.push('a', 2);
    },
  };
  await t.rejects(client.push('a', reentrant), /while the body of another/);
  await t.rejects(client.push('a', 1, { idempotencyKey: 'cut in half \ud83d' }), TypeError);
  await t.rejects(client.top('a', { level: 'Local' as never }), RangeError);
  t.equal(await client.push('a', 1), 1);
  t.equal(client.outstanding, 0);
});

t.test('what is no signal fails the call at once, and the client goes on', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  await using client = await Client.connect({ addresses: cluster.addresses });
  for (const signal of [new AbortController(), null, {}])
    await t.rejects(client.push('a', 1, { signal: signal as never, timeoutMs: 30 }), TypeError);
  t.equal(client.outstanding, 0);
  await client.drain();
  t.equal(await client.push('a', 1), 1);
  cluster.node(1).onFrame = () => {};
  await t.rejects(client.push('a', 2, { timeoutMs: 30 }), { code: 'TIMEOUT' });
  t.equal(client.outstanding, 0);
});

t.test('an idempotency key makes a command run once', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  await using client = await Client.connect({ addresses: cluster.addresses });
  t.equal(await client.push('a', 1, { idempotencyKey: 'x' }), 1);
  t.equal(await client.push('a', 1, { idempotencyKey: 'x' }), 1);
  t.equal(await client.size('a'), 1);
  t.equal(cluster.sessionsOpened, 0, 'a keyed command needs no session');
});

t.test('raw commands and queries give status and body', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  await using client = await Client.connect({ addresses: cluster.addresses });
  const bad = await client.command(Uint8Array.of(1));
  t.equal(bad.status, 4);
  const answer = await client.command(Uint8Array.of(0x93, 2, 0xa1, 0x61, 5));
  t.equal(answer.status, 0);
  t.strictSame([...answer.body], [1]);
  t.strictSame([...(await client.query(Uint8Array.of(0x92, 17, 0xa1, 0x61))).body], [5]);
  t.equal(await client.send([2, 'a', 6]), 2);
  t.equal(await client.ask([17, 'a'], { level: 'local' }), 6);
  await t.rejects(client.send('nonsense'), { code: 'BAD_COMMAND', outcome: 'not_applied' });
  t.match(await client.status(), { role: 'leader' });
});

t.test('connecting', async (t) => {
  const cluster = await FakeCluster.start(3);
  t.teardown(() => cluster.close());
  cluster.leaderId = 2;

  t.test('finds the leader', async (t) => {
    await using client = await Client.connect({ addresses: [cluster.node(3).address] });
    while (client.node?.nodeId !== 2)
      await new Promise<void>((resolve) => client.on('connect', () => resolve()));
    t.equal(client.clusterId, 'fake');
    t.strictSame(client.leader, { id: 2, address: cluster.node(2).address });
    t.equal(await client.push('x', 1), 1);
    t.ok(cluster.node(2).seen(0x10).length > 0, 'the command went to the leader');
  });

  t.test('stays where it is when told so', async (t) => {
    await using client = await Client.connect({ addresses: [cluster.node(3).address], preferLeader: false });
    await client.push('x', 1);
    t.equal(client.node?.nodeId, 3);
  });

  t.test('passes over addresses where nobody is', async (t) => {
    const dead = `127.0.0.1:${await freePort()}`;
    await using client = await Client.connect({ addresses: [dead, cluster.node(1).address] });
    t.ok(client.node);
  });

  t.test('says whom it could not reach', async (t) => {
    const dead = `127.0.0.1:${await freePort()}`;
    await t.rejects(Client.connect({ addresses: [dead], connectTimeoutMs: 60 }), {
      code: 'CONNECTION_LOST',
      outcome: 'not_applied',
      message: new RegExp(`${dead}.*ECONNREFUSED`),
    });
  });

  t.test(
    'waits for a node that is yet to come, though something else answers at another address',
    async (t) => {
      const other = await FakeCluster.start(2);
      t.teardown(() => other.close());
      await other.node(2).stop();
      let tries = 0;
      other.node(1).onPreamble = (link) => {
        tries++;
        link.sendRaw(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'));
      };
      const connecting = Client.connect({ addresses: other.addresses });
      await Promise.race([connecting, other.node(1).until(() => tries === 3)]);
      await other.node(2).listen();
      await using client = await connecting;
      t.equal(client.node?.nodeId, 2);
    },
  );

  t.test('goes to a leader that has moved', async (t) => {
    const other = await FakeCluster.start(3);
    t.teardown(() => other.close());
    await using client = await Client.connect({ addresses: other.addresses.slice(0, 2) });
    while (client.node?.nodeId !== 1)
      await new Promise<void>((resolve) => client.on('connect', () => resolve()));
    const follower = new Promise<void>((resolve) => client.on('connect', () => resolve()));
    other.leaderId = null;
    await other.node(1).stop();
    await follower;
    // Node 1 comes back elsewhere, and nobody where it was.
    const moved = other.node(3);
    const leader = { id: 1, address: moved.address };
    moved.welcome = () => {
      const out = new ByteWriter(256);
      const { clusterId, maxFrameBytes, maxWindow } = other;
      encodeWelcome(out, { version: 1, clusterId, nodeId: 1, leader, maxFrameBytes, maxWindow });
      return out.take();
    };
    const there = new Promise<void>((resolve) => client.on('connect', () => resolve()));
    for (const link of other.node(2).links) link.sendLeader(leader);
    await there;
    t.match(client.node, { nodeId: 1, address: moved.address });
  });

  t.test('can be aborted', async (t) => {
    const controller = new AbortController();
    const dead = `127.0.0.1:${await freePort()}`;
    const connecting = Client.connect({ addresses: [dead], signal: controller.signal });
    controller.abort();
    await t.rejects(connecting, { code: 'ABORTED' });
    await t.rejects(Client.connect({ addresses: [dead], signal: AbortSignal.abort() }), { code: 'ABORTED' });
  });

  t.test('refuses options that make no sense', async (t) => {
    await t.rejects(Client.connect({ addresses: [] }), { code: 'BAD_OPTION' });
    await t.rejects(Client.connect({ addresses: ['nohost'] }), { code: 'BAD_OPTION' });
    await t.rejects(Client.connect({ addresses: ['h:0'] }), { code: 'BAD_OPTION' });
    await t.rejects(Client.connect({ addresses: ['h:1'], timeoutMs: 0 }), { code: 'BAD_OPTION' });
    await t.rejects(Client.connect({ addresses: ['h:1'], maxOutstanding: 70_000 }), { code: 'BAD_OPTION' });
  });

  t.test('is told of what is no option or no body of a call, and other calls are not hurt', async (t) => {
    await using client = await Client.connect({ addresses: cluster.addresses });
    const bad: Promise<unknown>[] = [
      client.command('abc' as never),
      client.query(new ArrayBuffer(3) as never),
      client.pushEncoded('s', { length: 3 } as never),
      client.push('s', 1, { idempotencykey: 'x' } as never),
      client.push('s', 1, { timeoutMs: '200' as never }),
    ];
    const good = client.exists('nothing');
    for (const call of bad) await t.rejects(call, TypeError);
    t.equal(await good, false);
    await t.rejects(client.top('s', { level: 'bounded', maxStalenessMs: 0 }), RangeError);
  });

  t.test('a node that its cluster has left behind does not decide which cluster it is', async (t) => {
    const old = await FakeCluster.start(1, 'old');
    const living = await FakeCluster.start(1, 'living');
    t.teardown(() => Promise.all([old.close(), living.close()]));
    old.setLeader(null);
    const addresses = [old.node(1).address];
    await using client = await Client.connect({ addresses: [...addresses, living.node(1).address] });
    t.equal(await client.push('left behind', 1, { timeoutMs: 20_000 }), 1);
    t.equal(client.clusterId, 'living');
    // From now on it counts for good.
    old.setLeader(1);
    living.setLeader(null);
    const waiting = client.push('left behind', 2, { timeoutMs: 1_500 });
    await t.rejects(waiting, { code: /NO_LEADER|TIMEOUT/ });
    t.equal(old.node(1).frames.filter(({ kind }) => kind === Kind.command).length, 0);
  });

  t.test('a node that has answered something decides it, leader or not', async (t) => {
    const old = await FakeCluster.start(1, 'old');
    const living = await FakeCluster.start(1, 'living');
    t.teardown(() => Promise.all([old.close(), living.close()]));
    old.setLeader(null);
    await using client = await Client.connect({ addresses: [old.node(1).address] });
    await t.rejects(client.top('nothing', { level: 'local' }), { code: 'NOT_FOUND' });
    for (const link of old.node(1).links) link.sendLeader({ id: 2, address: living.node(1).address });
    await living.node(1).until(() => living.node(1).links.size > 0);
    await living.node(1).until(() => living.node(1).links.size === 0);
    t.equal(client.clusterId, 'old');
  });

  t.test('does not mix clusters', async (t) => {
    const other = await FakeCluster.start(1, 'another');
    t.teardown(() => other.close());
    await using client = await Client.connect({ addresses: [cluster.node(2).address] });
    // The leader is said to be at an address where a node of another cluster answers.
    const lie = { id: 1, address: other.node(1).address };
    for (const link of cluster.node(2).links) link.sendLeader(lie);
    await other.node(1).until(() => other.node(1).links.size > 0);
    await other.node(1).until(() => other.node(1).links.size === 0);
    t.equal(client.node?.nodeId, 2);
    t.equal(await client.exists('nothing'), false);
    t.equal(other.node(1).frames.length, 0);
  });
});
