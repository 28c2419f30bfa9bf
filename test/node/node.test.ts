import t from 'tap';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { StackMachine } from '../../lib/machine/stack-machine.ts';
import { RaftNode } from '../../lib/node/node.ts';
import { StackOp, Status } from '../../protocol/constants.ts';
import { until } from '../e2e/support/until.ts';
import { Caller } from './support/caller.ts';
import { freePorts, memoryEnvironment } from './support/memory-environment.ts';

async function startCluster(size: number, disks: MemoryDisk[]): Promise<RaftNode[]> {
  const ports = await freePorts(size);
  const cluster = ports.map((port) => `127.0.0.1:${port}`);
  return Promise.all(
    cluster.map((_, i) =>
      RaftNode.start(
        {
          id: i + 1,
          cluster,
          dataDir: 'in memory',
          machine: new StackMachine(),
          heartbeatMs: 20,
          electionTimeoutMs: 600,
        },
        memoryEnvironment(disks[i]!),
      ),
    ),
  );
}

function leaderOf(nodes: readonly RaftNode[]): Promise<RaftNode> {
  return until('a leader', () => nodes.find((n) => n.status().role === 'leader' && n.failure === null));
}

await t.test('one node alone', async (t) => {
  const [node] = await startCluster(1, [new MemoryDisk()]);
  await leaderOf([node!]);
  const caller = new Caller(node!);
  t.same(await caller.command(StackOp.push, 'a', 'x'), { status: Status.ok, value: 1 });
  t.same(await caller.query(StackOp.top, 'a'), { status: Status.ok, value: 'x' });
  await node!.close();
});

await t.test('three nodes: any of them takes any request', async (t) => {
  const disks = [new MemoryDisk(), new MemoryDisk(), new MemoryDisk()];
  const nodes = await startCluster(3, disks);
  const leader = await leaderOf(nodes);
  const callers = nodes.map((n) => new Caller(n));
  await until('all nodes to know the leader', () => nodes.every((n) => n.leader !== null));
  let size = 0;
  for (let round = 0; round < 20; round++) {
    for (const caller of callers) {
      t.same(await caller.command(StackOp.push, 'jobs', `v${size}`), { status: Status.ok, value: size + 1 });
      size++;
    }
    for (const caller of callers) {
      t.same(await caller.query(StackOp.top, 'jobs'), { status: Status.ok, value: `v${size - 1}` });
    }
  }
  const many = await Promise.all(
    Array.from({ length: 5000 }, (_, i) => callers[i % 3]!.command(StackOp.push, 'n', i)),
  );
  t.ok(many.every((a) => a.status === Status.ok));
  t.equal(new Set(many.map((a) => a.value)).size, 5000, 'each push got a size of its own');

  const others = nodes.filter((n) => n !== leader);
  await leader.close();
  const next = await leaderOf(others);
  t.not(next, leader);
  const caller = new Caller(next);
  t.same(await caller.query(StackOp.size, 'n'), { status: Status.ok, value: 5000 });
  for (const node of others) await node.close();
});
