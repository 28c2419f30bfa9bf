// Requests are small and answers need not be: what a node holds for its clients is bounded all the same.
import t from 'tap';
import { Client } from '../../lib/client/client.ts';
import { TestCluster } from '../e2e/support/cluster.ts';

const MIB = 1 << 20;
const big = 'x'.repeat(MIB);

t.test('pops at a follower whose answers are more than a frame between nodes holds', async (t) => {
  const cluster = await TestCluster.start(t);
  const leader = await cluster.settled();
  const follower = cluster.nodes.find((node) => node !== leader)!;
  // Without a session, whose limits would keep the answers few.
  const client = await Client.connect({
    addresses: [follower.address],
    preferLeader: false,
    session: false,
    timeoutMs: 30_000,
  });
  t.teardown(() => client.close());
  const count = 20;
  for (let i = 0; i < count; i++) await client.push('big', big);
  const popped = await Promise.all(Array.from({ length: count }, () => client.pop('big')));
  t.equal(popped.filter((value) => value === big).length, count);
  t.equal(await client.size('big'), 0);
});

t.test('reads whose answers together are hundreds of megabytes', async (t) => {
  // A machine with far too much to do must not decide whether there is an election.
  const cluster = await TestCluster.start(t, { args: ['--election-timeout-ms', '5000'] });
  const leader = await cluster.settled();
  const client = await cluster.client({ timeoutMs: 60_000 });
  await client.push('big', big);
  const before = await leader.rssBytes();
  const term = (await leader.status())!.term;
  // One read of the socket at the node, 25 bytes each.
  let answers = 0;
  const reads = Array.from({ length: 400 }, () =>
    client.top('big').then((value) => {
      if (value === big) answers++;
    }),
  );
  const other = await cluster.client();
  let peak = 0;
  let served = 0;
  let done = false;
  void Promise.allSettled(reads).then(() => (done = true));
  while (!done) {
    await other.push('small', 1);
    served++;
    peak = Math.max(peak, await leader.rssBytes());
  }
  await Promise.all(reads);
  t.equal(answers, 400);
  t.ok(peak - before < 200 * MIB, `${Math.round((peak - before) / MIB)} MiB more than before`);
  // On a busy machine each takes its time, but so do the answers.
  t.ok(served >= 5, `others are served meanwhile: ${served} pushes`);
  t.equal((await leader.status())!.term, term, 'the leader was not too busy to lead');
});
