import t from 'tap';
import { Client } from '../../lib/client/client.ts';
import { TestCluster } from './support/test-cluster.ts';

t.test('explain says what is the matter', async (t) => {
  const cluster = await TestCluster.start(t, 3, {}, 1);
  const leader = await cluster.leader();
  await cluster.meet();
  t.match(leader.explain(), { healthy: true, summary: /leads; 3 of 3 voters answer/ });
  const joiner = await cluster.startNode(4, { join: true });
  t.match(joiner.explain(), { healthy: false, summary: /waits to be added: cordwood member add 4 127/ });
  const others = cluster.nodes.filter((n) => n.id !== leader.id && n.id !== 4);
  await cluster.stop(others[0]!.id);
  await cluster.until('the loss is seen', () =>
    leader.explain().findings.some((f) => f.code === 'PEER_DOWN' && f.peer === others[0]!.id),
  );
  t.match(
    leader.explain(),
    { healthy: true, summary: /2 of 3 voters answer; node \d cannot be reached$/ },
    'two of three are enough',
  );
  await cluster.stop(others[1]!.id);
  await cluster.until('it has given up', () => leader.status().leader === null);
  const client = Client.local(leader, { timeoutMs: 2_000 });
  t.teardown(() => client.close());
  const alone = await client.admin.explain();
  t.match(alone, {
    healthy: false,
    summary: /of 3 voters 2 are needed, and this node reaches 1; not reached: /,
  });
  t.match(alone.findings[0], { topic: 'leader', code: 'QUORUM_UNREACHABLE', data: { needed: 2 } });
});

t.test('while the voters are being changed it says which of the two sets lacks a majority', async (t) => {
  const cluster = await TestCluster.start(t, 3);
  const leader = await cluster.leader();
  const [left, gone] = [1, 2, 3].filter((id) => id !== leader.id) as [number, number];
  await cluster.until('the term to begin', () => leader.core.termCommitted);
  for (const id of [left, gone]) cluster.gate(id).stall();
  leader.reconfigure({ voters: [left] }, { force: true }).catch(() => undefined);
  const node = cluster.node(left);
  await cluster.until('the change to arrive', () => node.core.config.outgoing.length > 0);
  cluster.gate(left).goOn();
  await Promise.all([cluster.stop(leader.id), cluster.stop(gone)]);
  await cluster.until('the others to be missed', () => node.status().leader === null);
  const missing = [leader.id, gone].sort();
  t.match(node.explain(), {
    summary: `of 3 voters (1, 2, 3) 2 are needed, and this node reaches 1; not reached: ${missing.join(', ')}`,
    findings: [{ code: 'QUORUM_UNREACHABLE', data: { missing, needed: 2 } }],
  });
  t.ok(node.explain().findings.some(({ code }) => code === 'CHANGING'));
});

t.test('a change that was made long ago is not under way after a restart', async (t) => {
  const cluster = await TestCluster.start(t, 3, {}, 1);
  const leader = await cluster.leader();
  await cluster.startNode(4, { join: true });
  const members = [{ id: 4, peerAddress: cluster.address(4) }];
  await leader.reconfigure({ voters: [1, 2, 3], learners: [4], members });
  for (const { id } of cluster.nodes) await cluster.stop(id);
  const node = await cluster.startNode(leader.id);
  t.ok(node.core.configIndex > node.core.commitIndex, 'it cannot know yet');
  t.notOk(node.explain().findings.some(({ code }) => code === 'CHANGING'));
});
