// What cannot be delivered must not pile up: a node's memory stays bounded with a hundred thousand requests that nobody
// commits, with clients that do not read, and with a follower that is frozen or gone while the others work.
import t from 'tap';
import { encodeQuery } from '../../protocol/client-codec.ts';
import { ReadLevel, StackOp } from '../../protocol/constants.ts';
import { encodeValue } from '../../protocol/msgpack.ts';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { TestCluster } from '../e2e/support/cluster.ts';
import type { TestNode } from '../e2e/support/test-node.ts';
import { pause, until } from '../e2e/support/until.ts';
import { BinaryClient } from '../server/support/binary.ts';

const MIB = 1 << 20;
const READERS = 20;
/** Default of `maxUncommittedBytes`. */
const MAX_UNCOMMITTED_BYTES = 32 * MIB;

async function gauge(node: TestNode, name: string): Promise<number> {
  const response = await fetch(`${node.url}/metrics`);
  const line = (await response.text()).split('\n').find((candidate) => candidate.startsWith(`${name} `));
  if (line === undefined) throw new Error(`no ${name}`);
  return Number(line.slice(name.length));
}

/** Watches how much memory a node takes; call the result for the most so far, above what it was at first. */
async function watchMemory(node: TestNode): Promise<() => Promise<number>> {
  const first = await node.rssBytes();
  let most = first;
  let watching = true;
  const watch = (async () => {
    while (watching) {
      most = Math.max(most, await node.rssBytes());
      await pause(20);
    }
  })();
  return async () => {
    watching = false;
    await watch;
    return Math.max(most, await node.rssBytes()) - first;
  };
}

t.test('a hundred thousand pushes that nobody commits wait outside, and none is lost', async (t) => {
  // The leader must not give up while it is alone: this is about what it takes in meanwhile.
  const cluster = await TestCluster.start(t, { args: ['--election-timeout-ms', '60000'] });
  const leader = await cluster.leader();
  const clients = await Promise.all(
    Array.from({ length: 8 }, () => cluster.client({ timeoutMs: 120_000, stallMs: 60_000 })),
  );
  for (const client of clients) await client.push('warm', 1);
  const others = cluster.nodes.filter((node) => node !== leader);
  for (const node of others) node.freeze();
  const growth = await watchMemory(leader);

  const value = 'v'.repeat(1500);
  const pushes = clients.flatMap((client) =>
    Array.from({ length: 12_500 }, () => client.push('jobs', value)),
  );
  await until('a leader that takes no more', async () => (await gauge(leader, 'cordwood_saturated')) === 1);
  let queued = -1;
  await until('standstill', async () => {
    const before = queued;
    queued = await gauge(leader, 'cordwood_queued_bytes');
    return queued === before;
  });
  t.ok(queued > MAX_UNCOMMITTED_BYTES && queued < MAX_UNCOMMITTED_BYTES + 8 * MIB, `${queued} bytes queued`);
  const grown = await growth();
  t.ok(grown < 6 * MAX_UNCOMMITTED_BYTES, `${Math.round(grown / MIB)} MiB more memory`);

  for (const node of others) node.thaw();
  await Promise.all(pushes);
  t.equal(await clients[0]!.size('jobs'), 100_000);
  await until('an empty queue', async () => (await gauge(leader, 'cordwood_queued_bytes')) === 0);
});

t.test('clients that ask for gigabytes and read nothing', async (t) => {
  const cluster = await TestCluster.start(t, { nodes: 1 });
  const node = cluster.node(1);
  const client = await cluster.client();
  await client.push('large', 'v'.repeat(64 << 10));
  const out = new ByteWriter();
  const body = encodeValue([StackOp.top, 'large']);
  for (let id = 1; id <= 2000; id++) encodeQuery(out, id, ReadLevel.linearizable, body);
  const asking = Uint8Array.from(out.buffer.subarray(0, out.position));
  const growth = await watchMemory(node);
  const readers = Array.from({ length: READERS }, () => new BinaryClient(node.clientPort));
  t.teardown(() => {
    for (const reader of readers) reader.destroy();
  });
  for (const reader of readers) {
    await reader.frame(1);
    reader.socket.pause();
    reader.socket.write(asking);
  }
  await until('answers that pile up', async () => (await gauge(node, 'cordwood_unsent_bytes')) > MIB);
  // Whoever reads is served as before.
  for (let i = 0; i < 200; i++) await client.push('jobs', i);
  t.equal(await client.size('jobs'), 200);
  const unsent = await gauge(node, 'cordwood_unsent_bytes');
  const asked = READERS * 2000 * (64 << 10);
  // Beyond 8 MiB nothing more is read from a connection; requests that were read already are still answered.
  t.ok(unsent < READERS * 10 * MIB, `${unsent} bytes wait for clients, of ${asked}`);
  const grown = await growth();
  t.ok(grown < 320 * MIB, `${Math.round(grown / MIB)} MiB more memory`);
});

t.test('a follower that is frozen, then gone, while the others work', async (t) => {
  const cluster = await TestCluster.start(t, { args: ['--snapshot-log-mb', '4'] });
  const client = await cluster.client({ timeoutMs: 60_000 });
  const value = 'v'.repeat(4000);
  /** About `mib` MiB through the log; the state stays small. */
  const traffic = async (mib: number): Promise<void> => {
    for (let round = 0; round < mib; round++) {
      await Promise.all(Array.from({ length: 250 }, () => client.push('traffic', value)));
      await client.popMany('traffic', 250);
    }
  };
  await traffic(12);
  const leader = await cluster.settled();
  const follower = cluster.nodes.find((node) => node !== leader)!;
  const growth = await watchMemory(leader);
  const { lastIndex: before } = (await leader.status())!;
  follower.freeze();
  await traffic(24);
  await follower.kill();
  await traffic(24);
  const grown = await growth();
  t.ok(grown < 100 * MIB, `${Math.round(grown / MIB)} MiB more memory`);
  const { firstIndex, lastIndex } = (await leader.status())!;
  t.ok(
    firstIndex > (before + lastIndex) / 2,
    `of entries ${before} to ${lastIndex} those from ${firstIndex} on are kept`,
  );
  follower.start();
  await cluster.converged();
  t.equal(await client.size('traffic'), 0);
});
