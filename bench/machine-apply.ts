/**
 * What applying a push costs: `node --expose-gc dist/bench/machine-apply.js [--json]`.
 *
 * Batches of 500 pushes of 64-byte values under one session, 1,000 outstanding, as a leader (responses are written)
 * and as a follower (nobody reads). Then memory for each item and each stack, and what a snapshot of a million items takes.
 */
import { ByteWriter } from '../protocol/byte-writer.ts';
import { Kind, StackOp } from '../protocol/constants.ts';
import type { ReplyRun } from '../lib/machine/response-frame.ts';
import { ReplicatedState } from '../lib/machine/replicated-state.ts';
import { StackMachine } from '../lib/machine/stack-machine.ts';

const BATCH = 500;
const OUTSTANDING = 1000;
const VALUE_BYTES = 64;

interface Result {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

function openFrame(): Buffer {
  const out = new ByteWriter(64);
  out.u32(28).u8(Kind.openSession).u8(0).u16(0).u32(1).u32(0).u64(0).u64(0);
  return out.take();
}

function writeFrame(out: ByteWriter, session: number, seq: number, body: Uint8Array): void {
  const window = Math.min(seq - 1, OUTSTANDING);
  out
    .u32(28 + body.length)
    .u8(Kind.command)
    .u8(0)
    .u16(0)
    .u32(seq);
  out
    .u32(window)
    .u64(session)
    .u64(session === 0 ? 0 : seq)
    .bytes(body);
}

function body(op: number, name: string, valueBytes: number): Buffer {
  const out = new ByteWriter(128);
  out.u8(valueBytes > 0 ? 0x93 : 0x92).u8(op);
  out.u8(0xa0 | name.length).bytes(Buffer.from(name));
  // A bin8: the value as a whole has `valueBytes` bytes.
  if (valueBytes > 0)
    out
      .u8(0xc4)
      .u8(valueBytes - 2)
      .bytes(Buffer.alloc(valueBytes - 2, 7));
  return out.take();
}

/**
 * Applies `count` commands and returns nanoseconds for each: the fastest tenth of all batches, because whatever else
 * runs on the machine makes the others slower. Building the batches is not counted.
 */
function run(
  state: ReplicatedState,
  session: number,
  bodies: readonly Buffer[],
  count: number,
  leader: boolean,
): number {
  const out = new ByteWriter(1 << 20);
  const batch = new ByteWriter(1 << 20);
  let seq = 1;
  let index = state.appliedIndex;
  const spentNs: number[] = [];
  for (let done = 0; done < count; done += BATCH) {
    batch.clear();
    for (let i = 0; i < BATCH; i++, seq++) writeFrame(batch, session, seq, bodies[seq % bodies.length]!);
    const runs: ReplyRun[] = leader ? [{ end: batch.position, out }] : [];
    out.clear();
    const before = process.hrtime.bigint();
    state.applyBatch(batch.buffer, 0, batch.position, { index: ++index, timeMs: 1 }, runs);
    spentNs.push(Number(process.hrtime.bigint() - before));
  }
  spentNs.sort((a, b) => a - b);
  return spentNs[Math.floor(spentNs.length / 10)]! / BATCH;
}

function fresh(): ReplicatedState {
  const state = new ReplicatedState(new StackMachine());
  const frame = openFrame();
  state.applyBatch(frame, 0, frame.length, { index: 1, timeMs: 1 }, []);
  return state;
}

const results: Result[] = [];
const report = (name: string, value: number, unit: string): void => {
  results.push({ name, value: Math.round(value * 100) / 100, unit });
};

const pushes = [body(StackOp.push, 'jobs', VALUE_BYTES)];
const pops = [body(StackOp.pop, 'jobs', 0)];
const many = Array.from({ length: 10_000 }, (_, i) => body(StackOp.push, `stack-${i}`, VALUE_BYTES));

/** Bytes that what `make` returns takes, when `node --expose-gc` is used; otherwise a little more. */
function memoryOf<T>(make: () => T): { made: T; bytes: number } {
  const { gc } = globalThis;
  gc?.();
  const before = process.memoryUsage();
  const made = make();
  gc?.();
  const after = process.memoryUsage();
  return { made, bytes: after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers };
}

const { made: full, bytes: itemBytes } = memoryOf(() => {
  const state = fresh();
  run(state, 0, pushes, 1_000_000, false);
  return state;
});
report('memory for an item of 64 bytes', itemBytes / 1_000_000, 'bytes');
const { made: wide, bytes: stackBytes } = memoryOf(() => {
  const machine = new StackMachine();
  const state = new ReplicatedState(machine);
  for (let from = 0; from < 500_000; from += 10_000) {
    const stacks = Array.from({ length: 10_000 }, (_, i) => body(StackOp.push, `stack-${from + i}`, 32));
    run(state, 0, stacks, 10_000, false);
  }
  return machine;
});
report('memory for a stack with one item of 32 bytes', stackBytes / wide.stackCount, 'bytes');

for (let pass = 0; pass < 3; pass++) {
  run(fresh(), 1, pushes, 200_000, true);
  run(fresh(), 1, pushes, 200_000, false);
}
report('push, leader', run(fresh(), 1, pushes, 1_000_000, true), 'ns');
report('push, follower', run(fresh(), 1, pushes, 1_000_000, false), 'ns');
report('push without session, leader', run(fresh(), 0, pushes, 1_000_000, true), 'ns');
report('push over 10,000 stacks, leader', run(fresh(), 1, many, 1_000_000, true), 'ns');

const both = fresh();
run(both, 1, pushes, 1_000_000, false);
const emptied = new ByteWriter(64);
emptied.bytes(openFrame());
both.applyBatch(emptied.buffer, 0, emptied.position, { index: both.appliedIndex + 1, timeMs: 1 }, []);
report('pop, leader', run(both, 2, pops, 1_000_000, true), 'ns');

run(full, 0, many, 10_000, false);

const taking = performance.now();
const view = full.snapshot();
report('taking a snapshot, 1,000,000 items and 10,000 stacks', performance.now() - taking, 'ms');
const reading = performance.now();
let longest = 0;
let snapshotBytes = 0;
const chunks: Buffer[] = [];
let last = performance.now();
for (const chunk of view.chunks()) {
  longest = Math.max(longest, performance.now() - last);
  snapshotBytes += chunk.length;
  chunks.push(Buffer.from(chunk));
  last = performance.now();
}
view.release();
report('reading it', performance.now() - reading, 'ms');
report('longest step of reading it', longest, 'ms');
report('its size', snapshotBytes / 2 ** 20, 'MiB');
const restoring = performance.now();
const copy = new ReplicatedState(new StackMachine());
await copy.restore(
  (async function* () {
    yield* chunks;
  })(),
);
report('restoring it', performance.now() - restoring, 'ms');

if (process.argv.includes('--json')) process.stdout.write(`${JSON.stringify(results)}\n`);
else
  for (const { name, value, unit } of results) process.stdout.write(`${name.padEnd(56)} ${value} ${unit}\n`);
