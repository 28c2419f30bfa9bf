/**
 * `npm run bench:peers`: other systems that keep pushed values safely, beside ours, in one run: all are up, and each
 * point is measured on one after the other, round by round. Whoever is not installed is left out with a line that
 * says so.
 */
import path from 'node:path';
import { measureBare } from './bare-pipeline.ts';
import { startAntietcd } from './peers/antietcd.ts';
import { type Absent, type Contestant, present } from './peers/contestant.ts';
import { startEtcd } from './peers/etcd.ts';
import { startRedis } from './peers/redis.ts';
import { startZookeeper } from './peers/zookeeper.ts';
import { Arguments } from './support/arguments.ts';
import { Cluster } from './support/cluster.ts';
import { DiskCounters } from './support/disk-counters.ts';
import type { Operation } from './support/load.ts';
import { Loaders } from './support/loaders.ts';
import { heat, measure, type Point, type PointSpec } from './support/measure.ts';
import { medians } from './support/medians.ts';
import { Progress } from './support/progress.ts';
import { hardware, ratioTable, throughputTable } from './support/report.ts';
import { scratchDirectory } from './support/scratch-directory.ts';

const USAGE = `
npm run bench:peers -- [options]

  --peers=etcd,redis,redis+wait,zookeeper,bare   who takes part beside Cordwood; only when named:
                       antietcd, antietcd+interval (npm ci --prefix bench/peers)
  --loads=1x1,256x1,256x16,256x256,1000x1,10000x1   calls under way x connections
  --ops=push           push, top (etcd: linearizable get; Redis: LINDEX)
  --values=64          bytes of a value
  --secs=2 --warm=1    seconds measured, and before that
  --log-ahead=512      MiB of room that Cordwood's nodes make ready ahead of their logs; 0: their default
  --rounds=5           turns; the tables show medians
  --data=DIR           where all data goes
  --json               a line of JSON for each point in place of the tables
`;

const args = new Arguments(USAGE, {
  peers: 'etcd,redis,redis+wait,zookeeper,bare',
  loads: '1x1,256x1,256x16,256x256,1000x1,10000x1',
  ops: 'push',
  values: '64',
  secs: '2',
  warm: '1',
  'log-ahead': '512',
  rounds: '5',
  data: '',
  json: '',
});
const OURS = 'cordwood';
const HEAT_S = 3;
/** etcd takes so many seconds for a single point at more than this, and gains nothing. */
const MOST_FOR_ETCD = 1000;

const directory = scratchDirectory(args.text('data'));
const disk = new DiskCounters(directory);
const specs: PointSpec[] = args.list('ops').flatMap((operation) =>
  args.numbers('values', 12).flatMap((valueBytes) =>
    args.list('loads').map((load) => {
      const [outstanding, connections] = load.split('x').map(Number);
      return {
        operation: operation as Operation,
        outstanding: outstanding ?? 1,
        connections: connections ?? 1,
        valueBytes,
        ratePerS: 0,
        warmS: args.number('warm'),
        measureS: args.number('secs', 0.01),
      };
    }),
  ),
);
const contestants: Contestant[] = [];
const points: Point[] = [];
try {
  for (const name of args.list('peers')) {
    const contestant = present(await invite(name));
    if (contestant !== null) contestants.push(contestant);
  }
  contestants.push(await ours());
  const rounds = args.number('rounds', 1);
  const seconds = args.number('warm') + args.number('secs', 0.01);
  const progress = new Progress(rounds * specs.length * contestants.length * seconds);
  for (let round = 0; round < rounds; round++) {
    for (const spec of specs) {
      for (const contestant of contestants) {
        progress.step(`${contestant.name}, ${spec.outstanding} outstanding on ${spec.connections}`, seconds);
        if (contestant.name === 'etcd' && spec.outstanding > MOST_FOR_ETCD) continue;
        const point = await contestant.measure(spec);
        if (point === null) continue;
        points.push(point);
        if (args.flag('json')) process.stdout.write(`${JSON.stringify(point)}\n`);
        for (const fault of point.faults) progress.say(`${point.peer}: ${fault}`);
        if (point.faults.length > 0) process.exitCode = 1;
      }
    }
  }
  progress.end();
} finally {
  await Promise.all(contestants.map((contestant) => contestant.stop()));
}
if (!args.flag('json')) {
  const shown = medians(points);
  const terms = contestants.map(({ name, terms }) => `${name}: ${terms}`).join('\n');
  process.stdout.write(
    `${throughputTable(shown)}\n\n${ratioTable(shown, OURS)}\n\n${terms}\n\n${hardware()}\n`,
  );
}

function invite(name: string): Promise<Contestant | Absent> {
  switch (name) {
    case 'etcd':
      return startEtcd(path.join(directory, 'etcd'), disk);
    case 'redis':
      return startRedis(directory, disk, false);
    case 'redis+wait':
      return startRedis(directory, disk, true);
    case 'zookeeper':
      return startZookeeper(path.join(directory, 'zookeeper'), disk);
    case 'antietcd':
      return startAntietcd(path.join(directory, name), disk, false);
    case 'antietcd+interval':
      return startAntietcd(path.join(directory, name), disk, true);
    case 'bare':
      return Promise.resolve(bare());
    default:
      return Promise.resolve({ name, why: 'nobody here knows it' });
  }
}

function bare(): Contestant {
  return {
    name: 'bare',
    terms: 'what Node can do at best: 3 processes, fsync on two before each acknowledgement, nothing else',
    measure: (spec) =>
      spec.operation === 'push' ? measureBare(directory, disk, spec) : Promise.resolve(null),
    stop: () => Promise.resolve(),
  };
}

async function ours(): Promise<Contestant> {
  const cluster = await Cluster.start({
    nodes: 3,
    directory: path.join(directory, OURS),
    logAheadMb: args.number('log-ahead'),
  });
  const loaders = new Loaders(1);
  await heat(cluster, loaders, HEAT_S);
  let turn = 0;
  return {
    name: OURS,
    terms:
      '3 nodes, fsync on two before each acknowledgement, its own client library, each push exactly once',
    measure: async (spec) => ({
      ...(await measure(cluster, loaders, disk, `peers-${turn++}`, spec)),
      peer: OURS,
    }),
    stop: async () => {
      await loaders.end();
      await cluster.stop();
    },
  };
}
