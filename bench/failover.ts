/**
 * `npm run bench:failover`: how long nothing is acknowledged when the leader dies, freezes or is stopped.
 *
 * A client pushes once a millisecond. In each round the leader is killed (`kill -9`), frozen (SIGSTOP) or asked to
 * stop (SIGTERM), and the time is taken until a push made after that is acknowledged; then the node comes back and
 * catches up. In the end every acknowledged push must be there, once.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from '../lib/client/index.ts';
import { Arguments } from './support/arguments.ts';
import { Cluster, type ClusterNode, statusOf } from './support/cluster.ts';
import { Progress } from './support/progress.ts';
import { grouped, hardware, table } from './support/report.ts';
import { round } from './support/measure.ts';
import { scratchDirectory } from './support/scratch-directory.ts';
import { SteadyWriter } from './support/steady-writer.ts';
import { verifyStacks } from './support/verify.ts';

const USAGE = `
npm run bench:failover -- [options]

  --faults=kill,freeze,stop   what happens to the leader
  --rounds=20                 times each
  --nodes=3                   nodes of the cluster
  --heartbeat-ms= --election-timeout-ms=   as in cordwood start
  --every=1                   milliseconds from push to push
  --data=DIR                  where the nodes' data goes
  --json                      a line of JSON for each fault in place of the table
`;

const args = new Arguments(USAGE, {
  faults: 'kill,freeze,stop',
  rounds: '20',
  nodes: '3',
  'heartbeat-ms': '',
  'election-timeout-ms': '',
  every: '1',
  data: '',
  json: '',
});

const STACK = 'failover';
const WORKER = 1;
/** Pushing goes on for so long before and after each fault. */
const CALM_MS = 200;
const GIVE_UP_MS = 30_000;

interface Fault {
  readonly strike: (leader: ClusterNode) => Promise<unknown>;
  readonly mend: (leader: ClusterNode) => Promise<void>;
}

const faults: Readonly<Record<string, Fault>> = {
  kill: {
    strike: (leader) => leader.kill(),
    mend: (leader) => leader.start(),
  },
  freeze: {
    strike: async (leader) => leader.signal('SIGSTOP'),
    mend: async (leader) => leader.signal('SIGCONT'),
  },
  stop: {
    strike: (leader) => leader.stop(),
    mend: (leader) => leader.start(),
  },
};

interface Outcome {
  readonly fault: string;
  readonly nextAckMs: number[];
  readonly longestGapMs: number[];
  failed: number;
}

const names = args.list('faults');
const rounds = args.number('rounds', 1);
for (const name of names) {
  if (faults[name] === undefined) {
    process.stderr.write(`--faults: no fault "${name}"\n`);
    process.exit(2);
  }
}
const timers = (['heartbeat-ms', 'election-timeout-ms'] as const).flatMap((name) =>
  args.text(name) === '' ? [] : [`--${name}`, args.text(name)],
);
const outcomes: Outcome[] = [];
const progress = new Progress(names.length * rounds * 3);
let verified = 0;
let wrong: readonly string[] = [];
{
  await using cluster = await Cluster.start({
    nodes: args.number('nodes', 3),
    directory: scratchDirectory(args.text('data')),
    args: timers,
  });
  await using client = await Client.connect({ addresses: cluster.addresses, timeoutMs: GIVE_UP_MS });
  const writer = new SteadyWriter(client, STACK, WORKER, args.number('every', 0.1), 64);
  writer.start();
  for (const name of names) {
    const outcome: Outcome = { fault: name, nextAckMs: [], longestGapMs: [], failed: 0 };
    outcomes.push(outcome);
    for (let i = 0; i < rounds; i++) {
      progress.step(`${name}, round ${i + 1}`, 3);
      const failedBefore = writer.unknown + writer.refused;
      await strike(cluster, writer, faults[name]!, outcome);
      outcome.failed += writer.unknown + writer.refused - failedBefore;
    }
  }
  await writer.stop();
  ({ verified, faults: wrong } = await verifyStacks(client, [STACK], [writer.ledger(WORKER)]));
}
progress.end();
report();

async function strike(cluster: Cluster, writer: SteadyWriter, fault: Fault, outcome: Outcome): Promise<void> {
  const leader = await cluster.leader();
  await settled(cluster, leader);
  await delay(CALM_MS);
  const struckMs = performance.now();
  const ack = writer.nextAck(GIVE_UP_MS);
  const gone = fault.strike(leader);
  outcome.nextAckMs.push(await ack);
  // A node that stops in its own time still serves for a while: the gap may come later.
  await gone;
  await delay(CALM_MS);
  outcome.longestGapMs.push(writer.longestGapMs(struckMs, performance.now()));
  await fault.mend(leader);
}

/** Waits until all nodes follow one leader and have applied what it had committed. */
async function settled(cluster: Cluster, leader: ClusterNode): Promise<void> {
  const goal = (await statusOf(leader.address))?.commitIndex ?? 0;
  const deadlineMs = performance.now() + GIVE_UP_MS;
  for (const node of cluster.nodes) {
    for (;;) {
      const status = await statusOf(node.address);
      if (status?.leader === leader.id && status.appliedIndex >= goal) break;
      if (performance.now() > deadlineMs) throw new Error(`node ${node.id} does not catch up`);
      await delay(20);
    }
  }
}

function report(): void {
  if (args.flag('json')) {
    for (const { fault, nextAckMs, longestGapMs, failed } of outcomes) {
      const line = { peer: 'cordwood', op: `failover-${fault}`, rounds: nextAckMs.length, failed };
      const figures = { next_ack_ms: spread(nextAckMs), longest_gap_ms: spread(longestGapMs) };
      process.stdout.write(
        `${JSON.stringify({ ...line, ...figures, all_next_ack_ms: nextAckMs.map((ms) => round(ms, 2)) })}\n`,
      );
    }
  } else {
    const head = [
      'leader',
      'rounds',
      'to next ack: min',
      'median',
      'p90',
      'max ms',
      'longest gap: median',
      'max ms',
      'failed',
    ];
    process.stdout.write(
      `${table(
        head,
        outcomes.map(({ fault, nextAckMs, longestGapMs, failed }) => {
          const next = spread(nextAckMs);
          const gap = spread(longestGapMs);
          const times = [next.min, next.median, next.p90, next.max, gap.median, gap.max].map((ms) =>
            ms.toFixed(1),
          );
          return [fault, String(nextAckMs.length), ...times, grouped(failed)];
        }),
      )}\n\n${grouped(verified)} acknowledged pushes checked. ${hardware()}\n`,
    );
  }
  for (const fault of wrong) process.stderr.write(`${fault}\n`);
  if (wrong.length > 0) process.exitCode = 1;
}

function spread(values: readonly number[]): { min: number; median: number; p90: number; max: number } {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => round(sorted[Math.round((sorted.length - 1) * share)] ?? 0, 2);
  return { min: at(0), median: at(0.5), p90: at(0.9), max: at(1) };
}
