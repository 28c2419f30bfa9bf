// A cluster that began with one node has grown by entries of the log. Where those are lost, nothing in the directory but
// the list of whom the node has met says that it is not alone.
import t, { type Test } from 'tap';
import type { MemoryDisk } from '../../lib/log/memory-disk.ts';
import type { RaftNode } from '../../lib/node/node.ts';
import { StackOp, Status } from '../../protocol/constants.ts';
import { Caller } from './support/caller.ts';
import { TestCluster } from './support/test-cluster.ts';

const EARLY = 40;
const LATE = 10;

async function push(node: RaftNode, word: string, count: number): Promise<void> {
  const caller = new Caller(node);
  for (let i = 0; i < count; i++) {
    const { status } = await caller.command(StackOp.push, 's', `${word} ${i} ${'.'.repeat(1000)}`);
    if (status !== Status.ok) throw new Error(`${word} ${i}: status ${status}`);
  }
}

/** Node 1 was alone for a while; now it has stopped, and one of two that joined leads. Of its log a bit has changed. */
async function startDamaged(t: Test, where: string): Promise<{ cluster: TestCluster; disk: MemoryDisk }> {
  // What is fetched again comes in small pieces, so that the members do not come with the first.
  const cluster = await TestCluster.start(t, 1, { maxBatchBytes: 4096 }, 2);
  const first = await cluster.leader();
  await push(first, 'early', EARLY);
  for (const id of [2, 3]) await cluster.startNode(id, { join: true });
  const members = [2, 3].map((id) => ({ id, peerAddress: cluster.address(id) }));
  await first.reconfigure({ voters: [1, 2, 3], members });
  await push(first, 'late', LATE);
  await first.handOver(2);
  await cluster.stop(1);
  const disk = cluster.disks.get(1)!;
  for (const path of disk.files()) {
    const offset = Buffer.from(disk.content(path)).indexOf(where);
    if (offset >= 0) disk.corrupt(path, offset, 1);
  }
  return { cluster, disk };
}

async function healed(t: Test, cluster: TestCluster, node: RaftNode): Promise<void> {
  await cluster.until('the end of the quarantine', () => node.status().quarantine === null);
  await cluster.until('a leader', () => node.leader !== null);
  t.same(await new Caller(node).query(StackOp.size, 's'), { status: Status.ok, value: EARLY + LATE });
  t.same(node.status().config.voters, [1, 2, 3]);
}

t.test('a first node that lost the entries by which the cluster grew is mended by the others', async (t) => {
  const { cluster } = await startDamaged(t, 'early 3 ');
  const node = await cluster.startNode(1);
  t.match(node.status().quarantine, 'damaged');
  await healed(t, cluster, node);
});

t.test('a first node that dies while it fetches them does not lead by itself afterwards', async (t) => {
  const { cluster, disk } = await startDamaged(t, 'late 3 ');
  // Its log begins anew, and then the node dies: what it has is whole, and of the days when it was alone.
  let cut = false;
  disk.onCall = (call) => {
    if (call.operation === 'unlink' && call.path.endsWith('.log')) cut = true;
    else if (cut && call.operation === 'write' && call.path.includes('/log/'))
      throw Object.assign(new Error('gone'), { code: 'EIO' });
    return undefined;
  };
  const half = await cluster.startNode(1);
  t.match(half.status().quarantine, 'damaged');
  await cluster.until('the node to stop', () => half.failure !== null);
  await half.closed;
  disk.onCall = null;
  const node = await cluster.startNode(1);
  t.match(node.status().quarantine, 'fetched again', 'it remembers that something is missing');
  t.same(node.status().config.voters, [1], 'and not that there are others');
  await healed(t, cluster, node);
});
