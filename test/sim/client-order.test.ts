// A client that goes over from a follower to the leader in the middle of its work.
import t from 'tap';
import { StackMachine } from '../../lib/machine/stack-machine.ts';
import { clientAddressOf } from '../../lib/testing/sim-addresses.ts';
import { Simulation } from '../../lib/testing/simulation.ts';

const CLIENT = 1001;

for (let seed = 1; seed <= 5; seed++) {
  t.test(`commands run in their order when the leader's connection takes over, seed ${seed}`, async (t) => {
    const simulation = new Simulation({ seed, nodes: 3, machine: () => new StackMachine() });
    simulation.weather.maxDelayMs = 20;
    await simulation.until('a leader', () => simulation.leader !== undefined, 5000);
    const leader = simulation.leader!.id;
    const follower = leader === 1 ? 2 : 1;
    simulation.network.cut(CLIENT, leader);
    const client = simulation.client({ addresses: [clientAddressOf(follower)] });
    const pushes: Promise<number>[] = [];
    const push = async (count: number): Promise<void> => {
      for (const end = pushes.length + count; pushes.length < end;) {
        pushes.push(client.push('a', pushes.length));
        await simulation.run(1);
      }
    };
    await push(200);
    t.equal(client.node?.nodeId, follower);
    simulation.network.heal();
    await push(1000);
    t.equal(client.node?.nodeId, leader);
    await simulation.until('all answers', () => client.outstanding === 0, 5000);
    t.strictSame(
      await Promise.all(pushes),
      pushes.map((_, i) => i + 1),
    );
    await client.close();
  });
}
