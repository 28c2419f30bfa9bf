/**
 * `npm run bench:embedded`: three processes that embed a node each; the load is made inside the leader's process, by
 * a client without a connection. What an application pays that has the engine in it. Beside it, in turn, the same
 * with hashicorp/raft.
 */
import { type ChildProcess, fork } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Contestant, present } from './peers/contestant.ts';
import { startHashicorp } from './peers/hashicorp.ts';
import { Arguments } from './support/arguments.ts';
import { DiskCounters } from './support/disk-counters.ts';
import type { FromEmbedded, ToEmbedded } from './support/embedded-node.ts';
import { freePorts } from './support/free-ports.ts';
import { Histogram } from './support/histogram.ts';
import { LOAD_FLAGS } from './support/loaders.ts';
import { type Point, round } from './support/measure.ts';
import { medians } from './support/medians.ts';
import { resetPeak, sumCpuMs, usageOf } from './support/process-usage.ts';
import { Progress } from './support/progress.ts';
import { hardware, ratioTable, throughputTable } from './support/report.ts';
import { scratchDirectory } from './support/scratch-directory.ts';
import { roomAhead } from './support/room-ahead.ts';
import { until } from './support/until.ts';

const USAGE = `
npm run bench:embedded -- [options]

  --conc=1,256,1000,10000  calls under way at any time
  --values=64              bytes of a value
  --secs=3 --warm=1        seconds measured, and before that
  --rounds=1               passes over all of it; the table shows medians
  --nodes=3                processes
  --log-ahead=512          MiB of room made ready ahead of each node's log before anything is measured
  --beside=hashicorp       who takes turns with it; none: nobody
  --data=DIR               where the nodes' data goes
  --json                   a line of JSON for each point in place of the table
`;

const args = new Arguments(USAGE, {
  conc: '1,256,1000,10000',
  values: '64',
  secs: '3',
  warm: '1',
  rounds: '1',
  nodes: '3',
  'log-ahead': '512',
  beside: 'hashicorp',
  data: '',
  json: '',
  'peer-name': '',
});
const PROGRAM = fileURLToPath(new URL('support/embedded-node.js', import.meta.url));
const START_TIMEOUT_MS = 20_000;
const OURS = 'cordwood-embedded';
const asJson = args.flag('json') || args.text('peer-name') !== '';

class Member {
  leads = false;
  onMessage: (message: FromEmbedded) => void = () => undefined;
  readonly #child: ChildProcess = fork(PROGRAM, { serialization: 'advanced', execArgv: [...LOAD_FLAGS] });
  readonly #gone: Promise<void>;

