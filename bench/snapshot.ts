/**
 * `npm run bench:snapshot`: what taking snapshots of a large state costs the pushes and pops beside it. A closed loop
 * keeps the depth of the stack where it is, its log makes snapshots due, and each call is counted by whether any node
 * was taking one while it was under way.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from '../lib/client/index.ts';
import { Arguments } from './support/arguments.ts';
import { Cluster } from './support/cluster.ts';
import { fill } from './support/fill.ts';
import { Histogram } from './support/histogram.ts';
import { round } from './support/measure.ts';
import { Progress } from './support/progress.ts';
import { grouped, hardware, table } from './support/report.ts';
import { scratchDirectory } from './support/scratch-directory.ts';
import { ValueMaker } from './support/values.ts';

const USAGE = `
npm run bench:snapshot -- [options]

  --items=1000000   values on the stack
  --values=64       bytes of a value
  --conc=256        calls outstanding, pushes and pops in turn
  --secs=60         how long
  --nodes=3         nodes of the cluster
  --data=DIR        where the nodes' data goes
  --json            a line of JSON in place of the table
`;

const args = new Arguments(USAGE, {
  items: '1000000',
  values: '64',
  conc: '256',
  secs: '60',
  nodes: '3',
  data: '',
  json: '',
});
const STACK = 'snapshot';
const FILL_PER_S = 100_000;
const WARM_MS = 3000;
/** How often the nodes are asked whether they take a snapshot. */
const LOOK_MS = 25;
const TIMEOUT_MS = 120_000;

/** Calls of one kind: while a snapshot was taken, or not. */
interface Side {
  readonly latencies: Histogram;
  ms: number;
}

const items = args.number('items', 1);
const seconds = args.number('secs', 1);
const nodes = args.number('nodes', 1);
const progress = new Progress(items / FILL_PER_S + WARM_MS / 1000 + seconds);
const beside: Side = { latencies: new Histogram(), ms: 0 };
const alone: Side = { latencies: new Histogram(), ms: 0 };
/** Now, and how often that has changed. */
let taking = false;
let changes = 0;
let measuring = false;
let ended = false;

await using cluster = await Cluster.start({
  nodes,
  directory: scratchDirectory(args.text('data')),
  args: ['--snapshot-log-mb', '1'],
});
await using client = await Client.connect({ addresses: cluster.addresses, timeoutMs: TIMEOUT_MS });
progress.step(`filling, ${grouped(items)} items`, items / FILL_PER_S);
await fill(client, STACK, 1, items, args.number('values', 12), 'push');

const values = new ValueMaker(2, args.number('values', 12));
const looking = look();
const slots = Array.from({ length: args.number('conc', 1) }, (_, i) => slot(i));
progress.step('heating up', WARM_MS / 1000);
await delay(WARM_MS);
const before = await takenByNodes();
progress.step('measuring', seconds);
measuring = true;
await delay(seconds * 1000);
measuring = false;
const taken = (await takenByNodes()) - before;
ended = true;
await Promise.all([...slots, looking]);
progress.end();
report();

/** One user: the next call when the last has ended. */
async function slot(number: number): Promise<void> {
  for (let turn = number; !ended; turn++) {
    const changesAtStart = changes;
    const wasTaking = taking;
    const startedMs = performance.now();
    if (turn % 2 === 0) {
      values.next();
      await client.push(STACK, values.bytes);
    } else {
      await client.pop(STACK);
    }
    if (!measuring) continue;
    const side = wasTaking || taking || changes !== changesAtStart ? beside : alone;
    side.latencies.record(performance.now() - startedMs);
  }
}

async function look(): Promise<void> {
  let lastMs = performance.now();
  while (!ended) {
    const all = await Promise.all(
      cluster.addresses.map((address) => gauge(address, 'cordwood_snapshot_running')),
    );
    const nowMs = performance.now();
    const now = all.some((running) => running > 0);
    if (measuring) (taking ? beside : alone).ms += nowMs - lastMs;
    if (now !== taking) changes++;
    taking = now;
    lastMs = nowMs;
    await delay(LOOK_MS);
  }
}

async function takenByNodes(): Promise<number> {
  const name = 'cordwood_snapshots_total{outcome="taken"}';
  const all = await Promise.all(cluster.addresses.map((address) => gauge(address, name)));
  return all.reduce((sum, count) => sum + count, 0);
}

async function gauge(address: string, name: string): Promise<number> {
  const response = await fetch(`http://${address}/metrics`);
  const line = (await response.text()).split('\n').find((candidate) => candidate.startsWith(`${name} `));
  return Number(line?.slice(name.length) ?? NaN);
}

function report(): void {
  const rows = [
    { when: 'beside a snapshot', ...figures(beside) },
    { when: 'otherwise', ...figures(alone) },
  ];
  const ratio = round(beside.latencies.percentile(0.99) / alone.latencies.percentile(0.99), 2);
  if (args.flag('json')) {
    process.stdout.write(
      `${JSON.stringify({ op: 'snapshot', items, nodes, taken, p99_ratio: ratio, rows })}\n`,
    );
    return;
  }
  const lines = rows.map((row) => Object.values(row).map(String));
  process.stdout.write(`${table(Object.keys(rows[0]!), lines)}\n`);
  process.stdout.write(
    `${taken} snapshots of ${grouped(items)} items; p99 beside one is ${ratio} times that otherwise\n${hardware()}\n`,
  );
}

function figures({ latencies, ms }: Side): Record<string, number> {
  return {
    seconds: round(ms / 1000, 1),
    calls_per_s: Math.round((latencies.count / ms) * 1000),
    p50_ms: round(latencies.percentile(0.5), 3),
    p99_ms: round(latencies.percentile(0.99), 3),
    p999_ms: round(latencies.percentile(0.999), 3),
    max_ms: round(latencies.maxMs, 1),
  };
}
