import t from 'tap';
import { StackMachine } from '../../lib/machine/stack-machine.ts';
import { memberOf } from '../../lib/testing/sim-addresses.ts';
import { Simulation } from '../../lib/testing/simulation.ts';

/** A cluster in which one bit of node 1's list of those it has met flips while node 1, its leader, is down. */
async function forgetful(nodes: number, voters: number[], learners: number[]): Promise<Simulation> {
  const simulation = new Simulation({ seed: 5, nodes, machine: () => new StackMachine() });
  await simulation.until('a leader', () => simulation.leader?.core.termCommitted === true, 5000);
  if (nodes === 1) {
    simulation.add();
    await simulation.run(500);
    let done = false;
    const leader = simulation.leader!;
    leader.run(() => {
      const members = [1, 2].map(memberOf);
      void leader.raft!.reconfigure({ voters, learners, members }).then(() => (done = true));
    });
    await simulation.until('the change', () => done, 5000);
  }
  await simulation.run(500);
  const one = simulation.node(1)!;
  one.crash(false);
  one.storage.disk.corrupt('data/peers', 3, 1);
  one.storage.tainted = true;
  one.storage.damages++;
  one.start();
  await simulation.until('node 1 to run', () => one.raft !== null, 5000);
  return simulation;
}

for (const [voters, learners] of [
  [[1], [2]],
  [[1, 2], []],
] as const) {
  const name = `voters ${voters.join(' ')}, learners ${learners.join(' ')}`;
  t.test(`what the configuration says of the others cannot be forgotten: ${name}`, async (t) => {
    const simulation = await forgetful(1, [...voters], [...learners]);
    t.equal(simulation.node(1)!.raft!.status().quarantine, null);
    await simulation.until('a leader', () => simulation.leader?.core.termCommitted === true, 10_000);
  });
}

t.test('whom only the list knew is forgotten, and the node waits for a leader that remembers', async (t) => {
  const simulation = await forgetful(3, [1, 2, 3], []);
  const one = simulation.node(1)!;
  t.match(one.raft!.status().quarantine, 'data/peers');
  await simulation.until('its end', () => one.raft!.status().quarantine === null, 10_000);
});
