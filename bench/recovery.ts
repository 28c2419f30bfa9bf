/**
 * `npm run bench:recovery`: how long a cluster takes to serve again after all its nodes were killed, with a lot on
 * its stacks, and what it holds in memory and on disk.
 */
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { present } from './peers/contestant.ts';
import { Arguments } from './support/arguments.ts';
import { median } from './support/medians.ts';
import { round } from './support/measure.ts';
import { usageOf } from './support/process-usage.ts';
import { Progress } from './support/progress.ts';
import { etcdRecovery, ourRecovery, type RecoverySubject } from './support/recovery-subject.ts';
import { grouped, hardware, table } from './support/report.ts';
import { scratchDirectory } from './support/scratch-directory.ts';

const USAGE = `
npm run bench:recovery -- [options]

  --items=1000000   values on the stack; a list makes a row each: 1000000,10000000
  --values=64       bytes of a value
  --rounds=5        restarts for each row
  --nodes=3         nodes of the cluster
  --beside=etcd     who takes turns with it, with as many keys; default: nobody
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
  beside: '',
  fill: 'push',
  data: '',
  json: '',
});
const FILL_PER_S = 100_000;
const ETCD_FILL_PER_S = 10_000;

interface Trial {
  readonly subject: RecoverySubject;
  readonly fillMs: number;
  readonly fillPeak: number;
  readonly servingMs: number[];
  readonly readMs: number[];
  restartPeak: number;
}

interface Row {
  readonly peer: string;
  readonly op: string;
  readonly items: number;
  readonly value_bytes: number;
  readonly nodes: number;
  readonly rounds: number;
  /** From starting the processes to the slowest node serving; null: not known. All times are medians. */
  readonly serving_ms: number | null;
  /** … to the first linearizable read. */
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
const valueBytes = args.number('values', 12);
const nodes = args.number('nodes', 1);
const besideEtcd = args.text('beside') === 'etcd';
const progress = new Progress(
  items.reduce((sum, count) => sum + secondsToFill('cordwood', count) + rounds, 0) +
    (besideEtcd ? items.reduce((sum, count) => sum + secondsToFill('etcd', count) + rounds * 8, 0) : 0),
);
const rows: Row[] = [];
for (const count of items) rows.push(...(await measureRecovery(count)));
progress.end();
report();

async function measureRecovery(count: number): Promise<Row[]> {
  const subjects = await everybody(count);
  try {
    const trials: Trial[] = [];
    for (const subject of subjects) {
      progress.step(`${subject.name}: filling, ${grouped(count)} items`, secondsToFill(subject.name, count));
      const fillMs = await timed(() => subject.fill());
      trials.push({ subject, fillMs, fillPeak: peakOf(subject), servingMs: [], readMs: [], restartPeak: 0 });
    }
    for (let i = 0; i < rounds; i++) {
      for (const trial of trials) {
        progress.step(`${trial.subject.name}: restart ${i + 1} with ${grouped(count)} items`, 1);
        await restart(trial);
      }
    }
    return trials.map((trial) => rowOf(trial, count));
  } finally {
    await Promise.all(subjects.map((subject) => subject.kill()));
  }
}

async function everybody(count: number): Promise<RecoverySubject[]> {
  const directory = scratchDirectory(args.text('data'));
  const how = args.text('fill') === 'many' ? 'many' : 'push';
  const ours = await ourRecovery(directory, nodes, count, valueBytes, how);
  if (!besideEtcd) return [ours];
  const other = present(await etcdRecovery(path.join(directory, 'etcd'), count, valueBytes));
  return other === null ? [ours] : [ours, other];
}

async function restart(trial: Trial): Promise<void> {
  const { subject } = trial;
  await subject.kill();
  const startedMs = performance.now();
  const served = subject.start().then(() => performance.now() - startedMs);
  await subject.read();
  trial.readMs.push(performance.now() - startedMs);
  trial.servingMs.push(await served);
  trial.restartPeak = Math.max(trial.restartPeak, peakOf(subject));
}

function rowOf({ subject, fillMs, fillPeak, servingMs, readMs, restartPeak }: Trial, count: number): Row {
  return {
    peer: subject.name,
    op: 'recovery',
    items: count,
    value_bytes: valueBytes,
    nodes: subject.pids.length,
    rounds,
    serving_ms: subject.servesOnceStarted ? round(median(servingMs), 0) : null,
    first_read_ms: round(median(readMs), 0),
    max_first_read_ms: round(Math.max(...readMs), 0),
    fill_peak_rss_mb: Math.round(fillPeak / 2 ** 20),
    restart_peak_rss_mb: Math.round(restartPeak / 2 ** 20),
    directory_mb: Math.round(sizeOf(subject.directory) / 2 ** 20),
    fill_per_s: Math.round((count / fillMs) * 1000),
  };
}

function secondsToFill(name: string, count: number): number {
  return count / (name === 'etcd' ? ETCD_FILL_PER_S : FILL_PER_S);
}

function report(): void {
  if (args.flag('json')) {
    for (const row of rows) process.stdout.write(`${JSON.stringify(row)}\n`);
    return;
  }
  const head = [
    'whose items',
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
        `${row.peer} ${grouped(row.items)}`,
        grouped(row.value_bytes),
        row.serving_ms === null ? '-' : grouped(row.serving_ms),
        ...[row.first_read_ms, row.max_first_read_ms].map(grouped),
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

function peakOf({ pids }: RecoverySubject): number {
  return Math.max(...usageOf(pids).map(({ peakRssBytes }) => peakRssBytes));
}

function sizeOf(directory: string): number {
  return readdirSync(directory, { recursive: true, withFileTypes: true }).reduce(
    (sum, entry) => sum + (entry.isFile() ? statSync(path.join(entry.parentPath, entry.name)).size : 0),
    0,
  );
}
