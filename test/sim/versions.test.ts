import t from 'tap';

import type { VersionRange } from '../../protocol/constants.ts';
import { StackMachine } from '../../lib/machine/stack-machine.ts';
import { Simulation } from '../../lib/testing/simulation.ts';

// There is one version of the protocol so far. What two programs that speak different ones do together is settled by
// the handshake, and that is what runs here, in the nodes as they are.
const both: VersionRange = { lowest: 1, highest: 2 };
const newer: VersionRange = { lowest: 2, highest: 2 };

async function upgrade(simulation: Simulation, id: number, versions: VersionRange): Promise<void> {
  const node = simulation.node(id)!;
  node.crash(false);
  node.versions = versions;
  node.start();
  const leads = (): boolean => simulation.leader !== undefined;
  await simulation.until('a leader', leads, 5000);
}

t.test('a rolling upgrade through two versions, node by node, under load', async (t) => {
  const simulation = new Simulation({ seed: 7, nodes: 3, machine: () => new StackMachine() });
  const client = simulation.client({ timeoutMs: 20_000 });
  let pushed = 0;
  let running = true;
  const load = (async () => {
    while (running) {
      await client.push('jobs', pushed);
      pushed++;
    }
  })();
  await simulation.run(1000);
  for (const versions of [both, newer]) {
    for (const id of [1, 2, 3]) {
      const before = pushed;
      await upgrade(simulation, id, versions);
      await simulation.run(1500);
      t.ok(pushed > before, `pushes go on with node ${id} upgraded: ${before} → ${pushed}`);
    }
  }
  running = false;
  await simulation.run(1000);
  await load;
  const size = client.size('jobs');
  await simulation.run(500);
  t.equal(await size, pushed);
  t.ok((simulation.counts.get('connections of another version') ?? 0) > 0);
});

t.test('a node too old for the others is turned away and endangers nothing', async (t) => {
  const lines: string[] = [];
  const simulation = new Simulation({
    seed: 8,
    nodes: 3,
    machine: () => new StackMachine(),
    trace: (line) => lines.push(line),
  });
  await simulation.run(1000);
  for (const versions of [both, newer]) for (const id of [1, 2]) await upgrade(simulation, id, versions);
  await simulation.run(1000);
  const { leader } = simulation;
  t.ok(leader && leader.id !== 3, 'the two that understand each other lead');
  const { term } = leader!.core;
  const client = simulation.client();
  const pushed = client.push('jobs', 1);
  await simulation.run(3000);
  await pushed;
  t.equal(simulation.leader!.core.term, term, 'the third does not depose the leader');
  t.equal(simulation.node(3)!.core.term <= term, true);
  t.ok(
    lines.some((line) => /INCOMPATIBLE_VERSION/.test(line)),
    'it is said why',
  );
  await upgrade(simulation, 3, both);
  await simulation.run(2000);
  t.equal(
    simulation.node(3)!.core.commitIndex,
    simulation.leader!.core.commitIndex,
    'it catches up once upgraded',
  );
});
