/**
 * `npm run bench`: how many pushes a second a durable cluster commits, how long they take, and what they cost.
 *
 * Real node processes on this machine's disk, real load processes with the client library, values that are all
 * distinct, and afterwards a check that every acknowledged one is there, once.
 */
import { writeFileSync } from 'node:fs';
import { measureBare } from './bare-pipeline.ts';
import { Arguments } from './support/arguments.ts';
import { Cluster } from './support/cluster.ts';
import { throughputChart } from './support/chart.ts';
import { DiskCounters } from './support/disk-counters.ts';
import { type Operation, Operations } from './support/load.ts';
import { Loaders } from './support/loaders.ts';
import { heat, measure, type Point, type PointSpec } from './support/measure.ts';
import { medians } from './support/medians.ts';
import { Progress } from './support/progress.ts';
import { hardware, ratioTable, throughputTable } from './support/report.ts';
import { scratchDirectory } from './support/scratch-directory.ts';

const USAGE = `
npm run bench -- [options]

  --ops=push             push, pop, mixed (half and half), top (linearizable)
  --conc=1,64,1000,10000 calls under way at any time
  --conns=1              connections they are spread over
  --values=64            bytes of a value
  --rates=               calls a second, made whether or not earlier ones have ended (open loop)
  --secs=3 --warm=1      seconds measured, and before that
  --heat=3               seconds of load before all that, so that the code is as fast as it gets
  --nodes=3              nodes of the cluster
  --log-ahead=512        MiB of room made ready ahead of each node's log before anything is measured
  --procs=1              processes that make the load
  --rounds=1             passes over all of it; the table shows medians
  --ceiling              beside it, interleaved, a bare pipeline without elections, sessions or names
  --chart=FILE           an SVG chart of throughput and latency
  --data=DIR             where the nodes' data goes; it must lie on a real disk (default: temporary files)
  --slow-disk=0          milliseconds added to each fsync
  --node-flags=          flags for the nodes' Node, as in --node-flags=--trace-gc
  --load-flags=          the same for the load, as in --load-flags=--max-semi-space-size=64
  --profile=DIR          CPU profiles of nodes and load
  --json                 a line of JSON for each point in place of the table
`;

const args = new Arguments(USAGE, {
  ops: 'push',
  conc: '1,64,1000,10000',
  conns: '1',
  values: '64',
  rates: '',
  secs: '3',
  warm: '1',
  heat: '3',
  nodes: '3',
  'log-ahead': '512',
  procs: '1',
  rounds: '1',
  ceiling: '',
  chart: '',
  data: '',
  'slow-disk': '0',
  'node-flags': '',
  'load-flags': '',
  profile: '',
  json: '',
  'peer-name': '',
});

const peer = args.text('peer-name') || 'cordwood';
const asJson = args.flag('json') || args.text('peer-name') !== '';
const profile = args.text('profile');
const nodes = args.number('nodes', 1);
const rounds = args.number('rounds', 1);
const specs = matrix();

const directory = scratchDirectory(args.text('data'));
const disk = new DiskCounters(directory);
const points = await run();
const shown = medians(points);
if (!asJson) {
  const ratios = ratioTable(shown, peer);
  process.stdout.write(`${throughputTable(shown)}\n${ratios === '' ? '' : `\n${ratios}\n`}\n${hardware()}\n`);
  if (disk.device === null) process.stdout.write(`No disk figures: ${disk.problem}.\n`);
}
if (args.text('chart') !== '') writeFileSync(args.text('chart'), throughputChart(shown));
if (points.some(({ faults }) => faults.length > 0)) process.exitCode = 1;

async function run(): Promise<Point[]> {
  const points: Point[] = [];
  const seconds = specs.reduce((sum, spec) => sum + secondsOf(spec) * (hasCeiling(spec) ? 2 : 1), 0);
  const progress = new Progress(args.number('heat') + seconds * rounds);
  const add = (point: Point): void => {
    points.push(point);
    if (asJson) process.stdout.write(`${JSON.stringify(point)}\n`);
    for (const fault of point.faults) progress.say(`${point.op}, ${point.concurrency} outstanding: ${fault}`);
  };
  await using cluster = await Cluster.start({
    nodes,
    directory,
    profileDirectory: profile === '' ? undefined : profile,
    nodeFlags: args.list('node-flags'),
    slowDiskMs: args.number('slow-disk'),
    logAheadMb: args.number('log-ahead'),
  });
  await using loaders = new Loaders(args.number('procs', 1), [
    ...args.list('load-flags'),
    ...(profile === '' ? [] : ['--cpu-prof', '--cpu-prof-dir', `${profile}/load`]),
  ]);
  progress.step('heating up', args.number('heat'));
  await heat(cluster, loaders, args.number('heat'));
  for (let i = 0; i < rounds * specs.length; i++) {
    const spec = specs[i % specs.length]!;
    if (hasCeiling(spec)) {
      progress.step(`bare pipeline, ${spec.outstanding} outstanding`, secondsOf(spec));
      add(await measureBare(directory, disk, spec));
    }
    progress.step(`${spec.operation}, ${spec.outstanding} outstanding`, secondsOf(spec));
    add({ ...(await measure(cluster, loaders, disk, `bench-${i}`, spec)), peer });
  }
  if (profile !== '') progress.say(`the leader is node ${(await cluster.leader()).id}`);
  progress.end();
  return points;
}

function secondsOf({ warmS, measureS }: PointSpec): number {
  return warmS + measureS;
}

function hasCeiling({ operation, ratePerS }: PointSpec): boolean {
  return args.flag('ceiling') && operation === 'push' && ratePerS === 0;
}

function matrix(): PointSpec[] {
  const specs: PointSpec[] = [];
  const rates = args.numbers('rates', 1);
  for (const operation of args.list('ops')) {
    if (!(Operations as readonly string[]).includes(operation)) {
      process.stderr.write(`--ops: no operation "${operation}"\n`);
      process.exit(2);
    }
    for (const valueBytes of args.numbers('values', 12)) {
      for (const connections of args.numbers('conns', 1)) {
        for (const outstanding of args.numbers('conc', 1)) {
          if (connections > outstanding) continue;
          for (const ratePerS of rates.length === 0 ? [0] : rates) {
            specs.push({
              operation: operation as Operation,
              outstanding,
              connections,
              valueBytes,
              ratePerS,
              warmS: args.number('warm'),
              measureS: args.number('secs', 0.01),
            });
          }
        }
      }
    }
  }
  return specs;
}
