import t from 'tap';
import { Client, Status } from '../../lib/client/index.ts';
import { Kind } from '../../protocol/constants.ts';
import { type FakeLink, FakeCluster, type Frame } from './fake-cluster.ts';

const open = async (cluster: FakeCluster, options: object = {}): Promise<Client> =>
  Client.connect({ addresses: cluster.addresses, ...options });

/** Resolves when requests go to that node. */
const onNode = async (client: Client, nodeId: number): Promise<void> => {
  while (client.node?.nodeId !== nodeId) {
    await new Promise<void>((resolve) => client.on('connect', () => resolve()));
  }
};

/** Handles the first `count` commands with `handle`, the others as usual. */
const firstCommands = (count: number, handle: (frame: Frame, link: FakeLink) => void) => {
  let left = count;
  return (frame: Frame, link: FakeLink): void => {
    if (frame.kind === Kind.command && left-- > 0) handle(frame, link);
    else link.answer(frame);
  };
};

for (const name of ['noLeader', 'busy', 'shuttingDown', 'unknown'] as const) {
  t.test(`a command answered with ${name} is sent again under its number`, async (t) => {
    const cluster = await FakeCluster.start();
    t.teardown(() => cluster.close());
    const node = cluster.node(1);
    node.onFrame = firstCommands(2, (frame, link) => link.respond(frame.requestId, Status[name]));
    await using client = await open(cluster);
    t.equal(await client.push('a', 1), 1);
    const commands = node.seen(Kind.command);
    t.equal(commands.length, 3);
    t.equal(new Set(commands.map(({ session, seq }) => `${session}.${seq}`)).size, 1);
    t.equal(
      new Set(commands.map(({ requestId }) => requestId)).size,
      3,
      'each try has a request id of its own',
    );
    t.equal(cluster.applied.length, 1);
  });
}

for (const [name, code] of [
  ['tooLarge', 'TOO_LARGE'],
  ['malformed', 'MALFORMED'],
  ['diskFull', 'DISK_FULL'],
  ['unauthorized', 'UNAUTHORIZED'],
  ['unsupported', 'UNSUPPORTED'],
] as const) {
  t.test(`a command answered with ${name} fails at once and was not applied`, async (t) => {
    const cluster = await FakeCluster.start();
    t.teardown(() => cluster.close());
    cluster.node(1).onFrame = firstCommands(1, (frame, link) => link.respond(frame.requestId, Status[name]));
    await using client = await open(cluster);
    await t.rejects(client.push('a', 1), { code, outcome: 'not_applied' });
    t.equal(await client.push('a', 1), 1, 'the next one works');
  });
}

t.test('a full session: the command goes again under a new number, until its time is up', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  const node = cluster.node(1);
  node.onFrame = firstCommands(2, (frame, link) => link.respond(frame.requestId, Status.sessionFull));
  await using client = await open(cluster);
  t.equal(await client.push('a', 1), 1);
  const commands = node.seen(Kind.command);
  t.strictSame(
    commands.map(({ seq, window }) => [seq, window]),
    [
      [1, 0],
      [2, 0],
      [3, 0],
    ],
    'and tells the cluster that nobody waits for the old one',
  );
  node.onFrame = firstCommands(1000, (frame, link) => link.respond(frame.requestId, Status.sessionFull));
  await t.rejects(client.push('a', 2, { timeoutMs: 100 }), { code: 'SESSION_FULL', outcome: 'not_applied' });
});

t.test('after a lost connection unanswered commands are sent again, in order, and run once', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  const node = cluster.node(1);
  // The first connection executes everything, answers nothing, and breaks at the tenth command.
  let silent = 0;
  node.onFrame = (frame, link) => {
    if (frame.kind !== Kind.command || silent >= 10) {
      link.answer(frame);
      return;
    }
    cluster.execute(frame);
    if (++silent === 10) link.drop();
  };
  await using client = await open(cluster);
  const sizes = await Promise.all(Array.from({ length: 50 }, (_, i) => client.push('a', i)));
  t.strictSame(
    sizes,
    Array.from({ length: 50 }, (_, i) => i + 1),
  );
  t.equal(cluster.applied.length, 50);
  t.equal(cluster.sessionsOpened, 1);
  const again = node
    .seen(Kind.command)
    .slice(-50)
    .map(({ seq }) => seq);
  t.strictSame(
    again,
    [...again].sort((a, b) => a - b),
    'sent again in the order of their numbers',
  );
});

t.test('without a session a command whose answer is lost is not sent again', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  const node = cluster.node(1);
  node.onFrame = firstCommands(1, (frame, link) => {
    cluster.execute(frame);
    link.drop();
  });
  await using client = await open(cluster, { session: false });
  await t.rejects(client.push('a', 1), { code: 'CONNECTION_LOST', outcome: 'unknown' });
  t.equal(await client.size('a'), 1);
  t.equal(node.seen(Kind.command).length, 1);
  t.equal(node.seen(Kind.openSession).length, 0);
  node.onFrame = firstCommands(1, (frame, link) => link.respond(frame.requestId, Status.unknown));
  await t.rejects(client.push('a', 1), { code: 'OUTCOME_UNKNOWN', outcome: 'unknown' });
  t.equal(node.seen(Kind.command).length, 2);
});

