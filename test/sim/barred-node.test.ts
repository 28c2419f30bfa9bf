import t from 'tap';
import { StackMachine } from '../../lib/machine/stack-machine.ts';
import { Simulation } from '../../lib/testing/simulation.ts';

// Cluster story 286472245: a leader's connection, half made when the node lost power, carried heartbeats to the process
// that came after it with an empty directory: it knew a leader whom it could not reach, and clients stayed with it.
t.test('a node that is turned away hears nobody, and its clients go elsewhere', async (t) => {
  for (let seed = 1; seed <= 16; seed++) {
    const simulation = new Simulation({ seed, nodes: 3, machine: () => new StackMachine() });
    simulation.weather.maxDelayMs = 20;
    const client = simulation.client({ timeoutMs: 5000 });
    void client.push('jobs', seed);
    await simulation.until('a push', () => (simulation.leader?.raft?.core.commitIndex ?? 0) > 2, 5000);
    const wiped = simulation.nodes.find((node) => node !== simulation.leader)!;
    for (const node of simulation.nodes) {
      if (node === wiped) continue;
      node.crash(true);
      node.start();
    }
    await simulation.run(2 * seed);
    wiped.crash(true);
    wiped.wipe();
    wiped.start();
    await simulation.until('it is turned away', () => wiped.raft?.status().quarantine !== null, 5000);
    await simulation.run(1000);
    t.equal(wiped.raft?.core.leader, 0, `seed ${seed}: it follows nobody`);

    let size = -1;
    const asked = simulation.client({ timeoutMs: 5000 }).size('jobs');
    void asked.then((found) => (size = found));
    await simulation.until('an answer', () => size === 1, 5000);
  }
});
