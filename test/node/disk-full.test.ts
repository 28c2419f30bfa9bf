import t from 'tap';
import type { RaftNode } from '../../lib/node/node.ts';
import { StackOp, Status } from '../../protocol/constants.ts';
import { Caller } from './support/caller.ts';
import { until } from '../e2e/support/until.ts';
import { MIN_FREE_BYTES, MemoryCluster, setFree } from './support/memory-cluster.ts';

function roomy(cluster: MemoryCluster, id: number): void {
  setFree(cluster, id, 1 << 30);
}

async function refusedAsFull(node: RaftNode, stack = 's'): Promise<boolean> {
  const { status } = await new Caller(node).command(StackOp.push, stack, 'x');
  if (status === Status.ok) throw new Error('taken');
  return status === Status.diskFull;
}

t.test('a leader whose disk fills up hands over, and service goes on', async (t) => {
  const cluster = await MemoryCluster.start(t, 3);
  await cluster.push(0, 10);
  const leader = await cluster.leader();
  setFree(cluster, leader.id, MIN_FREE_BYTES - 1);
  const next = await until('another leader', () =>
    [...cluster.nodes.values()].find((n) => n !== leader && n.status().role === 'leader'),
  );
  t.ok(leader.status().diskLow);
  await cluster.push(10, 20);
  t.same(await new Caller(next).query(StackOp.size, 's'), { status: Status.ok, value: 20 });
});

t.test(
  'with all disks nearly full writes are refused, reads and elections go on, and it ends by itself',
  async (t) => {
    const cluster = await MemoryCluster.start(t, 3);
    await cluster.push(0, 10);
    const leader = await cluster.leader();
    // Its own last: otherwise it would hand over to one of which it has not heard yet.
    for (const id of [1, 2, 3]) if (id !== leader.id) setFree(cluster, id, MIN_FREE_BYTES - 1);
    await until('a leader without a majority that has room', () =>
      refusedAsFull(leader, 'other').catch(() => false),
    );
    setFree(cluster, leader.id, MIN_FREE_BYTES - 1);
    await until('the leader to notice its disk', () => leader.status().diskLow);
    t.ok(await refusedAsFull(leader));
    t.same(await new Caller(leader).query(StackOp.size, 's'), { status: Status.ok, value: 10 });

    await cluster.stop(leader.id);
    const next = await cluster.leader();
    t.ok(await refusedAsFull(next), 'a vote and the entry of a new leader still had room');
    t.same(await new Caller(next).query(StackOp.size, 's'), { status: Status.ok, value: 10 });

    // A little more than the mark is not enough: it would flap.
    setFree(cluster, next.id, MIN_FREE_BYTES + 1);
    await until('the next leader to see more room', () => next.status().diskFreeBytes === MIN_FREE_BYTES + 1);
    t.ok(next.status().diskLow);
    await cluster.boot(leader.id);
    for (const id of [1, 2, 3]) roomy(cluster, id);
    await until('room on all disks', () => [...cluster.nodes.values()].every((n) => !n.status().diskLow));
    const last = await cluster.leader();
    await until('writes to be taken', () =>
      refusedAsFull(last)
        .then(() => false)
        .catch(() => true),
    );
    await cluster.push(11, 20);
  },
);

t.test('a follower whose disk is full takes nothing more; the others go on, and it catches up', async (t) => {
  const cluster = await MemoryCluster.start(t, 3);
  await cluster.push(0, 10);
  const leader = await cluster.leader();
  const victim = leader.id === 1 ? 2 : 1;
  setFree(cluster, victim, 100);
  const node = cluster.nodes.get(victim)!;
  await until('the follower to see its full disk', () => node.status().diskFreeBytes === 100);
  const { lastIndex } = node.status();
  await cluster.push(10, 60);
  t.equal(node.status().lastIndex, lastIndex);
  t.equal(node.failure, null);
  t.match(node.status(), { diskLow: true, diskFull: true });
  t.match(node.explain(), { healthy: false, summary: /nearly full, 100 bytes are left/ });
  roomy(cluster, victim);
  await until('the follower to catch up', () => node.status().appliedIndex >= lastIndex + 50);
  t.same(await new Caller(node).query(StackOp.size, 's'), { status: Status.ok, value: 60 });
});

t.test('when the majority has no room, a leader with room takes no writes either', async (t) => {
  const cluster = await MemoryCluster.start(t, 3);
  await cluster.push(0, 10);
  const leader = await cluster.leader();
  const low = new Set<number>();
  cluster.hearReports(leader.id, (from, report) => {
    if (report.low) low.add(from);
  });
  for (const id of [1, 2, 3].filter((other) => other !== leader.id)) setFree(cluster, id, 100);
  await until('the leader to hear of two full disks', () => low.size === 2);
  const { status } = await new Caller(leader).command(StackOp.push, 's', 'x');
  t.equal(status, Status.diskFull);
  t.match(leader.explain(), {
    healthy: false,
    summary: /leads and takes no writes: the disks of too many nodes are nearly full/,
    findings: [{}, { topic: 'writes', code: 'DISK_LOW' }],
  });
});

t.test('no voter is removed on whose room writes depend', async (t) => {
  const cluster = await MemoryCluster.start(t, 3);
  await cluster.push(0, 10);
  const leader = await cluster.leader();
  const [low, other] = [1, 2, 3].filter((id) => id !== leader.id) as [number, number];
  let heard = false;
  cluster.hearReports(leader.id, (from, report) => {
    if (from === low && report.low) heard = true;
  });
  setFree(cluster, low, MIN_FREE_BYTES - 1);
  await until('the leader to hear of it', () => heard);
  await t.rejects(leader.reconfigure({ voters: [leader.id, low].sort() }), {
    code: 'WOULD_LOSE_QUORUM',
    outcome: 'not_applied',
    message: `of the 2 voters 2 must have room, and the disk of node ${low} is nearly full: no write would be taken any more`,
  });
  t.match(await leader.reconfigure({ voters: [leader.id, other].sort() }), { done: true });
});
