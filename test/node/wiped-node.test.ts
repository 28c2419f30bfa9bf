import t from 'tap';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { StackOp, Status } from '../../protocol/constants.ts';
import { Caller } from './support/caller.ts';
import { TestCluster } from './support/test-cluster.ts';

t.test('a node that comes back empty under its old number endangers nothing', async (t) => {
  const cluster = await TestCluster.start(t, 3);
  const leader = await cluster.leader();
  const wiped = cluster.nodes.find((n) => n.id !== leader.id)!;
  const third = cluster.nodes.find((n) => n.id !== leader.id && n.id !== wiped.id)!;

  // Committed by the leader and the node that is about to forget it; the third has met both.
  await cluster.meet();
  await cluster.stop(third.id);
  t.same(await new Caller(leader).command(StackOp.push, 'jobs', 'precious'), { status: Status.ok, value: 1 });
  await cluster.stop(wiped.id);
  cluster.disks.set(wiped.id, new MemoryDisk());
  await cluster.stop(leader.id);

  // Two of three are up: one that never saw the entry, and one that forgot it.
  const again = await cluster.startNode(wiped.id);
  const other = await cluster.startNode(third.id);
  await cluster.until('the empty node is told', () => again.status().quarantine !== null);
  t.match(again.status().quarantine, /another data directory/);
  const errors = cluster.logs.filter((l) => l.id === again.id && l.level === 'error');
  t.equal(errors.length, 1, 'said once');
  t.ok(
    cluster.logs.some((l) => l.id === other.id && l.level === 'warn' && /INCARNATION_CHANGED/.test(l.code)),
    'the other side says it too',
  );
  const term = other.status().term;
  await cluster.elapse(5);
  t.equal(other.status().leader, null, 'no majority without the truth');
  t.equal(other.status().term, term, 'and nobody was disturbed');

  // With the one that knows, the cluster goes on without the empty node.
  await cluster.startNode(leader.id);
  await cluster.leader();
  t.same(await new Caller(other).query(StackOp.top, 'jobs'), { status: Status.ok, value: 'precious' });
  t.equal(again.status().leader, null);
});

t.test('one that began the cluster alone serves nobody once it is told', async (t) => {
  const cluster = await TestCluster.start(t, 1, {}, 2);
  const first = await cluster.leader();
  for (const id of [2, 3]) await cluster.startNode(id, { join: true });
  const members = [2, 3].map((id) => ({ id, peerAddress: cluster.address(id) }));
  await first.reconfigure({ voters: [1, 2, 3], members });
  t.same(await new Caller(first).command(StackOp.push, 'jobs', 'precious'), { status: Status.ok, value: 1 });
  await cluster.stop(1);
  cluster.disks.set(1, new MemoryDisk());
  const again = await cluster.startNode(1);
  await cluster.until('it is told', () => again.status().quarantine !== null);
  const { status } = await new Caller(again).command(StackOp.push, 'jobs', 'lost');
  t.equal(status, Status.noLeader, 'it would be the only one to know');
  t.equal((await new Caller(again).query(StackOp.size, 'jobs')).status, Status.noLeader);
  await cluster.until('it does not lead', () => again.status().role !== 'leader');
  await cluster.elapse(3);
  t.equal(again.leader, null, 'nor does it lead itself again');
});
