import { encode } from '@msgpack/msgpack';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { StackMachine } from '../../lib/machine/stack-machine.ts';
import type { SnapshotView } from '../../lib/machine/state-machine.ts';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { Status, StackOp } from '../../protocol/constants.ts';
import { ask, chunked, collect, randomFrom, run } from './harness.ts';

t.test('the operations, one by one', async (t) => {
  const m = new StackMachine();
  t.match(run(m, [StackOp.pop, 'a']), { status: Status.notFound, value: null });
  t.match(run(m, [StackOp.create, 'a']), { status: Status.ok, value: null });
  t.match(run(m, [StackOp.create, 'a']), { status: Status.exists, value: null });
  t.match(run(m, [StackOp.pop, 'a']), { status: Status.empty, value: null });
  t.match(ask(m, [StackOp.top, 'a']), { status: Status.empty, value: null });
  t.match(run(m, [StackOp.push, 'a', 10]), { status: Status.ok, value: 1 });
  t.match(run(m, [StackOp.push, 'a', 'zwölf']), { status: Status.ok, value: 2 });
  t.match(ask(m, [StackOp.top, 'a']), { status: Status.ok, value: 'zwölf' });
  t.match(ask(m, [StackOp.size, 'a']), { status: Status.ok, value: 2 });
  t.match(run(m, [StackOp.create, 'a']), { status: Status.exists }, 'a second create wipes nothing');
  t.match(run(m, [StackOp.pop, 'a']), { status: Status.ok, value: 'zwölf' });
  t.match(run(m, [StackOp.pop, 'a']), { status: Status.ok, value: 10 });
  t.match(run(m, [StackOp.push, 'b', null]), { status: Status.ok, value: 1 }, 'push makes the stack');
  t.match(run(m, [StackOp.pushMany, 'b', [1, [2], 'three']]), { status: Status.ok, value: 4 });
  t.same(run(m, [StackOp.popMany, 'b', 3]), { status: Status.ok, value: ['three', [2], 1] });
  t.same(run(m, [StackOp.popMany, 'b', 30]), { status: Status.ok, value: [null] });
  t.same(run(m, [StackOp.popMany, 'b', 30]), { status: Status.ok, value: [] });
  t.same(run(m, [StackOp.popMany, 'none', 3]), { status: Status.notFound, value: null });
  t.same(ask(m, [StackOp.exists, 'b']), { status: Status.ok, value: true });
  run(m, [StackOp.pushMany, 'b', [1, 2]]);
  t.same(run(m, [StackOp.drop, 'b']), { status: Status.ok, value: 2 });
  t.same(run(m, [StackOp.drop, 'b']), { status: Status.notFound, value: null });
  t.same(ask(m, [StackOp.exists, 'b']), { status: Status.notFound, value: false });
  t.same(ask(m, [StackOp.size, 'b']), { status: Status.notFound, value: null });
});

t.test('names are any text, also what JavaScript treats as special', async (t) => {
  const m = new StackMachine();
  const names = [
    '__proto__',
    'constructor',
    'toString',
    '../../x',
    'ä',
    '\u0000',
    ' ',
    '🪵',
    'x'.repeat(1024),
  ];
  for (const [i, name] of names.entries()) t.same(run(m, [StackOp.push, name, i]).value, 1);
  for (const [i, name] of names.entries()) t.same(ask(m, [StackOp.top, name]).value, i);
  t.equal(Object.keys({}).length, 0);
  t.equal(({} as Record<string, unknown>)['x'], undefined);
});

