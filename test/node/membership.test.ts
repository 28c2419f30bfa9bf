import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import t from 'tap';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import type { RaftNode } from '../../lib/node/node.ts';
import { askIntroduction } from '../../lib/transport/ask-introduction.ts';
import { StackOp, Status } from '../../protocol/constants.ts';
import { encodeIntroduction } from '../../protocol/introduction.ts';
import { pause } from '../e2e/support/until.ts';
import { Caller } from './support/caller.ts';
import { TestCluster } from './support/test-cluster.ts';

/** Pushes one value after the other until stopped; whatever was acknowledged must be there. */
function load(nodes: () => readonly RaftNode[]): { acknowledged: Set<number>; stop(): Promise<void> } {
  const acknowledged = new Set<number>();
  let stopped = false;
  const work = async (): Promise<void> => {
    for (let n = 1; !stopped; n++) {
      const all = nodes();
      const { status } = await new Caller(all[n % all.length]!).command(StackOp.push, 'load', n);
      if (status === Status.ok) acknowledged.add(n);
      else await pause(2);
    }
  };
  const done = work();
  return {
    acknowledged,
    stop: () => {
      stopped = true;
      return done;
    },
  };
}

t.test('a node joins, votes, and another goes, under load', async (t) => {
  const cluster = await TestCluster.start(t, 3, {}, 1);
  const leader = await cluster.leader();
  const pushes = load(() => cluster.nodes.filter((n) => n.id <= 3));
  const joiner = await cluster.startNode(4, { join: true });
  t.same(joiner.status().config.members, []);
  await cluster.elapse(2);
  t.equal(joiner.status().term, 0, 'it waits and disturbs nobody');

  const added = await leader.reconfigure({
    voters: [1, 2, 3, 4],
    members: [{ id: 4, peerAddress: cluster.address(4) }],
  });
  t.match(added, { done: true, changed: true, config: { voters: [1, 2, 3, 4], outgoing: [], learners: [] } });
  t.match(added.plan.steps, [
    /ask node 4/,
    /add node 4 as learner/,
    /caught up/,
    /1, 2, 3 to 1, 2, 3, 4/,
    /verify/,
  ]);
  // Those of the first days too: the newcomer has not met the directories with which they voted, and would take a wiped
  // one for the same node.
  for (const { id, incarnation } of added.config.members)
    t.ok(incarnation, `the directory of node ${id} is part of the configuration`);

  const gone = cluster.nodes.find((n) => n.id !== leader.id && n.id !== 4)!;
  const voters = [1, 2, 3, 4].filter((id) => id !== gone.id);
  const removed = await leader.reconfigure({ voters });
  t.same(removed.config.voters, voters);
  t.same(removed.config.retired, [gone.id]);
  await cluster.until('the removed node knows', () => gone.status().quarantine !== null);
  const { term } = leader.status();
  await cluster.elapse(3);
  t.equal(leader.status().term, term, 'and keeps quiet');
  await cluster.stop(gone.id);
  await pushes.stop();
  t.ok(pushes.acknowledged.size > 0);
  const size = await new Caller(joiner).query(StackOp.size, 'load');
  t.ok(
    (size.value as number) >= pushes.acknowledged.size,
    `${String(size.value)} of ${pushes.acknowledged.size}`,
  );

  await t.rejects(
    leader.reconfigure({
      voters: [...voters, gone.id],
      members: [{ id: gone.id, peerAddress: '127.0.0.1:9' }],
    }),
    { code: 'ID_RETIRED', outcome: 'not_applied' },
  );
  t.match(await leader.reconfigure({ voters }), { done: true, changed: false }, 'asked again: nothing to do');
});

t.test('a leader manages its own removal and hands over', async (t) => {
  const cluster = await TestCluster.start(t, 3);
  const leader = await cluster.leader();
  const others = [1, 2, 3].filter((id) => id !== leader.id);
  const result = await leader.reconfigure({ voters: others });
  t.same(result.config.voters, others);
  await cluster.until('another leads', () =>
    cluster.nodes.some((n) => n.id !== leader.id && n.status().role === 'leader'),
  );
  const next = await cluster.leader();
  t.same(await new Caller(next).command(StackOp.push, 's', 1), { status: Status.ok, value: 1 });
  await cluster.until('the old one is out', () => leader.status().quarantine !== null);
});

