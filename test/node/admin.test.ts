import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { Client } from '../../lib/client/index.ts';
import { TestCluster } from './support/test-cluster.ts';

t.test('members are added, promoted, removed and listed by way of any node', async (t) => {
  const cluster = await TestCluster.start(t, 3, {}, 1);
  const leader = await cluster.leader();
  const follower = cluster.nodes.find((n) => n.id !== leader.id)!;
  const client = Client.local(follower);
  t.teardown(() => client.close());
  await cluster.startNode(4, { join: true });
  const four = { id: 4, address: cluster.address(4) };

  const dry = await client.admin.add(four, { dryRun: true });
  t.match(dry, { done: false, changed: true });
  t.ok(dry.plan.steps.length >= 4);
  t.match(
    (await client.admin.members()).members.map((m) => m.id),
    [1, 2, 3],
  );

  const before = await client.admin.members();
  await client.admin.add({ ...four, learner: true });
  await t.rejects(client.admin.add(four, { expectedConfigIndex: before.configIndex }), {
    code: 'CONFIG_MISMATCH',
    outcome: 'not_applied',
  });
  t.match(await client.admin.promote(4), { done: true, changed: true, config: { voters: [1, 2, 3, 4] } });
  t.match(await client.admin.promote(4), { done: true, changed: false });
  t.match(await client.admin.remove(4), { done: true, changed: true, config: { voters: [1, 2, 3] } });
  t.match(await client.admin.remove(4), { done: true, changed: false }, 'gone is gone');
  await t.rejects(client.admin.add(four), { code: 'ID_RETIRED', outcome: 'not_applied' });
  await cluster.until('the follower knows', () => {
    const { retired, changing } = follower.members();
    return retired.length === 1 && !changing;
  });
  const members = await client.admin.members();
  t.match(members, { leader: leader.id, changing: false, retired: [4] });
  t.match(
    members.members.map(({ id, kind, live }) => ({ id, kind, live })),
    [1, 2, 3].map((id) => ({ id, kind: 'voter', live: true })),
  );
});

t.test('a change that got half way is not said not to have happened', async (t) => {
  const cluster = await TestCluster.start(t, 3, { electionTimeoutMs: 2000 }, 1);
  const leader = await cluster.leader();
  const next = cluster.nodes.find((n) => n.id !== leader.id)!;
  await cluster.meet();
  await cluster.startNode(4, { join: true });
  const client = Client.local(next);
  t.teardown(() => client.close());
  const { configIndex } = await client.admin.members();

  // The newcomer’s disk takes nothing, so it does not catch up.
  cluster.gate(4).stall();
  const added = client.admin.add(
    { id: 4, address: cluster.address(4) },
    { expectedConfigIndex: configIndex },
  );
  const outcome = t.rejects(added, { outcome: 'unknown', message: /4 joined as learners/ });
  await cluster.until('it is a learner', () => {
    const { config, commitIndex } = leader.status();
    return (
      config.learners.includes(4) && config.outgoing.length === 0 && leader.core.configIndex <= commitIndex
    );
  });
  await leader.handOver(next.id);
  await outcome;
  t.match(next.status().config, { voters: [1, 2, 3], learners: [4] });

  cluster.gate(4).goOn();
  const again = await client.admin.add({ id: 4, address: cluster.address(4) });
  t.match(again, { done: true, config: { voters: [1, 2, 3, 4] } }, 'asked again, it is carried out');
});

t.test('wrong fields are malformed, and an address that is no peer is refused', async (t) => {
  const cluster = await TestCluster.start(t, 1);
  const node = await cluster.leader();
  const client = Client.local(node);
  t.teardown(() => client.close());
  await t.rejects(client.admin.add({ id: 4.5, address: '127.0.0.1:1' }), {
    code: 'MALFORMED',
    outcome: 'not_applied',
  });
  // Passed over, each of these would have been a change that nobody asked for.
  const { admin } = client;
  const one = { id: 4, address: '127.0.0.1:1' };
  const malformed = { code: 'MALFORMED', outcome: 'not_applied' };
  await t.rejects(admin.remove(4, { dryRun: 'yes' } as never), malformed);
  await t.rejects(admin.add({ ...one, leaner: true } as never, { dryRun: true }), malformed);
  await t.rejects(admin.add({ ...one, learner: 1 } as never, { dryRun: true }), malformed);
  await t.rejects(admin.set({ voters: [1], learner: [4] } as never, { dryRun: true }), malformed);
  await t.rejects(admin.remove(4, { dryrun: true } as never), { name: 'TypeError', message: /dryrun/ });
  const badOption = { code: 'BAD_OPTION', outcome: 'not_applied' };
  await t.rejects(node.reconfigure({ voters: [1] }, { dryrun: true } as never), badOption);
  await t.rejects(node.reconfigure({ voters: [1], learner: [4] } as never), badOption);
  await t.rejects(node.reconfigure({ voters: 1 } as never), badOption);
  await t.rejects(node.reconfigure({ voters: [1, 4], members: [one] } as never), badOption);
  t.match(node.status().config, { voters: [1], learners: [] });

  const stranger = createServer((socket) => socket.end('220 mail.example\r\n'));
  await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve));
  t.teardown(() => stranger.close());
  const { port } = stranger.address() as AddressInfo;
  await t.rejects(client.admin.add({ id: 4, address: `127.0.0.1:${port}` }), {
    code: 'BAD_OPTION',
    outcome: 'not_applied',
  });
});

t.test('leadership goes where it is told to, and nowhere else', async (t) => {
  const cluster = await TestCluster.start(t, 3);
  const leader = await cluster.leader();
  const [a, b] = cluster.nodes.filter((n) => n.id !== leader.id) as [typeof leader, typeof leader];
  const client = Client.local(a);
  t.teardown(() => client.close());
  await cluster.meet();
  t.equal(await client.admin.transfer(b.id), b.id);
  t.equal((await cluster.leader()).id, b.id);
  t.equal(await client.admin.transfer(b.id), b.id, 'it leads already');
  await t.rejects(client.admin.transfer(9), { code: 'BAD_OPTION', outcome: 'not_applied' });
  await cluster.stop(leader.id);
  await cluster.until('the loss is seen', () => b.status().peers.some((p) => !p.connected));
  await t.rejects(client.admin.transfer(leader.id), { code: 'UNREACHABLE', outcome: 'not_applied' });
  t.equal(await client.push('s', 1), 1, 'and writes go on');
});

t.test('a node that was asked to lead and does not may do so later: the outcome is unknown', async (t) => {
  const cluster = await TestCluster.start(t, 3);
  const leader = await cluster.leader();
  await cluster.meet();
  const target = cluster.nodes.find((n) => n.id !== leader.id)!;
  await cluster.until('the target has everything', () => target.core.durableIndex === leader.core.lastIndex);
  cluster.gate(target.id).stall();
  await t.rejects(leader.handOver(target.id), { code: 'TIMEOUT', outcome: 'unknown' });
});

t.test('the node of the highest priority leads in the end', async (t) => {
  const cluster = await TestCluster.start(t, 3);
  const leader = await cluster.leader();
  const other = cluster.nodes.find((n) => n.id !== leader.id)!;
  await cluster.stop(other.id);
  const again = await cluster.startNode(other.id, { priority: 5 });
  t.not((await cluster.leader()).id, other.id);
  await cluster.until('it leads', () => again.status().role === 'leader');
  t.equal(again.status().leader, other.id);
});
