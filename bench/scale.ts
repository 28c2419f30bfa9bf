/**
 * `npm run bench:scale`: what pushes cost with more nodes, and with a longer log, a deeper stack, more stacks and
 * more sessions. Of the last four none should cost more than a few percent. The two sides of a comparison run in
 * turn, round by round, each on a cluster of its own.
 */
import path from 'node:path';
import { Client } from '../lib/client/index.ts';
import { Arguments } from './support/arguments.ts';
import { Cluster } from './support/cluster.ts';
import { DiskCounters } from './support/disk-counters.ts';
import { fill } from './support/fill.ts';
import { Loaders } from './support/loaders.ts';
import { heat, measure, type Point } from './support/measure.ts';
import { medians } from './support/medians.ts';
import { openSessions } from './support/open-sessions.ts';
import { Progress } from './support/progress.ts';
import { grouped, hardware, table } from './support/report.ts';
import { scratchDirectory } from './support/scratch-directory.ts';

const USAGE = `
npm run bench:scale -- [options]

  --of=nodes,log,depth,stacks,sessions   what grows
  --nodes=1,3,5,7          nodes of the cluster
  --log=0,2000000          pushes in the log (no snapshot shortens it)
  --depth=0,1000000        values on the stack already
  --stacks=1,10000         stacks the pushes go round
  --sessions=1,20000       open sessions
  --conc=256 --values=64   the load
  --secs=2 --warm=1        seconds measured, and before that
  --rounds=3               turns; the table shows medians
  --data=DIR               where the nodes' data goes
  --json                   a line of JSON for each point in place of the table
`;

const Dimensions = ['nodes', 'log', 'depth', 'stacks', 'sessions'] as const;
type Dimension = (typeof Dimensions)[number];

const args = new Arguments(USAGE, {
  of: Dimensions.join(','),
  nodes: '1,3,5,7',
  log: '0,2000000',
  depth: '0,1000000',
  stacks: '1,10000',
  sessions: '1,20000',
  conc: '256',
  values: '64',
  secs: '2',
  warm: '1',
  rounds: '3',
  data: '',
  json: '',
});
/** More than any log gets here. */
const NO_SNAPSHOTS = ['--snapshot-log-mb', '65536'];
const HEAT_S = 2;
const FILL_TIMEOUT_MS = 60_000;

interface Row {
  readonly dimension: Dimension;
  readonly amount: number;
  readonly point: Point;
}

const dimensions = args.list('of').map((name) => {
  if ((Dimensions as readonly string[]).includes(name)) return name as Dimension;
  process.stderr.write(`--of: "${name}" is none of ${Dimensions.join(', ')}\n`);
  process.exit(2);
});
const rounds = args.number('rounds', 1);
const seconds = args.number('warm') + args.number('secs', 0.01);
const directory = scratchDirectory(args.text('data'));
const disk = new DiskCounters(directory);
const progress = new Progress(
  dimensions.reduce((sum, dimension) => sum + args.numbers(dimension).length * (rounds * seconds + 2), 0),
);
const rows: Row[] = [];
for (const dimension of dimensions) rows.push(...(await compare(dimension, args.numbers(dimension))));
progress.end();
report();

async function compare(dimension: Dimension, amounts: readonly number[]): Promise<Row[]> {
  const clusters: Cluster[] = [];
  await using loaders = new Loaders(1);
  try {
    for (const amount of amounts) {
      progress.step(`${dimension} ${grouped(amount)}: preparing`, 2);
      const cluster = await Cluster.start({
        nodes: dimension === 'nodes' ? amount : 3,
        directory: path.join(directory, `${dimension}-${amount}`),
        args: dimension === 'log' ? NO_SNAPSHOTS : [],
      });
      clusters.push(cluster);
      await heat(cluster, loaders, HEAT_S);
      await prepare(cluster, dimension, amount);
    }
    const points: Point[][] = amounts.map(() => []);
    for (let round = 0; round < rounds; round++) {
      for (const [i, amount] of amounts.entries()) {
        progress.step(`${dimension} ${grouped(amount)}`, seconds);
        const point = await measure(clusters[i]!, loaders, disk, `scale-${round}`, {
          operation: 'push',
          outstanding: args.number('conc', 1),
          connections: 1,
          valueBytes: args.number('values', 12),
          ratePerS: 0,
          ...(dimension === 'stacks' ? { stacks: amount } : {}),
          ...(dimension === 'depth' ? { depth: amount } : {}),
          warmS: args.number('warm'),
          measureS: args.number('secs', 0.01),
        });
        points[i]!.push(point);
        for (const fault of point.faults) progress.say(`${dimension} ${amount}: ${fault}`);
        if (point.faults.length > 0) process.exitCode = 1;
      }
    }
    return amounts.map((amount, i) => ({ dimension, amount, point: medians(points[i]!)[0]! }));
  } finally {
    await Promise.all(clusters.map((cluster) => cluster.stop()));
  }
}

async function prepare(cluster: Cluster, dimension: Dimension, amount: number): Promise<void> {
  if (dimension === 'sessions') {
    if (amount > 1) await openSessions((await cluster.leader()).address, amount);
  } else if (dimension === 'log' && amount > 0) {
    await using client = await Client.connect({ addresses: cluster.addresses, timeoutMs: FILL_TIMEOUT_MS });
    await fill(client, 'log', 1, amount, args.number('values', 12), 'push');
    await client.drop('log');
  }
}

function report(): void {
  if (args.flag('json')) {
    for (const { dimension, amount, point } of rows) {
      process.stdout.write(`${JSON.stringify({ scale: dimension, amount, ...point })}\n`);
    }
    return;
  }
  const head = ['', 'amount', 'pushes/s', 'x', 'p50 ms', 'p99 ms', 'node µs/op', 'x', 'node MB'];
  process.stdout.write(
    `${table(
      head,
      rows.map(({ dimension, amount, point }) => {
        const first = rows.find((row) => row.dimension === dimension)!.point;
        return [
          dimension,
          grouped(amount),
          grouped(point.ops_per_s),
          (point.ops_per_s / first.ops_per_s).toFixed(2),
          point.p50_ms.toFixed(2),
          point.p99_ms.toFixed(2),
          point.servers_cpu_us_per_op.toFixed(2),
          (point.servers_cpu_us_per_op / first.servers_cpu_us_per_op).toFixed(2),
          grouped(point.peak_rss_mb),
        ];
      }),
    )}\n\n${args.text('conc')} outstanding on 1 connection; x: against the first row of its kind. ${hardware()}\n`,
  );
}