t.test('members changed while a node was away: it comes back with the old list and finds them', async (t) => {
  const cluster = await TestCluster.start(t, 3, {}, 2);
  const first = await cluster.leader();
  const away = [1, 2, 3].find((id) => id !== first.id)!;
  await cluster.meet();
  await cluster.startNode(4, { join: true });
  await cluster.startNode(5, { join: true });
  const members = [4, 5].map((id) => ({ id, peerAddress: cluster.address(id) }));
  await first.reconfigure({ voters: [1, 2, 3, 4, 5], members });
  await cluster.stop(away);
  // The two that the node that is away has never heard of make up the majority of those who know the news.
  const old = [1, 2, 3].filter((id) => id !== away);
  const leader = await cluster.leader();
  await leader.reconfigure({ voters: [...new Set([away, 4, 5, leader.id])] });
  for (const id of old) if (id !== leader.id) await cluster.stop(id);
  if (leader.id <= 3) {
    const target = leader.transferLeadership(4);
    t.equal(target, 4);
    await cluster.until('node 4 leads', () => cluster.node(4).status().role === 'leader');
  }
  const back = await cluster.startNode(away);
  await cluster.until('it has caught up', () => {
    const { commitIndex, config } = back.status();
    return config.voters.includes(5) && commitIndex === cluster.node(5).status().commitIndex;
  });
  t.equal(back.status().quarantine, null);
});

t.test('a plan that another leader’s change overtook does not undo it', async (t) => {
  const cluster = await TestCluster.start(t, 4, { electionTimeoutMs: 2000 });
  const planner = await cluster.leader();
  await cluster.meet();
  const other = planner.id === 1 ? 2 : 1;
  const [moving, demoted] = [1, 2, 3, 4].filter((id) => id !== planner.id && id !== other) as [
    number,
    number,
  ];
  // Where node `moving` is said to have moved to somebody listens who takes his time to say who he is.
  const introduction = encodeIntroduction(
    await askIntroduction(cluster.address(moving), { timeoutMs: 3000 }),
  );
  const asked: Socket[] = [];
  const slow = createServer((socket) => socket.on('error', () => {}).once('data', () => asked.push(socket)));
  await once(slow.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => slow.close());
  const { port } = slow.address() as AddressInfo;

  const members = [{ id: moving, peerAddress: `127.0.0.1:${port}` }];
  const overtaken = planner.reconfigure({ voters: [1, 2, 3, 4], members });
  const outcome = t.rejects(overtaken, { code: 'CONFIG_MISMATCH', outcome: 'not_applied' });
  await cluster.until('the question', () => asked.length > 0);
  await planner.handOver(other);
  const voters = [1, 2, 3, 4].filter((id) => id !== demoted);
  await cluster.node(other).reconfigure({ voters, learners: [demoted] });
  await cluster.node(other).handOver(planner.id);
  await cluster.until('the planner leads again', () => planner.core.termCommitted);
  for (const socket of asked) socket.end(introduction);

  await outcome;
  t.match(planner.status().config, { voters, outgoing: [], learners: [demoted] });
});

t.test('what cannot be, is refused, and nothing is changed', async (t) => {
  const cluster = await TestCluster.start(t, 3, {}, 2);
  const leader = await cluster.leader();
  const before = leader.status().config;
  const follower = cluster.nodes.find((n) => n.id !== leader.id)!;
  const four = { id: 4, peerAddress: cluster.address(4) };
  const refused = async (promise: Promise<unknown>, code: string, what: string): Promise<void> => {
    await t.rejects(promise, { code, outcome: 'not_applied' }, what);
  };
  await refused(follower.reconfigure({ voters: [1, 2] }), 'NOT_LEADER', 'only the leader changes members');
  await refused(leader.reconfigure({ voters: [] }), 'BAD_OPTION', 'no voters');
  await refused(leader.reconfigure({ voters: [1, 2, 4] }), 'BAD_OPTION', 'no address');
  await refused(leader.reconfigure({ voters: [1, 2], learners: [2] }), 'BAD_OPTION', 'both at once');
  await refused(
    leader.reconfigure({ voters: [1, 2, 4], members: [{ id: 4, peerAddress: cluster.address(1) }] }),
    'BAD_OPTION',
    'an address twice',
  );
  await refused(leader.reconfigure({ voters: [1, 2, 3, 4], members: [four] }), 'UNREACHABLE', 'nobody there');
  await refused(
    leader.reconfigure({ voters: [1, 2] }, { expectedConfigIndex: 77 }),
    'CONFIG_MISMATCH',
    'not what the caller saw',
  );
  await cluster.startNode(5, { join: true });
  await refused(
    leader.reconfigure({ voters: [1, 2, 3, 4], members: [{ id: 4, peerAddress: cluster.address(5) }] }),
    'WRONG_NODE',
    'another node answers',
  );
  const five = { id: 5, peerAddress: cluster.address(5) };
  const dry = await leader.reconfigure({ voters: [1, 2, 3, 5], members: [five] }, { dryRun: true });
  t.match(dry, { done: false, changed: true, plan: { warnings: [/4 voters survive the loss of 1/] } });

  await cluster.stop(follower.id);
  await cluster.until('the loss is seen', () => leader.status().peers.some((p) => !p.connected));
  const lonely = { voters: [leader.id, follower.id] };
  await refused(leader.reconfigure(lonely), 'WOULD_LOSE_QUORUM', 'one of two is dead');
  await refused(leader.reconfigure(lonely, { dryRun: true }), 'WOULD_LOSE_QUORUM', 'a dry run says so too');
  t.same(leader.status().config, before);
});

