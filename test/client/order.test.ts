import t from 'tap';
import type { Test } from 'tap';
import { Client } from '../../lib/client/index.ts';
import { Kind } from '../../protocol/constants.ts';
import { FakeCluster, type FakeLink, type FakeNode } from './fake-cluster.ts';

interface Switch {
  readonly cluster: FakeCluster;
  readonly client: Client;
  readonly follower: FakeNode;
  readonly leader: FakeNode;
  /** Commands that the follower has taken and not passed on. */
  readonly held: (() => void)[];
  /** The leader, not reached so far, takes over. */
  takeOver(): Promise<void>;
}

/** A client whose commands lie at a follower when its connection to the leader opens. */
async function open(t: Test, options: object = {}): Promise<Switch> {
  const cluster = await FakeCluster.start(2);
  t.teardown(() => cluster.close());
  const [follower, leader] = cluster.nodes as [FakeNode, FakeNode];
  cluster.leaderId = leader.id;
  const dials: FakeLink[] = [];
  leader.onPreamble = (link) => dials.push(link);
  const client = await Client.connect({ addresses: [follower.address], ...options });
  t.teardown(() => client.close());
  await client.push('a', 0);
  const held: (() => void)[] = [];
  follower.onFrame = (frame, link) => {
    if (frame.kind === Kind.command) held.push(() => link.answer(frame));
    else link.answer(frame);
  };
  await leader.until(() => dials.length > 0);
  return {
    cluster,
    client,
    follower,
    leader,
    held,
    takeOver: async () => {
      const taken = new Promise<void>((resolve) => client.on('connect', () => resolve()));
      dials.at(-1)!.sendRaw(leader.welcome());
      await taken;
    },
  };
}

const seqs = ({ applied }: FakeCluster): number[] => applied.map(({ seq }) => seq);

t.test('commands do not overtake those that are on their way through a follower', async (t) => {
  const { cluster, client, follower, leader, held, takeOver } = await open(t, { stallMs: 10_000 });
  const before = [client.push('a', 1), client.push('a', 2)];
  await follower.until(() => held.length === 2);
  await takeOver();
  const after = [client.push('a', 3), client.push('a', 4)];
  t.equal(await client.size('a'), 1, 'reads do not wait');
  t.equal(leader.seen(Kind.command).length, 0);
  held[0]!();
  t.equal(await before[0], 2);
  t.equal(leader.seen(Kind.command).length, 0);
  held[1]!();
  t.strictSame(await Promise.all([...before, ...after]), [2, 3, 4, 5]);
  t.strictSame(seqs(cluster), [1, 2, 3, 4, 5]);
  t.equal(leader.seen(Kind.command).length, 2);
});

t.test(
  'commands that a follower loses while it is well go to the leader, before the ones made later',
  async (t) => {
    const { cluster, client, follower, leader, held, takeOver } = await open(t, { stallMs: 60 });
    const before = [client.push('a', 1), client.push('a', 2)];
    await follower.until(() => held.length === 2);
    await takeOver();
    t.strictSame(await Promise.all([...before, client.push('a', 3)]), [2, 3, 4]);
    t.strictSame(seqs(cluster), [1, 2, 3, 4]);
    t.equal(leader.seen(Kind.command).length, 3);
  },
);

t.test('a connection that ends in the middle of a switch gives its commands back, in order', async (t) => {
  const { cluster, client, follower, held, takeOver } = await open(t);
  const before = [client.push('a', 1), client.push('a', 2)];
  await follower.until(() => held.length === 2);
  await takeOver();
  const after = client.push('a', 3);
  t.equal(await client.size('a'), 1);
  follower.dropAll();
  t.strictSame(await Promise.all([...before, after]), [2, 3, 4]);
  t.strictSame(seqs(cluster), [1, 2, 3, 4]);
});

t.test(
  'a command that must not be sent again holds the others up no longer than its node is heard',
  async (t) => {
    const { client, follower, held, takeOver } = await open(t, { stallMs: 60, session: false });
    const lost = client.push('a', 1);
    await follower.until(() => held.length === 1);
    await takeOver();
    t.equal(await client.push('a', 2), 2);
    t.equal(client.outstanding, 1);
    held[0]!();
    t.equal(await lost, 3, 'and its answer is taken when it comes');
  },
);

t.test('commands that wait for a switch end when their time is up, and did not run', async (t) => {
  const { cluster, client, follower, held, takeOver } = await open(t, { stallMs: 10_000 });
  const before = client.push('a', 1);
  await follower.until(() => held.length === 1);
  await takeOver();
  await t.rejects(client.push('a', 2, { timeoutMs: 100 }), { code: 'TIMEOUT', outcome: 'not_applied' });
  held[0]!();
  t.equal(await before, 2);
  t.equal(cluster.applied.length, 2);
});
