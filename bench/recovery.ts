/**
 * `npm run bench:recovery`: how long a cluster takes to serve again after all its nodes were killed, with a lot on
 * its stacks, and what it holds in memory and on disk.
 */
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { Client } from '../lib/client/index.ts';
import { Arguments } from './support/arguments.ts';
import { Cluster } from './support/cluster.ts';
import { fill } from './support/fill.ts';
import { firstRead } from './support/first-read.ts';
import { median } from './support/medians.ts';
import { round } from './support/measure.ts';
import { usageOf } from './support/process-usage.ts';
import { Progress } from './support/progress.ts';
import { grouped, hardware, table } from './support/report.ts';
import { scratchDirectory } from './support/scratch-directory.ts';

const USAGE = `
npm run bench:recovery -- [options]

  --items=1000000   values on the stack; a list makes a row each: 1000000,10000000
  --values=64       bytes of a value
  --rounds=5        restarts for each row
  --nodes=3         nodes of the cluster
  --fill=push       push: each value is a command of its own; many: thousands in a command (the log differs)
  --data=DIR        where the nodes' data goes
  --json            a line of JSON for each row in place of the table

The files are in the page cache: what a restart right after a crash of the processes finds.
`;

const args = new Arguments(USAGE, {
  items: '1000000',
  values: '64',
  rounds: '5',
  nodes: '3',
  fill: 'push',
  data: '',
  json: '',
});
const STACK = 'recovery';
const GIVE_UP_MS = 120_000;
const FILL_PER_S = 100_000;

interface Row {
  readonly peer: string;
  readonly op: string;
  readonly items: number;
  readonly value_bytes: number;
  readonly nodes: number;
  readonly rounds: number;
  /** From starting the processes to the slowest node serving, and to the first linearizable read; medians. */
  readonly serving_ms: number;
  readonly first_read_ms: number;
  readonly max_first_read_ms: number;
  /** Of the largest node: while the stack was filled, and in the restarts. */
  readonly fill_peak_rss_mb: number;
  readonly restart_peak_rss_mb: number;
  readonly directory_mb: number;
  readonly fill_per_s: number;
}

const items = args.numbers('items', 1);
const rounds = args.number('rounds', 1);
const progress = new Progress(items.reduce((sum, count) => sum + count / FILL_PER_S + rounds, 0));
const rows: Row[] = [];
for (const count of items) rows.push(await measureRecovery(count));
progress.end();
report();

async function measureRecovery(count: number): Promise<Row> {
  const valueBytes = args.number('values', 12);
  const nodes = args.number('nodes', 1);
  const cluster = await Cluster.start({ nodes, directory: scratchDirectory(args.text('data')) });
  try {
    progress.step(`filling, ${grouped(count)} items`, count / FILL_PER_S);
    const fillMs = await timed(async () => {
      await using client = await Client.connect({ addresses: cluster.addresses, timeoutMs: GIVE_UP_MS });
      await fill(client, STACK, 1, count, valueBytes, args.text('fill') === 'many' ? 'many' : 'push');
    });
    const fillPeak = peakOf(cluster);
    const servingMs: number[] = [];
    const readMs: number[] = [];
    let restartPeak = 0;
    for (let i = 0; i < rounds; i++) {
      progress.step(`restart ${i + 1} with ${grouped(count)} items`, 1);
      await cluster.kill();
      const startedMs = performance.now();
      const served = Promise.all(cluster.nodes.map((node) => node.start())).then(
        () => performance.now() - startedMs,
      );
      const size = await firstRead(cluster.addresses, STACK, GIVE_UP_MS);
      readMs.push(performance.now() - startedMs);
      if (size !== count)
        throw new Error(`${grouped(count)} items were pushed; after the restart there are ${grouped(size)}`);
      servingMs.push(await served);
      restartPeak = Math.max(restartPeak, peakOf(cluster));
    }
    return {
      peer: 'cordwood',
      op: 'recovery',
      items: count,
      value_bytes: valueBytes,
      nodes,
      rounds,
      serving_ms: round(median(servingMs), 0),
      first_read_ms: round(median(readMs), 0),
      max_first_read_ms: round(Math.max(...readMs), 0),
      fill_peak_rss_mb: Math.round(fillPeak / 2 ** 20),
      restart_peak_rss_mb: Math.round(restartPeak / 2 ** 20),
      directory_mb: Math.round(sizeOf(cluster.nodes[0]!.directory) / 2 ** 20),
      fill_per_s: Math.round((count / fillMs) * 1000),
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
  const head = [
    'items',
    'bytes',
    'all serve ms',
    'first read ms',
    'slowest ms',
    'filling MB',
    'restart MB',
    'on disk MB',
    'filled/s',
  ];
  process.stdout.write(
    `${table(
      head,
      rows.map((row) => [
        grouped(row.items),
        grouped(row.value_bytes),
        ...[row.serving_ms, row.first_read_ms, row.max_first_read_ms].map(grouped),
        ...[row.fill_peak_rss_mb, row.restart_peak_rss_mb, row.directory_mb, row.fill_per_s].map(grouped),
      ]),
      0,
    )}\n\nMemory is the peak of the largest node, disk that of one. ${hardware()}\n`,
  );
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

function peakOf(cluster: Cluster): number {
  return Math.max(...usageOf(cluster.pids).map(({ peakRssBytes }) => peakRssBytes));
}

function sizeOf(directory: string): number {
  return readdirSync(directory, { recursive: true, withFileTypes: true }).reduce(
    (sum, entry) => sum + (entry.isFile() ? statSync(path.join(entry.parentPath, entry.name)).size : 0),
    0,
  );
}
