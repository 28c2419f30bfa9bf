import t from 'tap';
import { StackOp, Status } from '../../protocol/constants.ts';
import { Caller } from './support/caller.ts';
import { TestCluster } from './support/test-cluster.ts';

t.test('nodes of a cluster that start at different times wait for no election timeout', async (t) => {
  // Longer than the test's patience: only a campaign before its time makes a leader.
  const cluster = await TestCluster.start(t, 3, { electionTimeoutMs: 60_000 });
  const leader = await cluster.leader();
  const [first, last] = [1, 2, 3].filter((id) => id !== leader.id) as [number, number];
  await cluster.stop(last);
  t.match(await new Caller(leader).command(StackOp.push, 's', 1), { status: Status.ok });
  await cluster.until('both have it', () =>
    cluster.nodes.every((n) => n.status().appliedIndex === n.status().lastIndex),
  );
  await cluster.stop(leader.id);
  await cluster.stop(first);
  await cluster.startNode(first);
  // The quick attempts of a node that starts alone are over after a quarter of a second.
  await cluster.elapse(2);
  t.equal(cluster.node(first).leader, null);
  // Its log is older: it cannot win, and the other has given up by now.
  await cluster.startNode(last);
  t.equal((await cluster.leader()).id, first);
});
