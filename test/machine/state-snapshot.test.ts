import assert from 'node:assert/strict';
import t from 'tap';
import { defineMachine } from '../../lib/machine/define-machine.ts';
import { ReplicatedState } from '../../lib/machine/replicated-state.ts';
import { BLOCK_BYTES } from '../../lib/machine/snapshot-stream.ts';
import { StackMachine } from '../../lib/machine/stack-machine.ts';
import { Kind, Status, StackOp } from '../../protocol/constants.ts';
import { applyOne, chunked, collect, collectGarbage, keyed, randomFrom } from './harness.ts';

function filled(machine: StackMachine = new StackMachine()): ReplicatedState {
  const state = new ReplicatedState(machine);
  applyOne(state, { kind: Kind.openSession, body: { nonce: 'n' } }, 1000);
  for (let seq = 1; seq <= 20; seq++) {
    applyOne(state, { session: 1, seq, body: [StackOp.push, `s${seq % 3}`, `value ${seq}`] }, 1000 + seq);
  }
  applyOne(state, keyed('key', [StackOp.push, 'k', 1]), 2000);
  return state;
}

t.test('everything is in it: applied index, clock, sessions, keys, stacks', async (t) => {
  const state = filled();
  const snapshot = collect(state.snapshot());
  for (const size of [1, 7, 100, 1 << 20]) {
    const copy = new ReplicatedState(new StackMachine());
    await copy.restore(chunked(snapshot, size));
    t.equal(copy.appliedIndex, 22);
    t.equal(copy.timeMs, 2000);
    t.equal(copy.sessionCount, 1);
    t.ok(collect(copy.snapshot()).equals(snapshot));
    t.equal(applyOne(copy, { session: 1, seq: 20, body: [StackOp.push, 's2', 'again'] }).value, 7);
    t.equal(applyOne(copy, { kind: Kind.openSession }).value, 2);
  }
});

t.test('an empty state has a snapshot too', async (t) => {
  const machine = new StackMachine();
  const copy = filled(machine);
  t.equal(machine.stackCount, 4);
  await copy.restore(chunked(collect(new ReplicatedState(new StackMachine()).snapshot())));
  t.equal(copy.appliedIndex, 0);
  t.equal(copy.sessionCount, 0);
  t.equal(machine.stackCount, 0);
});

t.test('chunks are bounded, however large the values', async (t) => {
  const state = filled();
  for (let i = 0; i < 3; i++) applyOne(state, { body: [StackOp.push, 'large', Buffer.alloc(700_000, i)] });
  let bytes = 0;
  const view = state.snapshot();
  for (const chunk of view.chunks()) {
    t.ok(chunk.length <= BLOCK_BYTES);
    bytes += chunk.length;
  }
  view.release();
  t.ok(bytes > 2_100_000 && bytes < 2_110_000);
});

t.test('a flipped bit anywhere, or an end anywhere, is found, and nothing of it believed', async (t) => {
  const snapshot = collect(filled().snapshot());
  const random = randomFrom(5);
  for (let i = 0; i < 300; i++) {
    const bad = Buffer.from(snapshot);
    const at = random(bad.length);
    bad[at]! ^= 1 << random(8);
    await rejected(bad, at, snapshot.length);
    const end = random(snapshot.length);
    await rejected(snapshot.subarray(0, end), end, snapshot.length);
  }
  await rejected(Buffer.concat([snapshot, Uint8Array.of(0)]), snapshot.length, snapshot.length);
  await rejected(Buffer.concat([snapshot, snapshot]), snapshot.length, snapshot.length);
  t.pass();
});

async function rejected(bytes: Uint8Array, damagedAt: number, snapshotBytes: number): Promise<void> {
  const state = new ReplicatedState(new StackMachine());
  applyOne(state, { body: [StackOp.push, 'mine', 1] });
  const before = state.hash();
  await assert.rejects(state.restore(chunked(bytes, 200)), { code: 'SNAPSHOT_DAMAGED' });
  // All of it fits one block, so the checksum speaks before the machine is touched; unless only the end is bad.
  if (damagedAt < snapshotBytes - 8) assert.equal(state.hash(), before);
  else assert.throws(() => state.hash(), { code: 'MACHINE_FAILED' });
}

t.test('blocks in another order are found', async (t) => {
  const state = new ReplicatedState(new StackMachine());
  for (let i = 0; i < 4; i++) applyOne(state, { body: [StackOp.push, 's', Buffer.alloc(BLOCK_BYTES, i)] });
  const snapshot = collect(state.snapshot());
  const swapped = Buffer.concat([
    snapshot.subarray(0, BLOCK_BYTES),
    snapshot.subarray(2 * BLOCK_BYTES, 3 * BLOCK_BYTES),
    snapshot.subarray(BLOCK_BYTES, 2 * BLOCK_BYTES),
    snapshot.subarray(3 * BLOCK_BYTES),
  ]);
  await t.rejects(state.restore(chunked(swapped)), { code: 'SNAPSHOT_DAMAGED' });
});

