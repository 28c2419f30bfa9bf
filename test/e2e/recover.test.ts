// A majority of the nodes is lost for good: what is left becomes a new cluster, which the lost cannot join.
import { rmSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { Client } from '../../lib/client/index.ts';
import { TestCluster } from './support/cluster.ts';
import { freePorts } from './support/ports.ts';
import { cordwood } from './support/run-command.ts';
import { TestNode } from './support/test-node.ts';
import { until } from './support/until.ts';

const COUNT = 3_000;

t.test('one directory of three becomes a cluster of its own', async (t) => {
  const cluster = await TestCluster.start(t);
  const client = await cluster.client();
  for (let i = 0; i < COUNT; i += 500)
    await client.pushMany(
      's',
      Array.from({ length: 500 }, (_, k) => i + k),
    );
  const clusterId = client.clusterId;
  const { nodes } = cluster;
  const before = await cluster.converged();
  // A node that runs is not touched, and a majority can go on as it is.
  t.match(await cordwood(['recover', nodes[0]!.dataDir, '--dry-run']), {
    code: 5,
    stderr: /DIRECTORY_LOCKED/,
  });
  await Promise.all(nodes.map((node) => node.kill()));
  t.match(await cordwood(['inspect', nodes[0]!.dataDir]), {
    code: 0,
    stdout: /not stopped in an orderly way/,
  });
  const peers = await freePorts(1);
  const out = path.join(cluster.dir, 'new', '1');
  const target = ['--cluster', `127.0.0.1:${peers[0]!}`, '--data', out, '--id', '1'];
  t.match(await cordwood(['recover', nodes[0]!.dataDir, nodes[1]!.dataDir, ...target, '--yes']), {
    code: 1,
    stderr: /a majority is here/,
  });

  const survivor = nodes[2]!;
  rmSync(nodes[0]!.dataDir, { recursive: true });
  t.match(await cordwood(['recover', survivor.dataDir, survivor.dataDir, '--dry-run']), {
    code: 2,
    stderr: /given twice/,
  });
  const dry = await cordwood(['recover', survivor.dataDir, '--dry-run', '--json']);
  t.equal(dry.code, 0, dry.stderr);
  t.match(JSON.parse(dry.stdout), {
    clusterId,
    survivors: [{ node: 3, lastIndex: before[2]!.lastIndex, problems: [] }],
    lost: [1, 2],
    mayLose: true,
    quorumLeft: false,
  });
  t.match(await cordwood(['recover', survivor.dataDir, ...target]), { code: 2, stderr: /--yes/ });
  const made = await cordwood(['recover', survivor.dataDir, ...target, '--yes']);
  t.equal(made.code, 0, made.stderr);
  t.match(made.stdout, /MAY BE LOST/);
  t.equal((await cordwood(['inspect', out])).code, 0);

  const [clientPort] = (await freePorts(1)) as [number];
  const alone = new TestNode({
    id: 1,
    clientPort,
    peerPort: peers[0]!,
    cluster: `127.0.0.1:${peers[0]!}`,
    dir: path.dirname(out),
    args: [],
  });
  t.teardown(() => alone.kill());
  alone.start();
  await until('it leads', async () => (await alone.status())?.role === 'leader');
  const fresh = await Client.connect({ addresses: [alone.address], timeoutMs: 20_000 });
  t.teardown(() => fresh.close());
  t.not(fresh.clusterId, clusterId);
  t.same(
    await fresh.popMany('s', COUNT),
    Array.from({ length: COUNT }, (_, i) => COUNT - 1 - i),
  );
  t.equal(await fresh.push('s', 'goes on'), 1);
  t.same((await alone.status())!.config.voters, [1]);

  // A lost node is found again, and told where the new one is.
  const old = new TestNode({
    id: 2,
    clientPort: nodes[1]!.clientPort,
    peerPort: nodes[1]!.peerPort,
    cluster: [peers[0]!, nodes[1]!.peerPort].map((port) => `127.0.0.1:${port}`).join(','),
    dir: cluster.dir,
    args: [],
  });
  t.teardown(() => old.kill());
  old.start();
  await t.resolves(old.exited, 'the process ends, it does not stay behind (its log thread once did)');
  t.match(old.logTail(), /WRONG_CLUSTER/);

  await alone.kill();
  alone.start();
  t.equal(await fresh.size('s'), 1, 'the new cluster is there after a crash');
});
