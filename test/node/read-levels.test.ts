import t from 'tap';
import { ClockGuard } from '../../lib/node/clock-guard.ts';
import { systemRuntime } from '../../lib/node/runtime.ts';
import { encodeBoundedQuery } from '../../protocol/client-codec.ts';
import { ReadLevel, StackOp, Status } from '../../protocol/constants.ts';
import { encodeValue } from '../../protocol/msgpack.ts';
import { Caller, type Answer } from './support/caller.ts';
import { TestCluster } from './support/test-cluster.ts';

function bounded(caller: Caller, maxStalenessMs: number): Promise<Answer> {
  return caller.send((out, id) => {
    encodeBoundedQuery(out, id, maxStalenessMs, encodeValue([StackOp.size, 's']));
  });
}

t.test('lease reads are answered without a round while the lease holds', async (t) => {
  const cluster = await TestCluster.start(t, 3, { leaseReads: true });
  const leader = await cluster.leader();
  await cluster.meet();
  const caller = new Caller(leader);
  await caller.command(StackOp.push, 's', 1);
  let answered = false;
  // Asked again and again: within a heartbeat or two of the leader's beginning it holds a lease.
  await cluster.until('a read is answered at once', () => {
    let now = false;
    void caller.queryAt(ReadLevel.lease, StackOp.size, 's').then((a) => {
      t.same(a, { status: Status.ok, value: 1 });
    });
    caller.flush();
    now = caller.out.position === 0 && caller.waiting === 0;
    answered ||= now;
    return now;
  });
  t.ok(answered);
  const follower = cluster.nodes.find((n) => n.id !== leader.id)!;
  t.same(
    await new Caller(follower).queryAt(ReadLevel.lease, StackOp.size, 's'),
    { status: Status.ok, value: 1 },
    'a follower asks the leader',
  );
});

t.test('without leases switched on, a lease read asks a quorum', async (t) => {
  const cluster = await TestCluster.start(t, 3);
  const leader = await cluster.leader();
  const caller = new Caller(leader);
  await caller.command(StackOp.push, 's', 1);
  await cluster.elapse(1);
  const answer = caller.queryAt(ReadLevel.lease, StackOp.size, 's');
  caller.flush();
  t.equal(caller.waiting, 1, 'not answered at once');
  t.same(await answer, { status: Status.ok, value: 1 });
});

t.test('a leader cut off from its followers answers no lease reads', async (t) => {
  const cluster = await TestCluster.start(t, 3, { leaseReads: true });
  const leader = await cluster.leader();
  const caller = new Caller(leader);
  await caller.command(StackOp.push, 's', 1);
  for (const node of cluster.nodes) if (node.id !== leader.id) await cluster.stop(node.id);
  await cluster.elapse(1);
  const { status } = await caller.queryAt(ReadLevel.lease, StackOp.size, 's');
  t.equal(status, Status.noLeader);
});

t.test('bounded reads: as old as allowed, never older', async (t) => {
  const cluster = await TestCluster.start(t, 3);
  const leader = await cluster.leader();
  const follower = cluster.nodes.find((n) => n.id !== leader.id)!;
  const caller = new Caller(follower);
  t.same(await new Caller(leader).command(StackOp.push, 's', 1), { status: Status.ok, value: 1 });
  t.same(await bounded(caller, 60_000), { status: Status.ok, value: 1 }, 'the first one asks');
  const again = bounded(caller, 60_000);
  caller.flush();
  t.equal(caller.waiting, 0, 'the next ones need not');
  t.same(await again, { status: Status.ok, value: 1 });

  for (const node of cluster.nodes) if (node.id !== follower.id) await cluster.stop(node.id);
  await cluster.until('the leader is gone', () => follower.status().leader === null);
  t.same(await bounded(caller, 60_000), { status: Status.ok, value: 1 }, 'old enough for that');
  await cluster.elapse(1);
  t.equal((await bounded(caller, 50)).status, Status.noLeader, 'not fresh enough for this');
  t.same(await caller.queryAt(ReadLevel.local, StackOp.size, 's'), { status: Status.ok, value: 1 });
});

t.test('clocks that go apart are noticed, however small the steps', async (t) => {
  let now = 0;
  let skew = 1_000_000;
  const runtime = { ...systemRuntime, now: () => now, wallNow: () => now + skew };
  const guard = new ClockGuard(runtime, 25, 1000);
  for (let i = 0; i < 50; i++) t.ok(guard.check((now += 40)), 'the same speed');
  skew += 26;
  t.notOk(guard.check((now += 1)), 'a suspension');
  t.ok(guard.check((now += 1)));
  skew -= 26;
  t.notOk(guard.check((now += 1)), 'a step back');
  now += 1000;
  t.ok(guard.check(now));
  let sound = true;
  for (let i = 0; i < 10 && sound; i++) {
    skew += 5;
    sound = guard.check((now += 10));
  }
  t.notOk(sound, 'many small ones');
});