t.test("a restore that fails inside the machine's part leaves nothing usable, and says so", async (t) => {
  const state = new ReplicatedState(new StackMachine());
  for (let i = 0; i < 4; i++) applyOne(state, { body: [StackOp.push, 's', Buffer.alloc(BLOCK_BYTES, i)] });
  const snapshot = collect(state.snapshot());
  await t.rejects(state.restore(chunked(snapshot.subarray(0, 3 * BLOCK_BYTES))), {
    code: 'SNAPSHOT_DAMAGED',
  });
  t.throws(() => applyOne(state, {}), { code: 'MACHINE_FAILED' });
  t.throws(() => state.snapshot(), { code: 'MACHINE_FAILED' });
  await state.restore(chunked(snapshot));
  t.equal(applyOne(state, { body: [StackOp.push, 's', 1] }).value, 5, 'a good one brings it back');
});

t.test('a machine is handed plain bytes, of which slice makes a copy', async (t) => {
  // A Buffer's does not: a machine that kept slices had its values overwritten by what was read after them.
  const values: Uint8Array[] = [];
  const machine = new StackMachine();
  machine.restore = async (chunks) => {
    for await (const chunk of chunks) {
      t.equal(Object.getPrototypeOf(chunk), Uint8Array.prototype);
      values.push(chunk.slice(0, 1));
      chunk.fill(0xff);
    }
  };
  await new ReplicatedState(machine).restore(chunked(collect(filled().snapshot()), 50));
  t.ok(values.length > 0);
  t.notOk(values.some(([byte]) => byte === 0xff));
});

t.test('a restore that throws is a fault of the machine, and not of the snapshot', async (t) => {
  const machine = new StackMachine();
  machine.restore = () => Promise.reject(new TypeError('a bug'));
  const state = new ReplicatedState(machine);
  await t.rejects(state.restore(chunked(collect(filled().snapshot()))), {
    code: 'MACHINE_FAILED',
    message: /"stack" threw in restore: TypeError: a bug/,
  });
});

t.test('a snapshot of another machine, or another version of it, is refused', async (t) => {
  const machine = (name: string, version: number): ReplicatedState =>
    new ReplicatedState(
      defineMachine({ name, version, initial: () => [], apply: () => null, query: () => null }),
    );
  const snapshot = collect(machine('one', 1).snapshot());
  await machine('one', 1).restore(chunked(snapshot));
  await t.rejects(machine('one', 2).restore(chunked(snapshot)), { code: 'INCOMPATIBLE_VERSION' });
  const other = machine('two', 1);
  await t.rejects(other.restore(chunked(snapshot)), { code: 'INCOMPATIBLE_VERSION', message: /"one"/ });
  other.applyEmpty({ index: 1, timeMs: 0 });
  t.equal(other.appliedIndex, 1, 'and the one there goes on');
});

t.test('a view is read once, and not after its release', async (t) => {
  const state = filled();
  const view = state.snapshot();
  collect(view);
  t.throws(() => [...view.chunks()], TypeError);
  const second = state.snapshot();
  second.release();
  t.throws(() => [...second.chunks()], TypeError);
  second.release();
});

/** Buffers are freed behind a collection's back: collects until nothing more is freed. */
function bufferBytes(): number {
  let bytes = Infinity;
  for (;;) {
    collectGarbage();
    const { arrayBuffers } = process.memoryUsage();
    if (arrayBuffers >= bytes) return arrayBuffers;
    bytes = arrayBuffers;
  }
}

t.test('memory stays near the payload', async (t) => {
  const machine = new StackMachine();
  const state = new ReplicatedState(machine);
  const before = bufferBytes();
  const values = Array.from({ length: 1000 }, (_, i) => Buffer.alloc(62, i & 0xff));
  for (let i = 0; i < 1000; i++) applyOne(state, { body: [StackOp.pushMany, 's', values] });
  const after = bufferBytes();
  t.equal(applyOne(state, { body: [StackOp.push, 's', 1] }).value, 1_000_001);
  t.equal(machine.bytes, 65_000_000 + 2 + 257, 'value, trailer; and the stack');
  t.ok(after - before < 65_000_000 * 1.1, 'buffers');
  const out = applyOne(state, { body: [StackOp.drop, 's'] });
  t.same(out, { status: Status.ok, value: 1_000_001 });
  t.equal(machine.bytes, 0);
});

t.test('a small stack is one small object', async (t) => {
  const machine = new StackMachine();
  const state = new ReplicatedState(machine);
  const heapBytes = (): number => {
    bufferBytes();
    return process.memoryUsage().heapUsed;
  };
  const before = heapBytes();
  for (let i = 0; i < 100_000; i++) applyOne(state, { body: [StackOp.push, `stack ${i}`, i] });
  const each = (heapBytes() - before) / 100_000;
  t.equal(machine.stackCount, 100_000);
  // 221 with Node 20: the object and its places in the tables. Twice that with a list of slabs for each, as objects.
  t.ok(each < 320, `${each} bytes`);
});

t.test('stacks that were emptied hold no memory', async (t) => {
  const state = new ReplicatedState(new StackMachine());
  const before = bufferBytes();
  const value = Buffer.alloc(3000);
  for (let i = 0; i < 8000; i++) applyOne(state, { body: [StackOp.push, `s${i}`, value] });
  // One of 16 stays, without a value.
  for (let i = 0; i < 8000; i++)
    applyOne(state, { body: [i % 16 === 0 ? StackOp.pop : StackOp.drop, `s${i}`] });
  t.equal(applyOne(state, { body: [StackOp.pop, 's16'] }).status, Status.empty);
  const grown = bufferBytes() - before;
  t.ok(grown < 8_000_000, `${grown} bytes for 500 empty stacks, where 8,000 had 24 MB`);
});
