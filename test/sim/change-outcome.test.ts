import t from 'tap';
import { StackMachine } from '../../lib/machine/stack-machine.ts';
import type { ChangeOptions } from '../../lib/node/membership.ts';
import { memberOf } from '../../lib/testing/sim-addresses.ts';
import type { SimNode } from '../../lib/testing/sim-node.ts';
import { Simulation } from '../../lib/testing/simulation.ts';
import type { CordwoodError } from '../../protocol/errors.ts';

/** A node that is ready to be added as number 4, and the leader of the three others. */
async function withNewcomer(): Promise<{ simulation: Simulation; leader: SimNode }> {
  const simulation = new Simulation({ seed: 3, nodes: 3, machine: () => new StackMachine() });
  await simulation.until('a leader', () => simulation.leader?.core.termCommitted === true, 5000);
  simulation.add();
  await simulation.run(500);
  return { simulation, leader: simulation.leader! };
}

/** Asks for node 4 as a voter. */
function add(leader: SimNode, options: ChangeOptions = {}): { done: boolean; error: CordwoodError | null } {
  const end: { done: boolean; error: CordwoodError | null } = { done: false, error: null };
  leader.run(() => {
    const change = leader.raft!.reconfigure({ voters: [1, 2, 3, 4], members: [memberOf(4)] }, options);
    void change.then(
      () => (end.done = true),
      (error: unknown) => (end.error = error as CordwoodError),
    );
  });
  return end;
}

function hasJoined({ core }: SimNode): boolean {
  return core.config.learners.includes(4) && core.configIndex <= core.commitIndex;
}

t.test('a change whose second half was lost with its leader is not said not to have happened', async (t) => {
  const { simulation, leader } = await withNewcomer();
  const end = add(leader);
  while (!hasJoined(leader)) await simulation.run(0.5);
  const others = [1, 2, 3].filter((id) => id !== leader.id);
  for (const other of others) {
    simulation.network.cut(leader.id, other);
    simulation.network.cut(other, leader.id);
  }
  await simulation.until('the voters’ change', () => leader.core.config.outgoing.length > 0, 5000);
  await simulation.until('another leader', () => others.includes(simulation.leader?.id ?? 0), 10_000);
  simulation.network.heal();
  await simulation.until('the end of the call', () => end.error !== null, 10_000);
  t.match(end.error, { code: 'NOT_LEADER', outcome: 'unknown', message: /4 joined as learners/ });
  t.same(simulation.leader!.core.config.learners, [4]);
});

t.test('nor is one that ran out of time when the newcomer had joined', async (t) => {
  const { simulation, leader } = await withNewcomer();
  simulation.slowDisks.set(4, 1e6);
  const end = add(leader, { timeoutMs: 2000 });
  await simulation.until('the end of the call', () => end.error !== null, 3000);
  t.match(end.error, { code: 'TIMEOUT', outcome: 'unknown', message: /4 joined as learners/ });
  t.ok(hasJoined(leader));
});

t.test('who asks for a change that is under way waits as long as it wants to', async (t) => {
  const { simulation, leader } = await withNewcomer();
  const first = add(leader);
  while (!hasJoined(leader)) await simulation.run(0.5);
  simulation.network.cut(4, leader.id);
  const second = add(leader, { timeoutMs: 500 });
  const third = add(leader, { timeoutMs: 30_000 });
  await simulation.until('the second call to give up', () => second.error !== null, 1000);
  t.match(second.error, { code: 'TIMEOUT', outcome: 'unknown', message: /it goes on/ });
  t.match(
    [first, third],
    [
      { done: false, error: null },
      { done: false, error: null },
    ],
  );
  simulation.network.heal();
  await simulation.until('the change', () => first.done && third.done, 10_000);
});