t.test('values nest up to 64 arrays and maps in each other, and no further', async (t) => {
  const m = new StackMachine();
  const nested = (levels: number, ...innermost: number[]): Uint8Array =>
    Uint8Array.of(...new Array<number>(levels).fill(0x91), ...innermost);
  const deepest = [nested(64, 0x01), nested(63, 0x90), nested(63, 0x80), nested(63, 0x81, 0xa1, 0x6b, 0x01)];
  const tooDeep = [nested(65, 0x01), nested(64, 0x90), nested(64, 0x80), nested(64, 0x81, 0xa1, 0x6b, 0x01)];
  const push = (value: Uint8Array): Uint8Array => Buffer.concat([Uint8Array.of(0x93, 2, 0xa1, 0x61), value]);
  const pushMany = (value: Uint8Array): Uint8Array =>
    Buffer.concat([Uint8Array.of(0x93, 5, 0xa1, 0x61, 0x92, 0x01), value]);
  for (const value of deepest) {
    t.equal(run(m, push(value)).status, Status.ok);
    t.equal(run(m, pushMany(value)).status, Status.ok);
  }
  for (const value of tooDeep) {
    t.equal(run(m, push(value)).status, Status.badCommand);
    t.equal(run(m, pushMany(value)).status, Status.badCommand);
  }
  t.equal(ask(m, [StackOp.size, 'a']).value, 3 * deepest.length);
});

t.test('list: sorted by bytes, by prefix, page by page', async (t) => {
  const m = new StackMachine();
  const names = Array.from({ length: 2500 }, (_, i) => `${i % 2 ? 'odd' : 'even'}-${i}`);
  for (const name of names) run(m, [StackOp.push, name, name]);
  const sorted = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const listed: string[] = [];
  for (let after: string | null = null; ;) {
    const page = ask(m, [StackOp.list, null, after]).value as [string, number][];
    if (page.length === 0) break;
    t.ok(page.length <= 1000);
    listed.push(...page.map(([name]) => name));
    after = listed.at(-1)!;
  }
  t.same(listed, sorted);
  t.same(ask(m, [StackOp.list, 'odd-99', null, 3]).value, [
    ['odd-99', 1],
    ['odd-991', 1],
    ['odd-993', 1],
  ]);
  t.same(ask(m, [StackOp.list, 'nothing']).value, []);
  run(m, [StackOp.drop, 'odd-991']);
  run(m, [StackOp.create, 'odd-992']);
  t.same(ask(m, [StackOp.list, 'odd-99', 'odd-99', 2]).value, [
    ['odd-992', 0],
    ['odd-993', 1],
  ]);
  t.same(ask(m, [StackOp.list, null, null, 0]).value, []);
  t.equal((ask(m, [StackOp.list]).value as unknown[]).length, 1000);
});

t.test('every legal form of a header means the same', async (t) => {
  const m = new StackMachine();
  const name = [0x61, 0x62];
  const forms = [
    [0x93, 2, 0xa2, ...name, 5],
    [0xdc, 0, 3, 2, 0xa2, ...name, 5],
    [0xdd, 0, 0, 0, 3, 2, 0xd9, 2, ...name, 5],
    [0x93, 0xcc, 2, 0xda, 0, 2, ...name, 5],
    [0x93, 0xcd, 0, 2, 0xdb, 0, 0, 0, 2, ...name, 5],
    [0x93, 0xd0, 2, 0xd9, 2, ...name, 5],
  ];
  for (const [i, form] of forms.entries()) t.same(run(m, Uint8Array.from(form)), { status: 0, value: i + 1 });
  t.equal(m.stackCount, 1);
});

