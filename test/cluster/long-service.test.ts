// Nodes that serve for long: the directory stays small, restarts are quick, whoever fell behind catches up, and one
// lost disk loses nothing.
import { readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import type { Client } from '../../lib/client/client.ts';
import { TestCluster } from '../e2e/support/cluster.ts';
import type { TestNode } from '../e2e/support/test-node.ts';
import { until } from '../e2e/support/until.ts';

const MIB = 1 << 20;

t.test('three nodes that take a snapshot for every MiB of log', async (t) => {
  const cluster = await TestCluster.start(t, { args: ['--snapshot-log-mb', '1'] });
  const client = await cluster.client({ timeoutMs: 60_000 });
  let pushed = 0;

  /** Pushes and pops about `mib` MiB; 50 values more are left. */
  const traffic = async (mib: number): Promise<void> => {
    const value = 'v'.repeat(2000);
    for (let round = 0; round < mib; round++) {
      await Promise.all(Array.from({ length: 500 }, () => client.push('traffic', value)));
      await client.popMany('traffic', 500);
    }
    for (let i = 0; i < 50; i++) await client.push('kept', `kept ${++pushed}`);
  };
  /** The same for all nodes, each asked for its own copy. */
  const contents = async (): Promise<void> => {
    await cluster.converged();
    for (const node of cluster.nodes)
      t.strictSame(await contentOf(cluster, node), kept(pushed), `node ${node.id}`);
  };

  await t.test('the directory stays small', async (t) => {
    await traffic(40);
    const statuses = await cluster.converged();
    for (const [i, { firstIndex, lastIndex, snapshotIndex }] of statuses.entries()) {
      const node = cluster.nodes[i]!;
      t.ok(snapshotIndex > 0 && firstIndex > 1, `node ${node.id} has compacted its log`);
      // 40 MiB went through it. What a snapshot covers goes when the next one is there.
      t.ok(firstIndex > lastIndex / 2, `node ${node.id} keeps entries ${firstIndex} to ${lastIndex}`);
      const files = readdirSync(path.join(node.dataDir, 'snapshots')).filter((name) =>
        name.endsWith('.snap'),
      );
      t.ok(files.length <= 2, `node ${node.id} keeps ${files.length} snapshots`);
      // Segments are made ahead and recycled: at most 64 MiB each, one in use and one in reserve.
      const bytes = sizeOf(node.dataDir);
      t.ok(bytes < 200 * MIB, `node ${node.id} uses ${Math.round(bytes / MIB)} MiB of disk`);
    }
    await contents();
  });

  await t.test('a follower that was down while the log was compacted gets a snapshot', async (t) => {
    const leader = await cluster.settled();
    const follower = cluster.nodes.find((node) => node !== leader)!;
    const seen = (await follower.status())!.lastIndex;
    await follower.kill();
    await traffic(20);
    await until('a log that has forgotten what the follower needs', async () => {
      const status = await leader.status();
      return status !== null && status.firstIndex > seen + 1;
    });
    follower.start();
    await contents();
    const status = (await follower.status())!;
    t.ok(status.firstIndex > seen + 1, 'its log begins behind the gap');
    // And it counts: with another node dead it makes the majority.
    const third = cluster.nodes.find((node) => node !== leader && node !== follower)!;
    await third.kill();
    await traffic(1);
    third.start();
    await contents();
  });

  await t.test('a restart of all reads snapshots and short logs', async () => {
    await Promise.all(cluster.nodes.map((node) => node.kill()));
    await cluster.startAll();
    await contents();
  });
});

t.test('one node has lost its disk', async (t) => {
  const cluster = await TestCluster.start(t);
  const client = await cluster.client({ timeoutMs: 60_000 });
  for (let i = 1; i <= 200; i++) await client.push('kept', `kept ${i}`);
  const leader = await cluster.settled();
  const victim = cluster.nodes.find((node) => node !== leader)!;
  const third = cluster.nodes.find((node) => node !== leader && node !== victim)!;
  await victim.kill();
  // Acknowledged by the other two: on their disks alone.
  for (let i = 201; i <= 300; i++) await client.push('kept', `kept ${i}`);
  rmSync(victim.dataDir, { recursive: true });
  await third.kill();
  victim.start();
  // What must not happen: the empty node and the one that comes back first make a majority without the acknowledged
  // values. Whichever pair of nodes runs now, nothing may be lost.
  await leader.kill();
  third.start();
  await until('the empty node and one other are up', async () => {
    const status = await third.status();
    return status !== null && (!victim.alive || (await victim.status()) !== null);
  });
  leader.start();
  await until('all that keep running are up', () => cluster.leader().then(() => true));
  t.strictSame(await allOf(client), kept(300), 'nothing acknowledged is lost');
});

function kept(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `kept ${i + 1}`);
}

function sizeOf(dir: string): number {
  let bytes = 0;
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const file = path.join(dir, entry.name);
    if (entry.isDirectory()) bytes += sizeOf(file);
    else bytes += statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  }
  return bytes;
}

/** The stack `kept`, bottom first, by pushing nothing: popped in one step and pushed back. */
async function allOf(client: Client): Promise<unknown[]> {
  const values = (await client.popMany('kept', 100_000)).reverse();
  await client.pushMany('kept', values);
  return values;
}

/** What one node has in its own memory: local reads, so the values are looked at from the top, one by one. */
async function contentOf(cluster: TestCluster, node: TestNode): Promise<unknown[]> {
  const own = await cluster.client({ addresses: [node.address], preferLeader: false });
  const size = await own.size('kept', { level: 'local' });
  const top = await own.top('kept', { level: 'local' });
  await own.close();
  return kept(size).at(-1) === top ? kept(size) : [size, top];
}