t.test('without a session a command that was surely not applied is sent again', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  cluster.node(1).onFrame = firstCommands(3, (frame, link) => link.respond(frame.requestId, Status.noLeader));
  await using client = await open(cluster, { session: false });
  t.equal(await client.push('a', 1), 1);
  t.equal(cluster.applied.length, 1);
});

t.test('reads and keyed commands are sent again after a lost connection', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  let drops = 3;
  cluster.node(1).onFrame = (frame, link) => {
    if (drops-- > 0) link.drop();
    else link.answer(frame);
  };
  await using client = await open(cluster, { session: false });
  const [exists, size] = await Promise.all([
    client.exists('a'),
    client.push('b', 1, { idempotencyKey: 'k' }),
  ]);
  t.equal(exists, false);
  t.equal(size, 1);
});

t.test('no leader: the client waits for one and goes on when it is there', async (t) => {
  const cluster = await FakeCluster.start(3);
  t.teardown(() => cluster.close());
  await using client = await open(cluster);
  await client.push('a', 1);
  cluster.setLeader(null);
  const pushing = client.push('a', 2);
  const follower = cluster.node(client.node!.nodeId);
  const before = follower.seen(Kind.command).length;
  await follower.until(() => follower.seen(Kind.command).length >= before + 2);
  cluster.setLeader(2);
  t.equal(await pushing, 2);
});

t.test('no leader until the deadline: NO_LEADER, not applied', async (t) => {
  const cluster = await FakeCluster.start(2);
  t.teardown(() => cluster.close());
  cluster.leaderId = null;
  await using client = await open(cluster, { timeoutMs: 150 });
  await t.rejects(
    client.push('a', 1),
    { code: 'NO_LEADER', outcome: 'not_applied' },
    'before there is a session',
  );
  cluster.leaderId = 1;
  t.equal(await client.push('a', 1, { timeoutMs: 5000 }), 1);
  cluster.leaderId = null;
  await t.rejects(client.push('a', 1), { code: 'NO_LEADER', outcome: 'not_applied' });
  await t.rejects(client.top('a'), { code: 'NO_LEADER', outcome: 'not_applied' });
  t.equal(await client.top('a', { level: 'local' }), 1, 'a local read needs no leader');
});

t.test('the leader dies: others are tried at once and the new leader is found', async (t) => {
  const cluster = await FakeCluster.start(3);
  t.teardown(() => cluster.close());
  await using client = await open(cluster);
  await client.push('a', 0);
  await onNode(client, 1);
  const pushes = Array.from({ length: 100 }, (_, i) => client.push('a', i));
  const lost = new Promise<void>((resolve) => client.on('disconnect', () => resolve()));
  await Promise.all([lost, cluster.node(1).stop()]);
  cluster.setLeader(3);
  await Promise.all(pushes);
  t.equal(await client.size('a'), 101);
  t.equal(cluster.applied.length, 101);
  await onNode(client, 3);
  t.equal(client.leader?.id, 3);
});

t.test('a node that freezes is left for another', async (t) => {
  const cluster = await FakeCluster.start(2);
  t.teardown(() => cluster.close());
  await using client = await open(cluster, { stallMs: 60 });
  await client.push('a', 1);
  await onNode(client, 1);
  cluster.node(1).onFrame = () => {};
  cluster.node(1).onPreamble = () => {};
  const pushing = client.push('a', 2);
  await cluster.node(1).until(() => cluster.node(1).seen(Kind.ping).length > 0);
  cluster.leaderId = 2;
  t.equal(await pushing, 2);
  t.equal(client.node?.nodeId, 2);
  t.equal(cluster.applied.length, 2);
});

t.test('a slow node that answers pings is not left', async (t) => {
  const cluster = await FakeCluster.start(2);
  t.teardown(() => cluster.close());
  const node = cluster.node(1);
  await using client = await open(cluster, { stallMs: 40 });
  await client.push('a', 1);
  await onNode(client, 1);
  let held: (() => void) | undefined;
  node.onFrame = (frame, link) => {
    if (frame.kind === Kind.command) held = () => link.answer(frame);
    else link.answer(frame);
  };
  const pushing = client.push('a', 2);
  await node.until(() => node.seen(Kind.ping).length >= 4);
  held!();
  t.equal(await pushing, 2);
  t.equal(client.node?.nodeId, 1);
});

t.test('a node that stops is left for another', async (t) => {
  const cluster = await FakeCluster.start(2);
  t.teardown(() => cluster.close());
  await using client = await open(cluster, {
    addresses: [cluster.node(1).address, cluster.node(2).address],
    preferLeader: false,
  });
  const first = client.node!.nodeId;
  cluster.node(first).onFrame = (frame, link) => link.respond(frame.requestId, Status.shuttingDown);
  t.equal(await client.push('a', 1), 1);
  t.not(client.node!.nodeId, first);
});