t.test('what is no command is refused and changes nothing', async (t) => {
  const m = new StackMachine();
  run(m, [StackOp.push, 'a', 1]);
  const before = collect(m.snapshot());
  const deep = (depth: number): unknown => (depth === 0 ? 1 : [deep(depth - 1)]);
  const bad: unknown[] = [
    new Uint8Array(0),
    Uint8Array.of(0x90),
    Uint8Array.of(0xc1),
    1,
    'push',
    [StackOp.push],
    [StackOp.push, 'a'],
    [StackOp.push, 'a', 1, 2],
    [StackOp.push, '', 1],
    [StackOp.push, 'x'.repeat(1025), 1],
    [StackOp.push, 5, 1],
    [StackOp.push, null, 1],
    [StackOp.pop, 'a', 1],
    [StackOp.popMany, 'a'],
    [StackOp.popMany, 'a', -1],
    [StackOp.popMany, 'a', 1.5],
    [StackOp.popMany, 'a', 'many'],
    [StackOp.pushMany, 'a', 5],
    ['push', 'a', 1],
    [99, 'a'],
    [-1, 'a'],
    [StackOp.top, 'a'],
    [StackOp.top, 'none'],
    [StackOp.list],
    Buffer.concat([encode([StackOp.pop, 'a']), Uint8Array.of(0)]),
    Buffer.concat([encode([StackOp.push, 'a', 1]), Uint8Array.of(0)]),
    encode([StackOp.push, 'a', 'cut off']).subarray(0, -1),
    Uint8Array.of(0x93, 2, 0xa1, 0x61, 0xc1),
    Uint8Array.of(0x93, 2, 0xa1, 0xff, 0x01),
    Uint8Array.of(0x92, 1, 0xa2, 0xc3, 0x28),
    Uint8Array.of(0x93, 5, 0xa1, 0x61, 0xdd, 0xff, 0xff, 0xff, 0xff),
    encode([StackOp.push, 'a', deep(65)]),
  ];
  for (const command of bad) {
    const { status, value } = run(m, command);
    t.equal(status, Status.badCommand, JSON.stringify(command));
    t.type(value, 'string');
  }
  for (const query of [
    [StackOp.push, 'a', 1],
    [StackOp.top],
    [StackOp.list, 1],
    [StackOp.list, '', '', '', 1],
  ]) {
    t.equal(ask(m, query).status, Status.badCommand);
  }
  t.equal(ask(m, Uint8Array.of(0x92, 17, 0xa1, 0xff)).status, Status.badCommand, 'a name that is no text');
  t.ok(collect(m.snapshot()).equals(before));
  t.equal(run(m, encode([StackOp.push, 'a', deep(64)])).status, Status.ok);
});

t.test('limits are whole numbers', async (t) => {
  for (const limit of [0, -1, 1.5, NaN, Infinity, '5', null]) {
    for (const name of ['maxStacks', 'maxBytes']) {
      t.throws(() => new StackMachine({ [name]: limit }), { code: 'BAD_OPTION', message: new RegExp(name) });
    }
  }
});

t.test('limits are results, and nothing changes where one forbids', async (t) => {
  const m = new StackMachine({ maxStacks: 2, maxBytes: 1000 });
  t.equal(run(m, [StackOp.create, 'a']).status, Status.ok);
  t.equal(run(m, [StackOp.create, 'b']).status, Status.ok);
  t.equal(run(m, [StackOp.create, 'c']).status, Status.limit);
  t.equal(run(m, [StackOp.push, 'c', 1]).status, Status.limit);
  t.equal(run(m, [StackOp.push, 'a', 'x'.repeat(400)]).status, Status.ok);
  const { bytes } = m;
  t.equal(run(m, [StackOp.push, 'a', 'x'.repeat(200)]).status, Status.limit);
  t.equal(run(m, [StackOp.pushMany, 'b', ['x'.repeat(50), 'x'.repeat(50)]]).status, Status.limit);
  t.equal(ask(m, [StackOp.size, 'b']).value, 0);
  t.equal(m.bytes, bytes);
  run(m, [StackOp.drop, 'a']);
  run(m, [StackOp.drop, 'b']);
  t.equal(m.bytes, 0);
});

t.test('a result of many values is bounded', async (t) => {
  const m = new StackMachine();
  const large = new Uint8Array(400_000);
  for (let i = 0; i < 5; i++) run(m, [StackOp.push, 'a', large]);
  t.equal((run(m, [StackOp.popMany, 'a', 100]).value as unknown[]).length, 2);
  run(m, [StackOp.push, 'a', new Uint8Array(3_000_000)]);
  t.equal((run(m, [StackOp.popMany, 'a', 100]).value as unknown[]).length, 1, 'one at least, however large');
  t.equal(ask(m, [StackOp.size, 'a']).value, 3);
});

/** The stacks as anyone would write them. */
class Model {
  readonly stacks = new Map<string, Buffer[]>();
  clone(): Map<string, Buffer[]> {
    return new Map([...this.stacks].map(([name, items]) => [name, items.slice()]));
  }
}

