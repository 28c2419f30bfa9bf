import t from 'tap';
import { StackMachine } from '../../lib/machine/stack-machine.ts';
import { memberOf } from '../../lib/testing/sim-addresses.ts';
import { Simulation } from '../../lib/testing/simulation.ts';

// Node 1 refused node 4 for ever, being itself of entry 13, which was void: node 4 was not in it, and came with entry 10.
t.test(
  'a leader that was cut off with a configuration of its own follows one it does not know',
  async (t) => {
    const simulation = new Simulation({ seed: 7, nodes: 3, machine: () => new StackMachine() });
    const leadBy = async (id: number): Promise<void> => {
      await simulation.until('a leader', () => simulation.leader !== undefined, 5000);
      if (simulation.leader!.id !== id) simulation.leader!.raft!.transferLeadership(id);
      await simulation.until(`node ${id} to lead`, () => simulation.leader?.id === id, 5000);
    };
    await leadBy(1);
    const one = simulation.node(1)!;
    const client = simulation.client();
    let pushed = false;
    void client.push('jobs', 0).then(() => (pushed = true));
    await simulation.until('a push', () => pushed, 5000);

    for (const other of [2, 3]) {
      simulation.network.cut(1, other);
      simulation.network.cut(other, 1);
    }
    for (let i = 0; i < 12; i++) {
      client.push('jobs', i).catch(() => undefined);
      await simulation.run(8);
    }
    one.run(() => {
      one.raft!.reconfigure({ voters: [1, 2], learners: [3] }).catch(() => undefined);
    });
    await simulation.run(1500);
    const index = one.core.configIndex;

    simulation.add();
    await simulation.run(500);
    const next = simulation.leader!;
    t.not(next, one);
    let done = false;
    next.run(() => {
      const members = [1, 2, 4].map(memberOf);
      void next.raft!.reconfigure({ voters: [1, 2, 4], members }).then(() => (done = true));
    });
    await simulation.until('the change', () => done, 5000);
    await leadBy(4);
    const four = simulation.node(4)!;
    t.ok(four.core.configIndex < index, `entry ${four.core.configIndex} is in force, ${index} never was`);
    simulation.node(2)!.crash(false);
    simulation.node(3)!.crash(false);
    simulation.network.heal();
    await simulation.until('node 1 to follow node 4', () => one.core.config.voters.includes(4), 10_000);
    await simulation.until('a leader', () => simulation.leader?.core.termCommitted === true, 10_000);
  },
);
