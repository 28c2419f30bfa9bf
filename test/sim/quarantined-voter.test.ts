import t from 'tap';
import { StackMachine } from '../../lib/machine/stack-machine.ts';
import type { SimNode } from '../../lib/testing/sim-node.ts';
import { Simulation } from '../../lib/testing/simulation.ts';

/** Three nodes, led by node 1, and a rotten log on node 3, which takes its time to fetch it anew. */
async function withRottenLog(): Promise<Simulation> {
  const simulation = new Simulation({
    seed: 3,
    nodes: 3,
    machine: () => new StackMachine(),
    options: { maxBatchBytes: 4 << 10 },
  });
  await leadBy(simulation, 1);
  const client = simulation.client();
  for (let i = 0; i < 100; i++) {
    client.push('jobs', 'x'.repeat(500)).catch(() => undefined);
    await simulation.run(6);
  }
  await simulation.run(500);
  const sick = simulation.node(3)!;
  const { storage } = sick;
  sick.crash(false);
  // The last but one holds what no snapshot covers: rot that one covers costs nothing.
  const file = storage.disk
    .files()
    .filter((name) => name.endsWith('.log'))
    .sort()
    .at(-2)!;
  storage.disk.corrupt(file, 4196, 1);
  storage.tainted = true;
  storage.damages++;
  sick.start();
  await simulation.until('the quarantine', () => typeof quarantineOf(simulation) === 'string', 1000);
  simulation.slowDisks.set(3, 8000);
  return simulation;
}

function quarantineOf(simulation: Simulation): string | null | undefined {
  return simulation.node(3)!.raft?.status().quarantine;
}

async function leadBy(simulation: Simulation, id: number): Promise<void> {
  await simulation.until('a leader', () => simulation.leader !== undefined, 5000);
  if (simulation.leader!.id !== id) simulation.leader!.raft!.transferLeadership(id);
  await simulation.until(`node ${id} to lead`, () => simulation.leader?.id === id, 5000);
}

/** How the call of `node` ends: the code of its error, or `done`. */
async function change(simulation: Simulation, node: SimNode, voters: number[]): Promise<string> {
  let end = '';
  node.run(() => {
    void node.raft!.reconfigure({ voters }).then(
      () => (end = 'done'),
      (error: unknown) => (end = (error as { code: string }).code),
    );
  });
  await simulation.until('the end of the change', () => end !== '', 20_000);
  return end;
}

// Without node 2 the votes of both 1 and 3 are needed. If 1 is lost for a moment while its change is under way, nobody
// can be elected: 3 does not vote before it has fetched its log, and it has nobody to fetch that from.
t.test('a change of members counts on no vote of a node in quarantine', async (t) => {
  const simulation = await withRottenLog();
  const leader = simulation.node(1)!;
  await simulation.run(150);
  t.equal(await change(simulation, leader, [1, 3]), 'WOULD_LOSE_QUORUM');
  t.same(leader.raft!.core.config.outgoing, []);
  t.equal(await change(simulation, leader, [1, 2]), 'done', 'what does without its vote goes on');
});

// Its progress table is new: it says nothing of the loss before that has been reported to it.
t.test('nor does one that a new leader is asked for', async (t) => {
  const simulation = await withRottenLog();
  await simulation.run(150);
  const next = simulation.node(2)!;
  simulation.network.cut(3, 2);
  simulation.node(1)!.raft!.transferLeadership(2);
  await simulation.until('node 2 to lead', () => next.raft!.core.termCommitted, 5000);
  t.equal(next.raft!.core.progressOf(3)!.neededIndex, 0);
  t.equal(next.raft!.members().members[2]!.live, true);
  t.equal(await change(simulation, next, [2, 3]), 'WOULD_LOSE_QUORUM');
});

t.test('nobody hands over to it; healed, it counts again at once', async (t) => {
  const simulation = await withRottenLog();
  const leader = simulation.node(1)!;
  simulation.node(2)!.crash(false);
  await simulation.run(1100);
  t.type(quarantineOf(simulation), 'string');
  t.equal(leader.raft!.members().members[2]!.live, true);
  t.equal(leader.raft!.transferLeadership(0), 0, 'nobody is left who could lead');

  simulation.node(2)!.start();
  simulation.slowDisks.clear();
  await simulation.until('the end', () => quarantineOf(simulation) === null, 20_000);
  // Word of it is on its way.
  await simulation.run(100);
  t.equal(await change(simulation, leader, [1, 3]), 'done');
});