function sameAs(machine: StackMachine, stacks: Map<string, Buffer[]>): void {
  assert.equal(machine.stackCount, stacks.size);
  for (const [name, items] of stacks) {
    assert.equal(ask(machine, [StackOp.size, name]).value, items.length);
    const command = encode([StackOp.pop, name]);
    const out = new ByteWriter(64);
    for (let i = items.length - 1; i >= 0; i--) {
      out.clear();
      assert.equal(machine.apply(command, 0, command.length, out), Status.ok);
      assert.ok(out.buffer.subarray(0, out.position).equals(items[i]!));
    }
    assert.equal(ask(machine, [StackOp.size, name]).value, 0);
  }
}

async function restored(snapshot: Uint8Array, chunkBytes: number): Promise<StackMachine> {
  const machine = new StackMachine();
  await machine.restore(chunked(snapshot, chunkBytes));
  return machine;
}

/** Small, around the slab sizes, and larger than a slab. */
function randomValue(random: (below: number) => number): Buffer {
  const kind = random(20);
  if (kind < 12) return Buffer.from(encode(random(2) ? random(1e9) : 'v'.repeat(random(30))));
  if (kind < 18) return Buffer.from(encode(Buffer.alloc(random(3000), random(256))));
  if (kind === 18) return Buffer.from(encode(Buffer.alloc(4000 + random(20_000), random(256))));
  return Buffer.from(encode({ a: [random(9), null], b: Buffer.alloc(random(300_000), random(256)) }));
}

for (const seed of [1, 2, 3, 4, 5, 6]) {
  t.test(`against a model, with snapshots under way, seed ${seed}`, async (t) => {
    const random = randomFrom(seed);
    const model = new Model();
    let machine = new StackMachine();
    const names = Array.from({ length: 6 }, (_, i) => `stack ${i}`);
    const views: {
      view: SnapshotView;
      read: Iterator<Uint8Array>;
      chunks: Buffer[];
      was: Map<string, Buffer[]>;
    }[] = [];
    let compared = 0;
    let pushBias = 8;
    for (let step = 0; step < 4000; step++) {
      if (step % 500 === 0) pushBias = 3 + random(9);
      const name = names[random(names.length)]!;
      const items = model.stacks.get(name);
      const dice = random(16);
      if (dice < pushBias) {
        const value = randomValue(random);
        const head = Buffer.from(encode([StackOp.push, name]));
        head[0] = 0x93;
        const { status, value: size } = run(machine, Buffer.concat([head, value]));
        assert.equal(status, Status.ok);
        if (items) items.push(value);
        else model.stacks.set(name, [value]);
        assert.equal(size, model.stacks.get(name)!.length);
      } else if (dice < 13) {
        const out = new ByteWriter(64);
        const command = encode([StackOp.pop, name]);
        const status = machine.apply(command, 0, command.length, out);
        const expected = items?.pop();
        assert.equal(
          status,
          items === undefined ? Status.notFound : expected === undefined ? Status.empty : Status.ok,
        );
        if (expected) assert.ok(out.take().equals(expected));
      } else if (dice === 13) {
        const count = random(40);
        const { status, value } = run(machine, [StackOp.popMany, name, count]);
        if (items === undefined) assert.equal(status, Status.notFound);
        else {
          const taken = (value as unknown[]).length;
          assert.ok(taken === Math.min(count, items.length) || taken > 0);
          items.length -= taken;
        }
      } else if (dice === 14 && random(20) === 0) {
        assert.equal(run(machine, [StackOp.drop, name]).status, items ? Status.ok : Status.notFound);
        model.stacks.delete(name);
      } else if (dice === 15) {
        if (views.length < 3 && random(6) === 0) {
          const view = machine.snapshot();
          views.push({ view, read: view.chunks()[Symbol.iterator](), chunks: [], was: model.clone() });
        }
        const current = views[random(views.length)];
        if (current) {
          const next = current.read.next();
          if (next.done !== true) current.chunks.push(Buffer.from(next.value));
          else {
            current.view.release();
            views.splice(views.indexOf(current), 1);
            const copy = await restored(Buffer.concat(current.chunks), 1 + random(100_000));
            sameAs(copy, current.was);
            compared++;
          }
        }
      }
      if (step % 1333 === 1332) machine = await restored(collect(machine.snapshot()), 1 + random(300_000));
    }
    for (const { view } of views) view.release();
    const { bytes } = await restored(collect(machine.snapshot()), 4096);
    t.equal(machine.bytes, bytes, 'bytes are counted the same from scratch');
    sameAs(machine, model.stacks);
    t.ok(compared > 5, `${compared} snapshots compared`);
  });
}

