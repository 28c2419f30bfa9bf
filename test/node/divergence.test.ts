import t from 'tap';
import { StackMachine } from '../../lib/machine/stack-machine.ts';
import type { RaftNode } from '../../lib/node/node.ts';
import type { ApplyMeta } from '../../lib/machine/state-machine.ts';
import type { ByteWriter } from '../../protocol/byte-writer.ts';
import { StackOp, Status } from '../../protocol/constants.ts';
import { Caller } from './support/caller.ts';
import { until } from '../e2e/support/until.ts';
import { MemoryCluster } from './support/memory-cluster.ts';
import type { Ending } from '../support/ending.ts';

/** Answers one command in another way than it should. */
class FaultyMachine extends StackMachine {
  readonly #at: number;

  constructor(at: number) {
    super();
    this.#at = at;
  }

  override apply(bytes: Uint8Array, start: number, end: number, out: ByteWriter, meta?: ApplyMeta): number {
    const status = super.apply(bytes, start, end, out);
    if (meta?.index === this.#at) out.buffer[out.position - 1]! ^= 1;
    return status;
  }
}

interface Faulty {
  readonly cluster: MemoryCluster;
  readonly leader: RaftNode;
  /** The replica that answers entry `at` in another way. */
  readonly node: RaftNode;
  readonly faulty: number;
}

async function startFaulty(t: Ending, at: number): Promise<Faulty> {
  const cluster = await MemoryCluster.start(t, 3);
  const leader = await cluster.leader();
  const faulty = leader.id === 1 ? 2 : 1;
  await cluster.stop(faulty);
  cluster.machineOf = (id) => (id === faulty ? new FaultyMachine(at) : new StackMachine());
  const node = await cluster.boot(faulty);
  return { cluster, leader, node, faulty };
}

t.test('a replica that gives other answers stops and says so; the others go on', async (t) => {
  const { cluster, leader, faulty, node } = await startFaulty(t, 100);
  await cluster.push(0, 300);
  await until('the replica to stop', () => node.failure !== null);
  t.match(node.failure, { code: 'STATE_DIVERGED' });
  await node.closed;
  t.equal(leader.failure, null);
  t.ok(
    cluster.errors.some(
      (line) => line.startsWith(`${faulty}:`) && line.includes('answers of this node and of another differ'),
    ),
  );
  cluster.nodes.delete(faulty);
  await cluster.push(300, 310);
  t.same(await new Caller(leader).query(StackOp.size, 's'), { status: Status.ok, value: 310 });
});

t.test('a quiet cluster finds it, too: it compares each second in which something is written', async (t) => {
  const { cluster, leader, node } = await startFaulty(t, 5);
  let pushes = 0;
  await until('the replica to stop', async () => {
    // Some 240 pushes, 5 ms and more apart: a second begins among them, and the 256th entry is not.
    if (leader.status().commitIndex < 245) await cluster.push(pushes, ++pushes);
    return node.failure !== null;
  });
  t.match(node.failure, { code: 'STATE_DIVERGED' });
  t.ok(leader.status().commitIndex < 256);
});

t.test('replicas that started from snapshots compare like the others', async (t) => {
  const cluster = await MemoryCluster.start(t, 3, 3000);
  const leader = await cluster.leader();
  const behind = leader.id === 1 ? 2 : 1;
  await cluster.stop(behind);
  await cluster.push(0, 200);
  await until('a compacted log', () => leader.status().firstIndex > 50);
  // The leader has a sum of its own of every entry that is summed up, so it compares whatever the other reports.
  let compared = 0;
  cluster.hearReports(leader.id, (from, { checkIndex }) => {
    if (from === behind) compared = checkIndex;
  });
  const node = await cluster.boot(behind);
  await cluster.push(200, 600);
  await until('a sum of the node that was behind', () => compared > 200);
  t.equal(node.failure, null);
  t.same(
    cluster.errors.filter((line) => line.includes('differ')),
    [],
  );
});
