/**
 * How long a cluster does not serve when its leader dies (kill -9) or freezes (SIGSTOP), as a client sees it:
 * `node build/test/chaos/failover.js [--rounds 20] [--nodes 5]`. Nothing is asserted; the figures are for reading.
 */
import { parseArgs } from 'node:util';
import type { Client } from '../../lib/client/client.ts';
import { TestCluster } from '../e2e/support/cluster.ts';
import { pause } from '../e2e/support/until.ts';

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '20' }, nodes: { type: 'string', default: '5' } },
});

/** From the deed to the first answer of a push that was made after it. */
async function outage(cluster: TestCluster, client: Client, deed: 'kill' | 'freeze'): Promise<number> {
  const leader = await cluster.settled();
  // The client is where clients are in peace time: at the leader.
  while (client.node?.nodeId !== leader.id) await pause(5);
  for (let i = 0; i < 20; i++) await client.push('failover', i);
  const start = performance.now();
  if (deed === 'kill') void leader.kill();
  else leader.freeze();
  await pause(1);
  await client.push('failover', 'first after');
  const took = performance.now() - start;
  if (process.env['SHOW'] !== undefined && took > 150) {
    process.stdout.write(`${deed} of node ${leader.id} took ${took.toFixed(0)} ms\n${cluster.logs()}\n`);
  }
  if (deed === 'kill') {
    await leader.exited;
    leader.start();
  } else leader.thaw();
  await cluster.settled();
  return took;
}

const cluster = await TestCluster.open({
  nodes: Number(values.nodes),
  args: ['--log-level', process.env['SHOW'] ?? 'info'],
});
try {
  const client = await cluster.client({ timeoutMs: 30_000 });
  for (const deed of ['kill', 'freeze'] as const) {
    const took: number[] = [];
    const rounds = deed === 'kill' ? Number(values.rounds) : Math.min(5, Number(values.rounds));
    for (let i = 0; i < rounds; i++) took.push(await outage(cluster, client, deed));
    took.sort((a, b) => a - b);
    const at = (q: number): string =>
      took[Math.min(took.length - 1, Math.floor(q * took.length))]!.toFixed(0);
    process.stdout.write(
      `${deed}: ${took.length} rounds, min ${at(0)}, median ${at(0.5)}, p90 ${at(0.9)}, max ${at(1)} ms\n`,
    );
    if (process.env['SHOW'] !== undefined)
      process.stdout.write(`${took.map((t) => t.toFixed(0)).join(' ')}\n`);
  }
} finally {
  await cluster.close();
}
