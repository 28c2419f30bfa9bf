/**
 * `npm run bench:idle`: what a cluster uses that nobody asks anything: CPU in percent of one core, flushes, memory.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Arguments } from './support/arguments.ts';
import { Cluster } from './support/cluster.ts';
import { DiskCounters } from './support/disk-counters.ts';
import { round } from './support/measure.ts';
import { sumCpuMs, usageOf } from './support/process-usage.ts';
import { Progress } from './support/progress.ts';
import { hardware, table } from './support/report.ts';
import { scratchDirectory } from './support/scratch-directory.ts';

const USAGE = `
npm run bench:idle -- [options]

  --nodes=5         nodes of the cluster; a list makes a row each: 1,3,5
  --secs=20         how long it is watched
  --settle=5        seconds before that, in which it elects and makes files ahead
  --data=DIR        where the nodes' data goes
  --json            a line of JSON for each row in place of the table
`;

const args = new Arguments(USAGE, { nodes: '5', secs: '20', settle: '5', data: '', json: '' });

interface Row {
  readonly peer: string;
  readonly op: string;
  readonly nodes: number;
  /** Of one core, all nodes together and the leader alone. */
  readonly cpu_percent: number;
  readonly leader_cpu_percent: number;
  /** The whole device's, a second. */
  readonly flush_per_s: number | null;
  /** Of the largest node. */
  readonly rss_mb: number;
}

const sizes = args.numbers('nodes', 1);
const seconds = args.number('secs', 1);
const settle = args.number('settle');
const progress = new Progress(sizes.length * (seconds + settle));
const rows: Row[] = [];
for (const nodes of sizes) rows.push(await watch(nodes));
progress.end();
report();

async function watch(nodes: number): Promise<Row> {
  const directory = scratchDirectory(args.text('data'));
  const cluster = await Cluster.start({ nodes, directory });
  try {
    const disk = new DiskCounters(directory);
    const leaderAt = cluster.pids.indexOf((await cluster.leader()).pid);
    progress.step(`${nodes} nodes, settling`, settle);
    await delay(settle * 1000);
    progress.step(`${nodes} nodes, idle`, seconds);
    const before = usageOf(cluster.pids);
    const counts = disk.read();
    const startedMs = performance.now();
    await delay(seconds * 1000);
    const elapsedMs = performance.now() - startedMs;
    const after = usageOf(cluster.pids);
    const now = disk.read();
    const share = (cpuMs: number): number => round((cpuMs / elapsedMs) * 100, 2);
    return {
      peer: 'cordwood',
      op: 'idle',
      nodes,
      cpu_percent: share(sumCpuMs(after) - sumCpuMs(before)),
      leader_cpu_percent: share(after[leaderAt]!.cpuMs - before[leaderAt]!.cpuMs),
      flush_per_s:
        counts === null || now === null
          ? null
          : round(((now.flushes - counts.flushes) / elapsedMs) * 1000, 2),
      rss_mb: Math.round(Math.max(...after.map(({ rssBytes }) => rssBytes)) / 2 ** 20),
    };
  } finally {
    await cluster.kill();
  }
}

function report(): void {
  if (args.flag('json')) {
    for (const row of rows) process.stdout.write(`${JSON.stringify(row)}\n`);
    return;
  }
  const lines = rows.map((row) => [
    String(row.nodes),
    row.cpu_percent.toFixed(2),
    row.leader_cpu_percent.toFixed(2),
    row.flush_per_s === null ? '-' : row.flush_per_s.toFixed(2),
    String(row.rss_mb),
  ]);
  const head = ['nodes', 'CPU % of a core', 'leader', 'device flushes/s', 'node MB'];
  process.stdout.write(`${table(head, lines, 0)}\n\nFlushes are the whole device's. ${hardware()}\n`);
}