  constructor() {
    const child = this.#child;
    const kill = (): void => void child.kill('SIGKILL');
    process.on('exit', kill);
    this.#gone = new Promise((resolve) => {
      child.once('exit', () => {
        process.off('exit', kill);
        this.onMessage({ type: 'failed', message: 'a process ended' });
        resolve();
      });
    });
    child.on('message', (message: FromEmbedded) => {
      if (message.type === 'leads') this.leads = message.leads;
      this.onMessage(message);
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  ask<Type extends FromEmbedded['type']>(
    type: Type,
    message: ToEmbedded,
    also: (message: FromEmbedded) => void = () => undefined,
  ): Promise<Extract<FromEmbedded, { type: Type }>> {
    return new Promise((resolve, reject) => {
      this.onMessage = (answer) => {
        if (answer.type === type) resolve(answer as Extract<FromEmbedded, { type: Type }>);
        else if (answer.type === 'failed') reject(new Error(answer.message));
        else also(answer);
      };
      this.#child.send(message);
    });
  }

  async end(): Promise<void> {
    this.onMessage = () => undefined;
    if (this.#child.connected) this.#child.send({ type: 'end' } satisfies ToEmbedded);
    await this.#gone;
  }
}

const directory = scratchDirectory(args.text('data'));
const disk = new DiskCounters(directory);
const nodes = args.number('nodes', 1);
const ports = await freePorts(nodes);
const cluster = ports.map((port) => `127.0.0.1:${port}`);
const members = cluster.map(() => new Member());
const points: Point[] = [];
const loads = args
  .numbers('values', 12)
  .flatMap((valueBytes) => args.numbers('conc', 1).map((conc) => ({ valueBytes, conc })));
const seconds = args.number('warm') + args.number('secs', 0.01);
const rounds = args.number('rounds', 1);
const other = await beside();
const aheadMb = args.number('log-ahead');
const progress = new Progress(loads.length * rounds * seconds * (other === null ? 1 : 2));
await Promise.all(
  members.map((member, i) =>
    member.ask('started', {
      type: 'start',
      id: i + 1,
      cluster,
      dataDir: path.join(directory, `node-${i + 1}`),
      logAheadBytes: aheadMb * 2 ** 20,
    }),
  ),
);
for (let id = 1; id <= nodes; id++) await roomAhead(path.join(directory, `node-${id}`), aheadMb);
let worker = 0;
for (let i = 0; i < loads.length * rounds; i++) {
  const { valueBytes, conc } = loads[i % loads.length]!;
  progress.step(`${conc} outstanding`, seconds);
  told(await measureOne(await leading(), valueBytes, conc));
  if (other === null) continue;
  progress.step(`${other.name}, ${conc} outstanding`, seconds);
  const [warmS, measureS] = [args.number('warm'), args.number('secs', 0.01)];
  const load = { operation: 'push', outstanding: conc, connections: 0, valueBytes, ratePerS: 0 } as const;
  told(await other.measure({ ...load, warmS, measureS }));
}
await other?.stop();
await Promise.all(members.map((member) => member.end()));
progress.end();
if (!asJson) {
  const shown = medians(points);
  const ratios = other === null ? '' : `${ratioTable(shown, OURS)}\n\n${other.name}: ${other.terms}\n\n`;
  process.stdout.write(
    `${throughputTable(shown)}\n\n${ratios}The leader's CPU includes the load's. ${hardware()}\n`,
  );
}
if (points.some(({ faults }) => faults.length > 0)) process.exitCode = 1;

function told(point: Point | null): void {
  if (point === null) return;
  points.push(point);
  if (asJson) process.stdout.write(`${JSON.stringify(point)}\n`);
}

async function beside(): Promise<Contestant | null> {
  if (args.text('beside') !== 'hashicorp' || args.text('peer-name') !== '') return null;
  const contestant = await startHashicorp(path.join(directory, 'hashicorp'), disk);
  return present(contestant);
}

function leading(): Promise<Member> {
  return until(() => members.find(({ leads }) => leads), START_TIMEOUT_MS, 'no leader');
}

async function measureOne(leader: Member, valueBytes: number, outstanding: number): Promise<Point> {
  const pids = members.map(({ pid }) => pid);
  const at = members.indexOf(leader);
  let before = usageOf(pids);
  let after = before;
  let counts = disk.read();
  let countsAfter = counts;
  const { result, size } = await leader.ask(
    'done',
    {
      type: 'load',
      worker: ++worker,
      job: {
        operation: 'push',
        stack: `embedded-${worker}`,
        outstanding,
        valueBytes,
        ratePerS: 0,
        warmMs: args.number('warm') * 1000,
        measureMs: args.number('secs', 0.01) * 1000,
      },
    },
    (message) => {
      if (message.type === 'begin') {
        resetPeak(pids);
        before = usageOf(pids);
        counts = disk.read();
      } else if (message.type === 'measured') {
        after = usageOf(pids);
        countsAfter = disk.read();
      }
    },
  );
  const latencies = new Histogram(result.latencies, result.maxMs);
  const perOp = (value: number, digits: number): number =>
    round(value / Math.max(1, result.operations), digits);
  const { pushed, unknownPushes, refused } = result.ledger;
  const lost = size < pushed.size || size > pushed.size + unknownPushes;
  return {
    peer: args.text('peer-name') || OURS,
    op: 'push',
    nodes,
    concurrency: outstanding,
    connections: 0,
    value_bytes: valueBytes,
    ops_per_s: Math.round((result.operations / result.elapsedMs) * 1000),
    p50_ms: round(latencies.percentile(0.5), 3),
    p99_ms: round(latencies.percentile(0.99), 3),
    p999_ms: round(latencies.percentile(0.999), 3),
    max_ms: round(latencies.maxMs, 3),
    servers_cpu_us_per_op: perOp((sumCpuMs(after) - sumCpuMs(before)) * 1000, 2),
    leader_cpu_us_per_op: perOp((after[at]!.cpuMs - before[at]!.cpuMs) * 1000, 2),
    client_cpu_us_per_op: 0,
    device_bytes_per_op:
      counts === null || countsAfter === null
        ? null
        : perOp(countsAfter.writtenBytes - counts.writtenBytes, 0),
    flush_per_op:
      counts === null || countsAfter === null ? null : perOp(countsAfter.flushes - counts.flushes, 4),
    peak_rss_mb: Math.round(Math.max(...after.map(({ peakRssBytes }) => peakRssBytes)) / 2 ** 20),
    client_peak_rss_mb: 0,
    verified: lost ? 0 : pushed.size,
    failed: refused + unknownPushes,
    missed: 0,
    faults: lost ? [`${pushed.size} pushes were acknowledged, ${size} values are there`] : [],
  };
}
