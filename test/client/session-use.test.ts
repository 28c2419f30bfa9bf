import t from 'tap';
import { Client, Status } from '../../lib/client/index.ts';
import { MAX_TTL_MS } from '../../lib/client/session-keeper.ts';
import { SESSION_TTLS_MS } from '../../lib/machine/session.ts';
import { Kind } from '../../protocol/constants.ts';
import { FakeCluster } from './fake-cluster.ts';
import { ClockedClient } from './fake-requests.ts';

t.test('a session is opened by the first command, once, and only then', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  await using client = await Client.connect({ addresses: cluster.addresses });
  await client.exists('a');
  t.equal(cluster.sessionsOpened, 0);
  await Promise.all(Array.from({ length: 100 }, () => client.push('a', 1)));
  t.equal(cluster.sessionsOpened, 1);
  const commands = cluster.node(1).seen(Kind.command);
  t.strictSame(
    commands.map(({ seq }) => seq),
    Array.from({ length: 100 }, (_, i) => i + 1),
  );
});

t.test('windows tell the lowest number still waited for', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  await using client = await Client.connect({ addresses: cluster.addresses });
  await client.push('a', 0);
  const node = cluster.node(1);
  const held: (() => void)[] = [];
  node.onFrame = (frame, link) => held.push(() => link.answer(frame));
  const two = client.push('a', 2);
  const three = client.push('a', 3);
  await node.until(() => held.length === 2);
  held[1]!();
  await three;
  const four = client.push('a', 4);
  await node.until(() => held.length === 3);
  held[0]!();
  await two;
  const five = client.push('a', 5);
  await node.until(() => held.length === 4);
  held[2]!();
  held[3]!();
  await Promise.all([four, five]);
  t.strictSame(
    node.seen(Kind.command).map(({ seq, window }) => [seq, seq - window]),
    [
      [1, 1],
      [2, 2],
      [3, 2],
      [4, 2],
      [5, 4],
    ],
  );
});

t.test('an expired session: what surely did not run goes on in a new one', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  await using client = await Client.connect({ addresses: cluster.addresses });
  await client.push('a', 1);
  cluster.expireSessions();
  t.strictSame(await Promise.all([client.push('a', 2), client.push('a', 3)]), [2, 3]);
  t.equal(cluster.sessionsOpened, 2);
  t.strictSame(
    cluster.applied.map(({ session, seq }) => [session, seq]),
    [
      [1, 1],
      [2, 1],
      [2, 2],
    ],
  );
});

t.test('an expired session: what may have run is unknown', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  await using client = await Client.connect({ addresses: cluster.addresses });
  await client.push('a', 1);
  let lost = false;
  cluster.node(1).onFrame = (frame, link) => {
    if (frame.kind !== Kind.command || lost) {
      link.answer(frame);
      return;
    }
    lost = true;
    cluster.execute(frame);
    cluster.expireSessions();
    link.drop();
  };
  await t.rejects(client.push('a', 2), { code: 'SESSION_EXPIRED', outcome: 'unknown' });
  t.equal(await client.size('a'), 2);
  t.equal(await client.push('a', 3), 3);
});

t.test('a lost answer to openSession is asked for again with the same nonce', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  const node = cluster.node(1);
  let drops = 2;
  node.onFrame = (frame, link) => {
    if (frame.kind === Kind.openSession && drops-- > 0) link.drop();
    else link.answer(frame);
  };
  await using client = await Client.connect({ addresses: cluster.addresses });
  t.equal(await client.push('a', 1), 1);
  const bodies = node.seen(Kind.openSession).map(({ body }) => body.toString('hex'));
  t.equal(bodies.length, 3);
  t.equal(new Set(bodies).size, 1);
});

t.test('no session to be had: commands fail, reads go on', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  cluster.node(1).onFrame = (frame, link) => {
    if (frame.kind === Kind.openSession) link.respond(frame.requestId, Status.unauthorized);
    else link.answer(frame);
  };
  await using client = await Client.connect({ addresses: cluster.addresses });
  await t.rejects(client.push('a', 1), { code: 'UNAUTHORIZED', outcome: 'not_applied' });
  t.equal(await client.exists('a'), false);
});

t.test('an idle client keeps its session alive', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  await using client = await Client.connect({ addresses: cluster.addresses, sessionTtlMs: 60 });
  await client.push('a', 1);
  const node = cluster.node(1);
  await node.until(() => node.seen(Kind.keepAlive).length >= 2);
  t.strictSame(
    node.seen(Kind.keepAlive).map(({ session, seq, window }) => [session, seq, window])[0],
    [1, 0, 0],
  );
  cluster.expireSessions();
  const seen = node.seen(Kind.keepAlive).length;
  await node.until(() => node.seen(Kind.keepAlive).length > seen);
  t.equal(await client.push('a', 2), 2);
  t.equal(cluster.sessionsOpened, 2);
});

t.test('what does not name the session does not keep it alive', async (t) => {
  await using client = new ClockedClient({ sessionTtlMs: 3000, session: true });
  await client.push('a', 1);
  const { frames } = client.requests;
  const keepAlives = (): number => frames.filter(({ kind }) => kind === Kind.keepAlive).length;
  for (let i = 0; i < 10; i++) {
    await Promise.all([
      client.push('a', i, { idempotencyKey: `k${i}` }),
      client.admin.members().catch(() => {}),
      client.pass(500),
    ]);
  }
  t.ok(keepAlives() >= 4, `${keepAlives()} in 5 s`);
  const before = keepAlives();
  for (let i = 0; i < 10; i++) await Promise.all([client.push('a', i), client.pass(500)]);
  t.equal(keepAlives(), before, 'commands of the session do');
});

t.test('a session is opened however little time other calls are given', async (t) => {
  await using client = new ClockedClient({ timeoutMs: 100 });
  const { requests } = client;
  const opened = (): number => requests.frames.filter(({ kind }) => kind === Kind.openSession).length;
  requests.delayMs = 150;
  const pushing = client.push('a', 1, { timeoutMs: 3000 });
  pushing.catch(() => {});
  await client.pass(1000);
  t.equal(await pushing, 1);
  t.equal(opened(), 1);
});

t.test('drain waits for no keep-alive', async (t) => {
  await using client = new ClockedClient({ sessionTtlMs: 30_000 });
  await client.push('a', 1);
  const { requests } = client;
  requests.answers = () => false;
  await client.pass(10_100);
  t.equal(requests.frames.at(-1)?.kind, Kind.keepAlive);
  t.equal(client.outstanding, 0);
  await client.drain();
  const pushing = client.push('a', 2, { timeoutMs: 5000 });
  const draining = client.drain();
  await Promise.all([t.rejects(pushing, { code: 'TIMEOUT' }), client.pass(5100)]);
  await draining;
  const before = requests.frames.length;
  requests.answers = () => true;
  // The one that was not answered ends by itself, and the next one is made.
  await client.pass(11_000);
  t.ok(requests.frames.slice(before).some(({ kind }) => kind === Kind.keepAlive));
});

t.test('a lifetime beyond the longest there is', async (t) => {
  t.equal(MAX_TTL_MS, SESSION_TTLS_MS.at(-1));
  await using client = new ClockedClient({ sessionTtlMs: 2 ** 31 - 1 });
  await client.push('a', 1);
  client.runtime.advance(MAX_TTL_MS / 3 + 1);
  await client.pass(20);
  t.equal(client.requests.frames.at(-1)?.kind, Kind.keepAlive);
});
