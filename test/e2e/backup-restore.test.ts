// A backup of a running cluster, and the new cluster made of it: what was acknowledged is there, and nothing mixes.
import {
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import t from 'tap';
import { Client } from '../../lib/client/index.ts';
import { TestCluster } from './support/cluster.ts';
import { cordwood } from './support/run-command.ts';
import { TestNode } from './support/test-node.ts';
import { until } from './support/until.ts';

const COUNT = 2_000;

const cluster = await TestCluster.start(t);
const addr = cluster.addresses.join(',');
const file = path.join(cluster.dir, 'stacks.backup');
const client = await cluster.client();

/** A request with a key, as a caller sends it again who heard nothing. */
async function keyedPush(url: string): Promise<string> {
  const headers = { 'idempotency-key': 'push-once' };
  const answer = await fetch(`${url}/sPush`, { method: 'POST', body: 'keyed,x', headers });
  return answer.text();
}

t.test('a backup under load', async (t) => {
  await client.pushMany(
    's',
    Array.from({ length: COUNT }, (_, i) => i),
  );
  t.equal(await keyedPush(cluster.nodes[0]!.url), '1\n');
  let stop = false;
  const load = (async () => {
    for (let i = 0; !stop; i++) await client.push('load', i);
  })();
  const made = await cordwood(['backup', file, '--addr', addr, '--json']);
  stop = true;
  await load;
  t.equal(made.code, 0, made.stderr);
  t.match(JSON.parse(made.stdout), { whole: true, clusterId: client.clusterId, machine: 'stack', keys: 1 });
  t.match(
    readdirSync(cluster.dir).filter((name) => name.includes('backup')),
    ['stacks.backup'],
  );
  t.equal((await cordwood(['inspect', file])).code, 0);
  t.match(await cordwood(['backup', file, '--addr', addr]), { code: 2, stderr: /there already/ });
  t.equal((await cordwood(['backup', file, '--addr', addr, '--force'])).code, 0);
  const link = path.join(cluster.dir, 'latest');
  symlinkSync('stacks.backup', link);
  writeFileSync(file, 'old');
  t.equal((await cordwood(['backup', link, '--addr', addr, '--force'])).code, 0);
  t.equal(readlinkSync(link), 'stacks.backup', 'the link is still one');
  t.equal((await cordwood(['inspect', file])).code, 0, 'and what it leads to is the backup');
});

t.test('two backups to one file: the one that is turned away leaves the other alone', async (t) => {
  const bytes = readFileSync(file);
  const target = path.join(t.testdir(), 'stacks');
  let goOn = (): void => {};
  let begun = (): void => {};
  const begins = new Promise<void>((resolve) => (begun = resolve));
  // A node that takes its time over the first backup, and makes no second one meanwhile.
  let asked = 0;
  const slow = createServer((_, response) => {
    asked++;
    if (asked > 1) {
      response.writeHead(429).end('{"error":{"code":"BUSY","message":"one at a time"}}');
      return;
    }
    response.write(bytes.subarray(0, 100));
    goOn = () => response.end(bytes.subarray(100));
    begun();
  });
  await new Promise<void>((resolve) => slow.listen(0, '127.0.0.1', resolve));
  const addr = `127.0.0.1:${(slow.address() as AddressInfo).port}`;
  const first = cordwood(['backup', target, '--addr', addr]);
  await begins;
  t.match(await cordwood(['backup', target, '--addr', addr]), { code: 3, stderr: /BUSY/ });
  goOn();
  t.match(await first, { code: 0, stderr: '' });
  t.same(readdirSync(path.dirname(target)), ['stacks']);
  t.ok(readFileSync(target).equals(bytes));
  slow.close();
});

t.test(
  'why there is no backup is told by the node that knows, and not by one that is not there',
  async (t) => {
    const refusing = createServer((_, response) => {
      response.writeHead(503).end('{"error":{"code":"NO_LEADER","message":"no leader confirms the point"}}');
    });
    await new Promise<void>((resolve) => refusing.listen(0, '127.0.0.1', resolve));
    const addr = `127.0.0.1:${(refusing.address() as AddressInfo).port},127.0.0.1:1`;
    const target = path.join(t.testdir(), 'stacks');
    t.match(await cordwood(['backup', target, '--addr', addr]), { code: 3, stderr: /NO_LEADER .*confirms/ });
    refusing.close();
  },
);

t.test('a backup that is not whole is refused, in one line, and nothing is made of it', async (t) => {
  const good = readFileSync(file);
  const bad = `${file}.bad`;
  const target = path.join(cluster.dir, 'none');
  const refused = async (what: string): Promise<void> => {
    const { code, stderr } = await cordwood(['restore', bad, '--data', target, '--cluster', '127.0.0.1:1']);
    t.equal(code, 5, what);
    t.match(stderr, /^cordwood: SNAPSHOT_DAMAGED .*\n$/, what);
    t.notOk(existsSync(target), what);
  };
  for (const at of [0, 30, good.length >> 1, good.length - 20]) {
    const rotten = Buffer.from(good);
    rotten[at]! ^= 4;
    writeFileSync(bad, rotten);
    await refused(`a bit at ${at}`);
  }
  writeFileSync(bad, good);
  truncateSync(bad, good.length - 1);
  await refused('cut off');
  t.match(await cordwood(['inspect', bad]), { code: 1, stderr: /SNAPSHOT_DAMAGED/ });
});

t.test('three directories made one by one are one new cluster with the same stacks', async (t) => {
  // On the same machines, as one would: at the addresses of the old cluster.
  const peers = cluster.nodes.map(({ peerPort }) => `127.0.0.1:${peerPort}`).join(',');
  const dir = path.join(cluster.dir, 'restored');
  const target = (id: number): string[] => [
    ...['--data', path.join(dir, String(id))],
    ...['--cluster', peers, '--id', String(id)],
  ];
  for (const id of [1, 2, 3]) {
    const made = await cordwood(['restore', file, ...target(id)]);
    t.equal(made.code, 0, made.stderr);
    t.equal((await cordwood(['inspect', path.join(dir, String(id))])).code, 0);
  }
  t.match(await cordwood(['restore', file, ...target(1)]), { code: 3, stderr: /^cordwood: NOT_EMPTY / });
  const all = await cordwood(['restore', file, '--data', dir, '--cluster', peers]);
  t.match(all, { code: 3, stderr: /NOT_EMPTY .*--id N --data/ }, 'how to go on where a try was broken off');

  await Promise.all(cluster.nodes.map((node) => node.kill()));
  const nodes = cluster.nodes.map(
    ({ id, clientPort, peerPort }) =>
      new TestNode({ id, clientPort, peerPort, cluster: peers, dir, args: [] }),
  );
  t.teardown(() => Promise.all(nodes.map((node) => node.kill())));
  const [one, two, three] = nodes as [TestNode, TestNode, TestNode];
  one.start();
  two.start();
  await until('a leader', async () => (await one.status())?.leader);
  t.equal(await keyedPush(two.url), '1\n', 'a repeated request is recognised');
  const fresh = await Client.connect({ addresses: [one.address, two.address], timeoutMs: 20_000 });
  t.teardown(() => fresh.close());
  t.not(fresh.clusterId, client.clusterId);
  t.equal(await fresh.size('keyed'), 1);
  t.same(
    await fresh.popMany('s', COUNT),
    Array.from({ length: COUNT }, (_, i) => COUNT - 1 - i),
  );
  t.equal(await fresh.push('s', 'goes on'), 1);
  // Its session would be somebody else's here.
  await t.rejects(client.push('s', 'from the past', { timeoutMs: 300 }), { name: 'CordwoodError' });

  // Node 3 was forgotten: it comes up with its old directory.
  cluster.node(3).start();
  await until('it is refused', () => cluster.node(3).logTail().includes('WRONG_CLUSTER'));
  t.match((await one.status())!.peers, [
    { id: 2, connected: true },
    { id: 3, connected: false },
  ]);
  await cluster.node(3).kill();

  three.start();
  await until('the third is there', async () => (await three.status())?.leader);
  await two.kill();
  await one.kill();
  one.start();
  t.equal(await fresh.size('s'), 1, 'after a crash it is all there');

  await t.test(
    'one whose snapshot rots, and with it who the members are, is mended by the others',
    async (t) => {
      const snapshots = path.join(two.dataDir, 'snapshots');
      const snapshot = path.join(snapshots, readdirSync(snapshots)[0]!);
      const rotten = readFileSync(snapshot);
      rotten[rotten.length >> 1]! ^= 4;
      writeFileSync(snapshot, rotten);
      two.start();
      await until('it follows', async () => (await two.status())?.leader);
      t.match(two.logTail(), /in quarantine/);
      await until('the end of the quarantine', async () => (await two.status())?.quarantine === null);
    },
  );
});
