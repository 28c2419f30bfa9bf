/**
 * `npm run bench:endurance`: millions of pushes and pops, and what the nodes hold meanwhile. Directory, open files and
 * memory must not grow with the number of calls, nor with that of the stacks that were there for a moment.
 */
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { Client } from '../lib/client/index.ts';
import { Arguments } from './support/arguments.ts';
import { Cluster, type ClusterNode } from './support/cluster.ts';
import { usageOf } from './support/process-usage.ts';
import { Progress } from './support/progress.ts';
import { grouped, hardware, table } from './support/report.ts';
import { scratchDirectory } from './support/scratch-directory.ts';
import { ValueMaker } from './support/values.ts';

const USAGE = `
npm run bench:endurance -- [options]

  --calls=20000000  pushes and pops in turn
  --conc=1000       calls outstanding
  --stacks=100      they go round so many stacks
  --passing=10      but each tenth pair has a stack of its own, which is dropped then (0: none)
  --values=64       bytes of a value
  --nodes=3         nodes of the cluster
  --data=DIR        where the nodes' data goes
  --json            a line of JSON for each row in place of the table

Ends with status 1 if a call failed, if a stack does not hold what it should at the end, or if the nodes held
more in the last quarter than 1.25 times the most they held in the half before it.
`;

const args = new Arguments(USAGE, {
  calls: '20000000',
  conc: '1000',
  stacks: '100',
  passing: '10',
  values: '64',
  nodes: '3',
  data: '',
  json: '',
});
const ROWS = 20;
const MAX_GROWTH = 1.25;
const CALLS_PER_S = 100_000;

/** After so many calls; each the most of any node. */
interface Row {
  readonly calls: number;
  readonly calls_per_s: number;
  readonly directory_mb: number;
  readonly open_files: number;
  readonly rss_mb: number;
}

const calls = args.number('calls', ROWS);
const stacks = args.number('stacks', 1);
const passing = args.number('passing');
const progress = new Progress(calls / CALLS_PER_S);
const cluster = await Cluster.start({
  nodes: args.number('nodes', 1),
  directory: scratchDirectory(args.text('data')),
});
const rows: Row[] = [];
let wrong = 0;
try {
  await using client = await Client.connect({ addresses: cluster.addresses, timeoutMs: 60_000 });
  for (let i = 0; i < ROWS; i++) {
    progress.step(`${grouped((i * calls) / ROWS)} calls`, calls / ROWS / CALLS_PER_S);
    const startedMs = performance.now();
    await serve(client, calls / ROWS, i);
    rows.push(look(((i + 1) * calls) / ROWS, (1000 * calls) / ROWS / (performance.now() - startedMs)));
  }
  for (let i = 0; i < stacks; i++) if ((await client.size(`s${i}`)) !== 0) wrong++;
} finally {
  await cluster.kill();
}
progress.end();
report();

/** So many calls: each loop pushes a value on a stack of its turn and pops one from it. */
async function serve(client: Client, count: number, row: number): Promise<void> {
  const loops = args.number('conc', 1);
  const pairs = Math.ceil(count / 2 / loops);
  const loop = async (worker: number): Promise<void> => {
    const values = new ValueMaker(worker, args.number('values', 12));
    for (let i = 0; i < pairs; i++) {
      const passes = passing > 0 && i % passing === 0;
      const stack = passes ? `passing ${row} ${worker} ${i}` : `s${(worker + i) % stacks}`;
      values.next();
      await client.push(stack, values.bytes);
      await client.pop(stack);
      if (passes) await client.drop(stack);
    }
  };
  await Promise.all(Array.from({ length: loops }, (_, worker) => loop(worker)));
}

function look(done: number, perSecond: number): Row {
  const most = (of: (node: ClusterNode) => number): number => Math.max(...cluster.nodes.map(of));
  return {
    calls: done,
    calls_per_s: Math.round(perSecond),
    directory_mb: Math.round(most(({ directory }) => sizeOf(directory)) / 2 ** 20),
    open_files: most(({ pid }) => openFiles(pid)),
    rss_mb: Math.round(Math.max(...usageOf(cluster.pids).map(({ rssBytes }) => rssBytes)) / 2 ** 20),
  };
}

function report(): void {
  if (args.flag('json')) for (const row of rows) process.stdout.write(`${JSON.stringify(row)}\n`);
  else {
    const cells = rows.map((row) =>
      [row.calls, row.calls_per_s, row.directory_mb, row.open_files, row.rss_mb].map(grouped),
    );
    const head = ['calls', 'calls/s', 'directory MB', 'open files', 'memory MB'];
    process.stdout.write(`${table(head, cells, 0)}\n\nThe most of any node. ${hardware()}\n`);
  }
  const grown = (['directory_mb', 'open_files', 'rss_mb'] as const).filter((key) => {
    const most = (from: number, to: number): number =>
      Math.max(...rows.slice(ROWS * from, ROWS * to).map((row) => row[key]));
    return most(0.75, 1) > MAX_GROWTH * most(0.25, 0.75);
  });
  if (wrong > 0) process.stderr.write(`${wrong} stacks do not hold what they should\n`);
  if (grown.length > 0) process.stderr.write(`grew: ${grown.join(', ')}\n`);
  if (wrong > 0 || grown.length > 0) process.exitCode = 1;
}

function openFiles(pid: number): number {
  return process.platform === 'linux' ? readdirSync(`/proc/${pid}/fd`).length : 0;
}

function sizeOf(directory: string): number {
  return readdirSync(directory, { recursive: true, withFileTypes: true }).reduce(
    (sum, entry) =>
      sum +
      (entry.isFile()
        ? (statSync(path.join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0)
        : 0),
    0,
  );
}
