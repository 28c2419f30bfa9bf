/**
 * `npm run bench:restart`: how long one node takes to serve again after a kill -9, beside a process that only reads and
 * checksums the same files.
 */
import { execFileSync, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Client, RaftNode, StackMachine } from '../lib/index.ts';
import { Arguments } from './support/arguments.ts';
import { COMMAND } from './support/cluster.ts';
import { fill } from './support/fill.ts';
import { firstRead } from './support/first-read.ts';
import { freePorts } from './support/free-ports.ts';
import { median } from './support/medians.ts';
import { Progress } from './support/progress.ts';
import { grouped, hardware } from './support/report.ts';
import { scratchDirectory } from './support/scratch-directory.ts';

const USAGE = `
npm run bench:restart -- [options]

  --items=1000000    values of 64 bytes in the snapshot
  --entries=100000   log entries behind it, of one push each
  --rounds=7         restarts
  --data=DIR         where the node's data goes
  --json             a line of JSON in place of the text

Both are measured from the start of a process: that of a node until it has answered a linearizable read, that of a
reader until it has ended. The files are in the page cache.
`;

const args = new Arguments(USAGE, { items: '1000000', entries: '100000', rounds: '7', data: '', json: '' });
const STACK = 'restart';
const VALUE_BYTES = 64;
const GIVE_UP_MS = 60_000;
const READER = fileURLToPath(new URL('support/checksum-files.js', import.meta.url));

const items = args.number('items', 1);
const entries = args.number('entries', 1);
const rounds = args.number('rounds', 1);
const progress = new Progress(rounds + 2);
const dataDir = `${scratchDirectory(args.text('data'))}/1`;
const [peerPort, clientPort] = (await freePorts(2)) as [number, number];
const cluster = [`127.0.0.1:${peerPort}`];
const clientAddress = `127.0.0.1:${clientPort}`;

progress.step(`filling, ${grouped(items)} items`, 1);
await prepare();

const nodeMs: number[] = [];
const readerMs: number[] = [];
const summingMs: number[] = [];
let bytes = 0;
for (let i = 0; i < rounds; i++) {
  progress.step(`restart ${i + 1}`, 1);
  const startedMs = performance.now();
  const read = JSON.parse(execFileSync(process.execPath, [READER, dataDir], { encoding: 'utf8' })) as {
    readonly bytes: number;
    readonly ms: number;
  };
  readerMs.push(performance.now() - startedMs);
  summingMs.push(read.ms);
  ({ bytes } = read);
  nodeMs.push(await restart());
}
progress.end();
report();

/** A snapshot of all items, and entries of one push each behind it. */
async function prepare(): Promise<void> {
  const node = await RaftNode.start({
    id: 1,
    cluster,
    dataDir,
    machine: new StackMachine(),
    clientAddress,
    heartbeatMs: 40,
    electionTimeoutMs: 100,
    snapshotLogBytes: 2 ** 40,
  });
  const client = Client.local(node, { timeoutMs: GIVE_UP_MS });
  await fill(client, STACK, 1, items, VALUE_BYTES, 'many');
  node.snapshot();
  while (node.status().snapshotIndex === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  progress.step(`${grouped(entries)} entries behind the snapshot`, 1);
  for (let i = 0; i < entries; i++) await client.push(STACK, String(i).padEnd(VALUE_BYTES, '.'));
  await client.close();
  await node.close();
}

/** Milliseconds from the start of the process to the answer of a linearizable read; then it is killed. */
async function restart(): Promise<number> {
  const startedMs = performance.now();
  const flags = ['start', '--id=1', `--cluster=${cluster[0]!}`, `--port=${clientPort}`, `--data=${dataDir}`];
  const child = spawn(process.execPath, [COMMAND, ...flags, '--log-level=error'], { stdio: 'ignore' });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  try {
    const size = await firstRead([clientAddress], STACK, GIVE_UP_MS);
    if (size !== items + entries) throw new Error(`${grouped(size)} values are there after the restart`);
    return performance.now() - startedMs;
  } finally {
    child.kill('SIGKILL');
    await exited;
  }
}

function report(): void {
  const row = {
    op: 'restart',
    items,
    entries,
    rounds,
    bytes,
    node_ms: Math.round(median(nodeMs)),
    reader_ms: Math.round(median(readerMs)),
    summing_ms: Math.round(median(summingMs)),
    ratio: Number((median(nodeMs) / median(readerMs)).toFixed(2)),
  };
  if (args.flag('json')) {
    process.stdout.write(`${JSON.stringify(row)}\n`);
    return;
  }
  process.stdout.write(
    `${grouped(items)} values in a snapshot and ${grouped(entries)} entries behind it, ${grouped(Math.round(bytes / 2 ** 20))} MiB of files\n` +
      `served again after    ${grouped(row.node_ms)} ms\n` +
      `a process that reads and checksums the files and does nothing else: ${grouped(row.reader_ms)} ms (${grouped(row.summing_ms)} ms of it without its own start)\n` +
      `ratio ${row.ratio}. Medians of ${rounds}. ${hardware()}\n`,
  );
}
