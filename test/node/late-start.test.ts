import t from 'tap';
import { TestCluster } from './support/test-cluster.ts';

t.test('nodes of a cluster that start at different times wait for no election timeout', async (t) => {
  // Longer than the test's patience: only a campaign before its time makes a leader.
  const cluster = await TestCluster.start(t, 3, { electionTimeoutMs: 60_000 });
  await cluster.leader();
  for (const id of [1, 2, 3]) await cluster.stop(id);
  await cluster.startNode(2);
  // The quick attempts of a node that starts alone are over after a quarter of a second.
  await cluster.elapse(2);
  t.equal(cluster.node(2).leader, null);
  await cluster.startNode(3);
  t.ok(await cluster.leader());
});
