import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import t from 'tap';
import { TestCluster } from '../e2e/support/cluster.ts';
import { freePorts } from '../e2e/support/ports.ts';
import { PROGRAM, TestNode } from '../e2e/support/test-node.ts';
import { until } from '../e2e/support/until.ts';

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function cordwood(...args: string[]): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(process.execPath, [PROGRAM, ...args], (error, stdout, stderr) => {
      const code = error === null ? 0 : Number(error.code ?? -1);
      resolve({ code, stdout, stderr });
    });
  });
}

t.test('a fourth node joins under load, one is removed, and the joined one restarts', async (t) => {
  const cluster = await TestCluster.start(t);
  const addr = cluster.addresses.join(',');
  const client = await cluster.client();
  let stop = false;
  let pushed = 0;
  const load = (async () => {
    while (!stop) {
      await client.push('load', pushed);
      pushed++;
    }
  })();

  const [clientPort, peerPort] = (await freePorts(2)) as [number, number];
  const peers = cluster.nodes.map((node) => `http://127.0.0.1:${node.peerPort}`);
  const four = new TestNode({
    id: 4,
    clientPort,
    peerPort,
    cluster: [...peers, `http://127.0.0.1:${peerPort}`].join(','),
    dir: cluster.dir,
    args: ['--join', '--election-timeout-ms', '1000'],
  });
  t.teardown(() => four.kill());
  four.start();
  await until('node 4 to wait', async () => (await four.status())?.config.members.length === 0);
  t.match(await cordwood('explain', '--addr', four.address), { code: 1, stdout: /cordwood member add 4 / });

  const dry = await cordwood('member', 'add', '4', `127.0.0.1:${peerPort}`, '--dry-run', '--addr', addr);
  t.match(dry, { code: 0, stdout: /1\. ask node 4.*nothing was changed/s });
  const added = await cordwood('member', 'add', '4', `127.0.0.1:${peerPort}`, '--addr', addr);
  // Not "done": should the leader be lost before it answers, the next one is asked and has nothing left to do.
  t.match(added, { code: 0, stdout: /Voters: 1, 2, 3, 4$/m }, added.stderr);
  const again = await cordwood('member', 'add', '4', `127.0.0.1:${peerPort}`, '--addr', addr);
  t.match(again, { code: 0, stdout: /nothing to do/ });

  const removed = await cordwood('member', 'remove', '1', '--addr', addr);
  t.match(removed, { code: 0, stdout: /Voters: 2, 3, 4$/m }, removed.stderr);
  await until('node 1 to know', async () => typeof (await cluster.node(1).status())?.quarantine === 'string');
  await cluster.node(1).kill();
  t.match(await cordwood('transfer', '4', '--addr', addr), { code: 0, stdout: 'node 4 leads\n' });

  // With the command line it was started with, and without the node that line begins with.
  await four.signal('SIGTERM');
  four.start();
  await until('node 4 to be back', async () => typeof (await four.status())?.leader === 'number');
  await cluster.node(2).signal('SIGTERM');
  cluster.node(2).start();
  await until('node 2 to be back', async () => typeof (await cluster.node(2).status())?.leader === 'number');
  stop = true;
  await load;
  t.ok(pushed > 0);
  t.equal(await client.size('load'), pushed, 'every push once');
  const members = JSON.parse((await cordwood('members', '--json', '--addr', four.address)).stdout) as {
    members: { id: number }[];
  };
  t.same(
    members.members.map(({ id }) => id),
    [2, 3, 4],
  );
});

t.test('an emptied node is refused, and says what to do', async (t) => {
  const cluster = await TestCluster.start(t);
  const leader = await cluster.leader();
  const emptied = cluster.nodes.find((node) => node !== leader)!;
  await emptied.kill();
  rmSync(emptied.dataDir, { recursive: true });
  emptied.start();
  const status = await until('it is told', async () => {
    const now = await emptied.status();
    return typeof now?.quarantine === 'string' ? now : null;
  });
  t.match(status.quarantine, /another data directory.*cordwood member remove/s);
  t.match(emptied.logTail(), /cordwood member remove/);
  t.match(leader.logTail(), /INCARNATION_CHANGED|comes with the data directory/);
  const client = await cluster.client();
  t.equal(await client.push('s', 1), 1, 'the others go on');
  t.equal(status.lastIndex, 0, 'it got nothing');
});
