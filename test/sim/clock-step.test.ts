import t from 'tap';
import { StackMachine } from '../../lib/machine/stack-machine.ts';
import { Simulation } from '../../lib/testing/simulation.ts';

const HOUR_MS = 3_600_000;

// Sessions and keys expire by the cluster's clock. A command that is sent again after that runs again.
for (const hours of [-25, -2, 2, 25]) {
  t.test(`the leader's wall clock is set by ${hours} h: nothing expires by that`, async (t) => {
    const simulation = new Simulation({ seed: 1, nodes: 3, machine: () => new StackMachine() });
    await simulation.until('a leader', () => simulation.leader !== undefined, 5000);
    const leader = simulation.leader!;
    const client = simulation.client();
    const done = async <T>(call: Promise<T>): Promise<T> => {
      let answered = false;
      void call.finally(() => (answered = true));
      await simulation.until('an answer', () => answered, 5000);
      return call;
    };
    t.equal(await done(client.push('once', 1, { idempotencyKey: 'k' })), 1);
    t.equal(await done(client.push('jobs', 1)), 1);

    leader.jumpWallClock(hours * HOUR_MS);
    await simulation.run(1000);
    t.equal(await done(client.push('other', 1)), 1, 'time goes on');
    t.equal(await done(client.push('once', 1, { idempotencyKey: 'k' })), 1, 'the key is remembered');
    t.equal(await done(client.push('jobs', 2)), 2, 'and so is the session');
    t.equal(simulation.leader, leader, 'and it leads on');

    leader.crash(false);
    await simulation.until('another leader', () => simulation.leader !== undefined, 5000);
    t.equal(await done(client.push('once', 1, { idempotencyKey: 'k' })), 1);
    t.equal(await done(client.push('jobs', 3)), 3);
    await client.close();
  });
}