t.test('arbitrary bytes never throw and never touch other stacks', async () => {
  const machine = new StackMachine();
  const value = 'untouched '.repeat(20);
  for (let i = 0; i < 50; i++) run(machine, [StackOp.push, 'other', value + i]);
  const start = fc.constantFrom<number[]>(
    [],
    [0x93, 2, 0xa1, 0x61],
    [0x93, 5, 0xa1, 0x61],
    [0x92, 3, 0xa1, 0x61],
    [0x93],
  );
  const out = new ByteWriter(64);
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 40 }), (head, tail) => {
      const bytes = Buffer.concat([
        Uint8Array.of(1, 2, 3),
        Uint8Array.from(head),
        tail,
        Uint8Array.of(0x91, 0x92),
      ]);
      for (const query of [false, true]) {
        out.clear();
        const status = query
          ? machine.query(bytes, 3, bytes.length - 2, out)
          : machine.apply(bytes, 3, bytes.length - 2, out);
        assert.ok(status >= 0 && status < 64);
        assert.ok(out.position > 0);
      }
    }),
    { numRuns: 20_000 },
  );
  for (let i = 49; i >= 0; i--) assert.equal(run(machine, [StackOp.pop, 'other']).value, value + i);
});

t.test('ten thousand stacks, dropped and made again', async (t) => {
  const machine = new StackMachine();
  const random = randomFrom(7);
  const alive = new Set<string>();
  for (let i = 0; i < 30_000; i++) {
    const name = `s${random(10_000)}`;
    if (random(3) === 0) {
      const { status } = run(machine, [StackOp.drop, name]);
      assert.equal(status, alive.delete(name) ? Status.ok : Status.notFound);
    } else {
      const { status } = run(machine, [StackOp.create, name]);
      assert.equal(status, alive.has(name) ? Status.exists : Status.ok);
      alive.add(name);
    }
  }
  t.equal(machine.stackCount, alive.size);
  for (let i = 0; i < 10_000; i++) {
    assert.equal(ask(machine, [StackOp.exists, `s${i}`]).value, alive.has(`s${i}`));
  }
});

t.test('a damaged snapshot is refused and the stacks stay as they were', async (t) => {
  const source = new StackMachine();
  for (let i = 0; i < 20; i++) run(source, [StackOp.push, `s${i % 3}`, ['v', i]]);
  const whole = collect(source.snapshot());
  const machine = new StackMachine();
  run(machine, [StackOp.push, 'mine', 1]);
  for (const cut of [0, 3, 19, 20, 47, 60, whole.length - 1]) {
    await t.rejects(machine.restore(chunked(whole.subarray(0, cut), 16)), { code: 'SNAPSHOT_DAMAGED' });
  }
  await t.rejects(machine.restore(chunked(Buffer.concat([whole, Uint8Array.of(0)]))), {
    code: 'SNAPSHOT_DAMAGED',
  });
  const random = randomFrom(3);
  let refused = 0;
  for (let i = 0; i < 400; i++) {
    const bad = Buffer.from(whole);
    bad[random(bad.length)]! ^= 1 << random(8);
    const copy = new StackMachine();
    try {
      // A flipped bit inside a value is another value: here there is no checksum, the layer above has it.
      await copy.restore(chunked(bad, 100));
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'SNAPSHOT_DAMAGED', String(error));
      refused++;
    }
  }
  t.ok(refused > 50);
  t.equal(ask(machine, [StackOp.top, 'mine']).value, 1);
  t.equal(machine.stackCount, 1);
});