t.test('an address that cannot be written, or that followers would not read, is refused', async (t) => {
  const cluster = await TestCluster.start(t, 3);
  const leader = await cluster.leader();
  for (const host of ['\ud800', 'a'.repeat(2000)]) {
    const members = [{ id: 4, peerAddress: `${host}:1` }];
    await t.rejects(leader.reconfigure({ voters: [1, 2, 3, 4], members }, { force: true, timeoutMs: 400 }), {
      code: 'BAD_OPTION',
      outcome: 'not_applied',
    });
  }
  t.same(await new Caller(leader).command(StackOp.push, 's', 1), { status: Status.ok, value: 1 });
});

t.test('a learner that was wiped while it caught up is not taken for itself', async (t) => {
  const cluster = await TestCluster.start(t, 3, {}, 1);
  const leader = await cluster.leader();
  await cluster.startNode(4, { join: true });
  const four = { id: 4, peerAddress: cluster.address(4) };
  await leader.reconfigure({ voters: [1, 2, 3], learners: [4], members: [four] });
  await cluster.stop(4);
  cluster.disks.set(4, new MemoryDisk());
  const again = await cluster.startNode(4, { join: true });
  const before = leader.status().peers.find(({ id }) => id === 4)!.match!;
  await cluster.until('it is refused', () =>
    cluster.logs.some(({ code, level }) => code === 'INCARNATION_CHANGED' && level === 'warn'),
  );
  t.same(await new Caller(leader).command(StackOp.push, 's', 1), { status: Status.ok, value: 1 });
  await cluster.elapse(1);
  t.equal(leader.status().peers.find(({ id }) => id === 4)!.match, before, 'it gets no entries');
  t.equal(again.status().lastIndex, 0);
  const promotion = leader.reconfigure({ voters: [1, 2, 3, 4] }, { timeoutMs: 400, force: true });
  await t.rejects(promotion, { code: 'TIMEOUT', outcome: 'not_applied' }, 'nor a vote');
});

t.test('a change that was half done when its leader died is done when it is asked for again', async (t) => {
  const cluster = await TestCluster.start(t, 3);
  const leader = await cluster.leader();
  const voters = [1, 2, 3].filter((id) => id !== leader.id);
  await cluster.until('the term to begin', () => leader.core.termCommitted);
  // The joint configuration reaches the others, and is not committed.
  for (const id of voters) cluster.gate(id).stall();
  leader.reconfigure({ voters }).catch(() => undefined);
  await cluster.until('both to have the change', () =>
    voters.every((id) => cluster.node(id).core.config.outgoing.length > 0),
  );
  await cluster.stop(leader.id);
  // Asked again the moment there is a leader, as a client does that was told of it.
  let asked = false;
  const again = new Promise<unknown>((resolve, reject) => {
    for (const id of voters) {
      const node = cluster.node(id);
      node.onLeader(() => {
        if (asked || node.core.role !== 'leader') return;
        asked = true;
        node.reconfigure({ voters }).then(resolve, reject);
      });
    }
  });
  for (const id of voters) cluster.gate(id).goOn();
  t.match(await again, {
    done: true,
    changed: false,
    config: { voters, outgoing: [], retired: [leader.id] },
  });
});

t.test('a change that is asked for again while it is under way ends as it does', async (t) => {
  const cluster = await TestCluster.start(t, 3, {}, 1);
  const leader = await cluster.leader();
  await cluster.startNode(4, { join: true });
  cluster.gate(4).stall();
  const target = { voters: [1, 2, 3, 4], members: [{ id: 4, peerAddress: cluster.address(4) }] };
  const first = leader.reconfigure(target);
  await cluster.until('the newcomer to be a learner', () => leader.status().config.learners.length > 0);
  const again = leader.reconfigure({ ...target, voters: [4, 3, 2, 1] });
  await t.rejects(leader.reconfigure({ voters: [1, 2] }), { code: 'CHANGE_PENDING' }, 'not so another one');
  await t.rejects(leader.reconfigure(target, { dryRun: true }), { code: 'CHANGE_PENDING' });
  cluster.gate(4).goOn();
  t.match(await again, { done: true, changed: true, config: { voters: [1, 2, 3, 4] } });
  t.equal(await again, await first);
});
