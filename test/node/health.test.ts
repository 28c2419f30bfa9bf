import t from 'tap';
import { StackOp, Status } from '../../protocol/constants.ts';
import { Caller } from './support/caller.ts';
import { TestCluster } from './support/test-cluster.ts';

t.test('a leader whose disk stands still hands over, and does not ask to lead again', async (t) => {
  const cluster = await TestCluster.start(t, 3);
  const leader = await cluster.leader();
  await cluster.meet();
  cluster.gate(leader.id).stall();
  // Its followers' disks still commit this, so nothing else would depose it.
  const pushed = await new Caller(leader).command(StackOp.push, 's', 1);
  t.equal(pushed.status, Status.ok);
  await cluster.until('another leads', () =>
    cluster.nodes.some((n) => n.id !== leader.id && n.status().role === 'leader'),
  );
  t.ok(
    cluster.logs.some((l) => l.id === leader.id && /its disk does not answer/.test(l.message)),
    'and says why',
  );
  t.ok(leader.explain().findings.some((f) => f.code === 'DISK_STALLED' && f.severity === 'problem'));
  const next = cluster.nodes.find((n) => n.status().role === 'leader')!;
  t.same(await new Caller(next).command(StackOp.push, 's', 2), { status: Status.ok, value: 2 });

  const { term } = next.status();
  for (const node of cluster.nodes) if (node.id !== leader.id) await cluster.stop(node.id);
  await cluster.elapse(4);
  t.equal(leader.status().term, term, 'alone it does not campaign either');
  cluster.gate(leader.id).goOn();
  await cluster.until('its disk is well', () => leader.explain().findings.every((f) => f.topic !== 'disk'));
});

t.test('the last one of a cluster hands nothing over, and waits for nobody', async (t) => {
  const cluster = await TestCluster.start(t, 3);
  const leader = await cluster.leader();
  await cluster.meet();
  for (const node of cluster.nodes) if (node.id !== leader.id) await cluster.stop(node.id);
  await cluster.until('the loss is seen', () => leader.status().peers.every((p) => !p.connected));
  // It leads on for a moment: whoever is gone may come back.
  if (leader.status().role === 'leader') await t.rejects(leader.handOver(), { code: 'UNREACHABLE' });
});

t.test('a leader whose disk is behind takes no more in than it may hold, though others commit', async (t) => {
  const maxUncommittedBytes = 4 << 20;
  // Nobody is asked to take over meanwhile.
  const cluster = await TestCluster.start(t, 3, { maxUncommittedBytes, electionTimeoutMs: 60_000 });
  const leader = await cluster.leader();
  await cluster.meet();
  cluster.gate(leader.id).stall();
  const caller = new Caller(leader);
  const value = new Uint8Array(1 << 20);
  let pushed = 0;
  while (!leader.saturated && pushed < 40) {
    const { status } = await caller.command(StackOp.push, 's', value);
    t.equal(status, Status.ok);
    pushed++;
  }
  t.ok(leader.saturated && pushed < 12, `${pushed} MiB`);
  // Who leads no more has taken nothing in that waits for its disk.
  Object.defineProperty(leader.core, 'role', { configurable: true, value: 'follower' });
  t.notOk(leader.saturated);
  Reflect.deleteProperty(leader.core, 'role');
  const room = new Promise<void>((resolve) => {
    leader.onRoom(resolve);
  });
  cluster.gate(leader.id).goOn();
  await room;
  t.notOk(leader.saturated);
});
