/**
 * `npm run bench:failover`: how long nothing is acknowledged when the leader dies, freezes or is stopped.
 *
 * A client pushes once a millisecond. In each round the leader is killed (`kill -9`), frozen (SIGSTOP) or asked to
 * stop (SIGTERM), and the time is taken until a push made after that is acknowledged; then the node comes back and
 * catches up. In the end every acknowledged push must be there, once.
 */
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { present } from './peers/contestant.ts';
import { Arguments } from './support/arguments.ts';
import {
  etcdSubject,
  GIVE_UP_MS,
  ourSubject,
  type Subject,
  type Victim,
} from './support/failover-subject.ts';
import { Progress } from './support/progress.ts';
import { grouped, hardware, table } from './support/report.ts';
import { round } from './support/measure.ts';
import { scratchDirectory } from './support/scratch-directory.ts';

const USAGE = `
npm run bench:failover -- [options]

  --faults=kill,freeze,stop   what happens to the leader
  --rounds=20                 times each
  --nodes=3                   nodes of the cluster
  --heartbeat-ms= --election-timeout-ms=   as in cordwood start
  --every=1                   milliseconds from push to push
  --beside=etcd               who takes turns with it, with the same timers; default: nobody
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
  beside: '',
  data: '',
  json: '',
});

/** Pushing goes on for so long before and after each fault. */
const CALM_MS = 300;

interface Fault {
  readonly strike: (leader: Victim) => Promise<unknown>;
  readonly mend: (leader: Victim) => Promise<void>;
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
  readonly peer: string;
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
const subjects = await everybody();
const outcomes: Outcome[] = [];
const progress = new Progress(names.length * rounds * subjects.length * 3);
for (const fault of names) {
  const rows = subjects.map(({ name }): Outcome => ({
    ...{ peer: name, fault, failed: 0 },
    ...{ nextAckMs: [], longestGapMs: [] },
  }));
  outcomes.push(...rows);
  for (let i = 0; i < rounds; i++) {
    for (const [at, subject] of subjects.entries()) {
      progress.step(`${subject.name}: ${fault}, round ${i + 1}`, 3);
      await strike(subject, faults[fault]!, rows[at]!);
    }
  }
}
let verified = 0;
const wrong: string[] = [];
for (const subject of subjects) {
  const verdict = await subject.end();
  verified += verdict.verified;
  wrong.push(...verdict.faults);
}
progress.end();
report();

async function everybody(): Promise<Subject[]> {
  const directory = scratchDirectory(args.text('data'));
  const options = {
    everyMs: args.number('every', 0.1),
    heartbeatMs: args.text('heartbeat-ms'),
    electionTimeoutMs: args.text('election-timeout-ms'),
  };
  const ours = await ourSubject({ ...options, directory }, args.number('nodes', 3));
  if (args.text('beside') !== 'etcd') return [ours];
  const other = present(await etcdSubject({ ...options, directory: path.join(directory, 'etcd') }));
  return other === null ? [ours] : [ours, other];
}

async function strike(subject: Subject, fault: Fault, outcome: Outcome): Promise<void> {
  const { writer } = subject;
  // Not while the other has its turn: the two would fight for the cores.
  writer.start();
  const leader = await subject.settledLeader();
  await delay(CALM_MS);
  const failedBefore = writer.unknown + writer.refused;
  const struckMs = performance.now();
  const ack = writer.nextAck(GIVE_UP_MS);
  const gone = fault.strike(leader);
  outcome.nextAckMs.push(await ack);
  // A node that stops in its own time still serves for a while: the gap may come later.
  await gone;
  await delay(CALM_MS);
  outcome.longestGapMs.push(writer.longestGapMs(struckMs, performance.now()));
  await fault.mend(leader);
  await writer.stop();
  outcome.failed += writer.unknown + writer.refused - failedBefore;
}

function report(): void {
  if (args.flag('json')) {
    for (const { peer, fault, nextAckMs, longestGapMs, failed } of outcomes) {
      const line = { peer, op: `failover-${fault}`, rounds: nextAckMs.length, failed };
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
        outcomes.map(({ peer, fault, nextAckMs, longestGapMs, failed }) => {
          const next = spread(nextAckMs);
          const gap = spread(longestGapMs);
          const times = [next.min, next.median, next.p90, next.max, gap.median, gap.max].map((ms) =>
            ms.toFixed(1),
          );
          return [`${peer} ${fault}`, String(nextAckMs.length), ...times, grouped(failed)];
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
