import t from 'tap';
import { StackMachine } from '../../lib/machine/stack-machine.ts';
import type { SimNode } from '../../lib/testing/sim-node.ts';
import { Simulation } from '../../lib/testing/simulation.ts';

/** Two fifths of an election timeout: followers miss nobody yet. */
const STALL_MS = 80;

async function cluster(seed: number): Promise<Simulation> {
  const simulation = new Simulation({ seed, nodes: 3, machine: () => new StackMachine() });
  await simulation.until('a leader', () => simulation.leader !== undefined, 10_000);
  await simulation.run(1000);
  return simulation;
}

/** Lets processes stand still for a while, at the same time, and run again for longer. */
async function stall(simulation: Simulation, nodes: readonly SimNode[], times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    for (const node of nodes) node.pause();
    await simulation.run(STALL_MS);
    for (const node of nodes) node.resume();
    await simulation.run(2 * STALL_MS);
  }
}

t.test('a leader whose process keeps standing still hands over', async (t) => {
  for (let seed = 1; seed <= 8; seed++) {
    const simulation = await cluster(seed);
    const first = simulation.leader!;
    await stall(simulation, [first], 12);
    t.not(simulation.leader?.id, first.id, `seed ${seed}`);
  }
});

// Handing over to a node that is no better would only add to what keeps all of them busy.
t.test('where all processes keep standing still, leadership does not go round', async (t) => {
  for (let seed = 1; seed <= 8; seed++) {
    const simulation = await cluster(seed);
    const before = simulation.leader!.raft!.status().term;
    // A hundred election timeouts.
    await stall(simulation, simulation.nodes, 83);
    const changes = simulation.leader!.raft!.status().term - before;
    t.ok(changes <= 3, `seed ${seed}: ${changes} changes`);
  }
});
