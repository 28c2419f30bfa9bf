import { encode, ExtData } from '@msgpack/msgpack';
import t from 'tap';
import type { MachineDefinition } from '../../lib/machine/define-machine.ts';
import { CommandError, defineMachine } from '../../lib/machine/define-machine.ts';
import { ReplicatedState } from '../../lib/machine/replicated-state.ts';
import type { StateMachine } from '../../lib/machine/state-machine.ts';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { FRAME_HEADER_BYTES, Kind, Status } from '../../protocol/constants.ts';
import { encodeValue } from '../../protocol/msgpack.ts';
import { applyOne, ask, chunked, collect, responses, run } from './harness.ts';

interface Registers {
  values: Map<string, unknown>;
  writes: number;
}

const definition: MachineDefinition<Registers, unknown, string, unknown, unknown> = {
  name: 'registers',
  version: 3,
  initial: () => ({ values: new Map(), writes: 0 }),
  apply(state, command, meta) {
    if (!Array.isArray(command) || typeof command[0] !== 'string')
      throw new CommandError('Give [key, value].');
    if (command[0] === 'crash') throw new TypeError('a bug');
    state.values.set(command[0], command[1]);
    return { writes: ++state.writes, at: meta.timeMs };
  },
  query: (state, key) => {
    if (key === 'bad') throw new CommandError('No.');
    return state.values.get(key);
  },
  save: ({ values, writes }) => ({ values: [...values], writes }),
  load: (saved) => {
    const { values, writes } = saved as { values: [string, unknown][]; writes: number };
    return { values: new Map(values), writes };
  },
};

t.test('commands, queries, refusals', async (t) => {
  const machine = defineMachine(definition);
  t.same(run(machine, ['a', 1]), { status: Status.ok, value: { writes: 1, at: 0 } });
  t.same(ask(machine, 'a'), { status: Status.ok, value: 1 });
  t.same(ask(machine, 'none'), { status: Status.ok, value: null });
  t.same(ask(machine, 'bad'), { status: Status.badCommand, value: 'No.' });
  t.same(run(machine, 'what'), { status: Status.badCommand, value: 'Give [key, value].' });
  const bad = [
    Uint8Array.of(),
    Uint8Array.of(0xc1),
    Uint8Array.of(0x92, 0xa1),
    Buffer.concat([encode(['a', 1]), Uint8Array.of(0)]),
    Uint8Array.from([...new Array<number>(500).fill(0x91), 0]),
    Uint8Array.from([0x81, 0xa9, ...Buffer.from('__proto__'), 0x80]),
  ];
  for (const bytes of bad) t.equal(run(machine, bytes).status, Status.badCommand);
  t.same(ask(machine, 'a').value, 1);
});

t.test('any other error stops the node', async (t) => {
  const state = new ReplicatedState(defineMachine(definition));
  t.throws(() => applyOne(state, { body: ['crash'] }), {
    code: 'MACHINE_FAILED',
    cause: { message: 'a bug' },
  });
  t.throws(() => applyOne(state, { body: ['a', 1] }), { code: 'MACHINE_FAILED' });
});

t.test('a query that throws stops nobody: whoever asked is told', async (t) => {
  const state = new ReplicatedState(
    defineMachine<{ n: number }, unknown, string>({
      name: 'fragile',
      version: 1,
      initial: () => ({ n: 0 }),
      apply: (s) => ++s.n,
      query: (s, name) => name.trim() + s.n,
    }),
  );
  const ask = (body: unknown): { status: number; value: unknown } => {
    const question = encode(body);
    const frame = new ByteWriter(64);
    const bytes = frame
      .u32(FRAME_HEADER_BYTES - 4 + question.length)
      .u8(Kind.query)
      .u8(0)
      .u16(0)
      .u32(7);
    const out = new ByteWriter(64);
    state.query(bytes.bytes(question).take(), 0, FRAME_HEADER_BYTES + question.length, out);
    const { status, value } = responses(out.take())[0]!;
    return { status, value };
  };
  t.same(ask(' a'), { status: Status.ok, value: 'a0' });
  t.match(ask(5), { status: Status.badCommand, value: /fragile.*trim is not a function/ });
  applyOne(state, { body: 1 });
  t.same(ask('b'), { status: Status.ok, value: 'b1' });
  t.equal(ask('x'.repeat((64 << 20) - 100)).status, Status.ok);
  // To a client that takes no more than 64 MiB it would be the end of the connection, again and again.
  t.match(ask('x'.repeat(64 << 20)), { status: Status.badCommand, value: /larger than 64 MiB/ });
});

t.test('snapshots by save and load', async (t) => {
  const machine = defineMachine(definition);
  for (let i = 0; i < 300; i++) run(machine, [`key ${i}`, Buffer.alloc(2000, i)]);
  const snapshot = collect(machine.snapshot());
  const copy = defineMachine(definition);
  await copy.restore(chunked(snapshot, 999), 3);
  t.ok(collect(copy.snapshot()).equals(snapshot));
  t.same(ask(copy, 'key 7').value, ask(machine, 'key 7').value);
  t.equal((run(copy, ['x', 1]).value as { writes: number }).writes, 301);
  await t.rejects(copy.restore(chunked(snapshot.subarray(0, -1)), 3), { code: 'SNAPSHOT_DAMAGED' });
});

t.test('a view shows the moment it was taken', async (t) => {
  const machine = defineMachine(definition);
  run(machine, ['a', 1]);
  const view = machine.snapshot();
  run(machine, ['a', 2]);
  const copy = defineMachine(definition);
  await copy.restore(chunked(collect(view)), 3);
  t.equal(ask(copy, 'a').value, 1);
});

t.test("binary values do not depend on the caller's buffer", async (t) => {
  const machine = defineMachine(definition);
  const command = Buffer.from(encode(['bin', Uint8Array.of(1, 2, 3)]));
  machine.apply(command, 0, command.length, new ByteWriter(), { index: 1, timeMs: 0 });
  command.fill(0xff);
  t.same(ask(machine, 'bin').value, Uint8Array.of(1, 2, 3));
});

t.test('what is computed or hidden in an initial state makes no machine', async (t) => {
  const states: [object, RegExp][] = [
    [
      {
        list: [
          {
            get size(): number {
              return 1;
            },
          },
        ],
      },
      /property size/,
    ],
    [{ [Symbol('tag')]: 1 }, /property Symbol\(tag\)/],
    [Object.defineProperty({}, 'hidden', { value: 1 }), /property hidden/],
  ];
  const plain = { apply: () => null, query: () => null };
  for (const [state, message] of states)
    t.throws(() => defineMachine({ name: 'm', version: 1, initial: () => state, ...plain }), message);
});

t.test('undefined is what it was, before a restore and after', async (t) => {
  const plain = defineMachine({
    name: 'plain',
    version: 1,
    initial: (): { seen: number; last?: unknown } => ({ seen: 0 }),
    apply(state, command: unknown) {
      state.seen++;
      state.last = command === 'none' ? undefined : command;
    },
    query: (state) => `${String(state.last)} ${Object.keys(state).length}`,
  });
  run(plain, 'none');
  t.equal(ask(plain, 0).value, 'undefined 2');
  await plain.restore(chunked(collect(plain.snapshot())), 1);
  t.equal(ask(plain, 0).value, 'undefined 2');
});

t.test('a definition that cannot be is refused', async (t) => {
  t.throws(() => defineMachine({ ...definition, name: '' }), TypeError);
  t.throws(() => defineMachine({ ...definition, name: 'x'.repeat(256) }), TypeError);
  t.throws(() => defineMachine({ ...definition, version: 1.5 }), TypeError);
  const { apply: _, ...without } = definition;
  t.throws(() => defineMachine(without as typeof definition), /needs apply\(\)/);
});

t.test('a state that would not come back as it is makes no machine and no snapshot', async (t) => {
  class Counter {
    n = 0;
  }
  const shared = { n: 1 };
  const circle: { self?: object } = {};
  circle.self = circle;
  const states: [unknown, RegExp][] = [
    [new Map([['a', 1]]), /a Map is not a msgpack value/],
    [{ deep: [{ set: new Set([1]) }] }, /a Set is not/],
    [{ counter: new Counter() }, /an instance of Counter would come back as a plain object/],
    [{ big: 1n }, /BigInt/],
    [{ floats: new Float64Array(1) }, /only a Uint8Array/],
    [{ log: () => {} }, /Function/],
    [{ bytes: Buffer.from('b') }, /a Buffer would come back as a Uint8Array/],
    [{ map: Object.create(null) as object }, /without a prototype would come back with one/],
    [{ list: Object.assign([1], { index: 0 }) }, /properties of its own/],
    [{ list: /b/.exec('abc') }, /properties of its own/],
    [{ list: [1, , 2] }, /without its holes/],
    [{ first: shared, list: [shared] }, /can be reached on two ways/],
    [{ first: circle }, /can be reached on two ways/],
  ];
  const plain = { apply: () => null, query: () => null };
  for (const [state, message] of states) {
    t.throws(() => defineMachine({ name: 'm', version: 1, initial: () => state, ...plain }), message);
    const later = defineMachine<{ kept?: unknown }>({
      name: 'm',
      version: 1,
      initial: () => ({}),
      apply: (kept) => {
        kept.kept = state;
        return null;
      },
      query: () => null,
    });
    later.snapshot();
    run(later, 0);
    t.throws(() => later.snapshot(), message, 'and not half of it');
  }
  const kept = {
    bytes: Buffer.from('b'),
    date: new Date(5),
    map: Object.assign(Object.create(null), { a: 1 }),
  };
  const machine = defineMachine<unknown>({
    name: 'm',
    version: 1,
    initial: () => kept,
    ...plain,
    query: (state) => state,
    save: (state) => state,
  });
  await machine.restore(chunked(collect(machine.snapshot())), 1);
  t.same(ask(machine, 0).value, { bytes: Uint8Array.of(98), date: new Date(5), map: { a: 1 } });
  t.throws(
    () => defineMachine({ ...definition, load: () => Object.assign(null as never, {}) }),
    /saved and loaded/,
  );
});

t.test('nothing of a machine answers with a promise, and one that is rejected ends no process', async (t) => {
  const rejections: unknown[] = [];
  const listeners = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', (reason) => rejections.push(reason));
  t.teardown(() => {
    process.removeAllListeners('unhandledRejection');
    for (const listener of listeners) process.on('unhandledRejection', listener);
  });
  const never = (): Promise<never> => Promise.reject(new CommandError('No.'));
  const plain = { name: 'm', version: 1, initial: () => ({ n: 0 }), apply: never, query: never };
  const machine = defineMachine(plain);
  t.throws(() => run(machine, 1), /with a promise/);
  t.throws(() => ask(machine, 1), /with a promise/);
  t.throws(() => defineMachine({ ...plain, load: never as never }), /with a promise/);
  t.throws(() => defineMachine({ ...plain, save: never }), /with a promise/);
  await new Promise((resolve) => setImmediate(resolve));
  t.same(rejections, []);
});

t.test(
  'a definition whose load makes something else of a state than save was given is refused',
  async (t) => {
    const plain = { name: 'm', version: 1, initial: () => ({ n: 0, m: 1 }), apply: () => 0, query: () => 0 };
    for (const load of [() => undefined, () => ({ n: 0 }), (saved: unknown) => ({ saved })])
      t.throws(() => defineMachine({ ...plain, load: load as never }), /saved and loaded/);
    defineMachine({ ...plain, load: () => ({ m: 1, n: 0 }) });
  },
);

t.test('a load that throws is a fault of the machine, and not of the snapshot', async (t) => {
  const state = { name: 'm', version: 1, initial: () => ({ n: 0 }), apply: () => 0, query: () => 0 };
  const snapshot = collect(new ReplicatedState(defineMachine(state)).snapshot());
  const newer = defineMachine({
    ...state,
    version: 2,
    oldestVersion: 1,
    load: (saved, version) => {
      if (version === 1) throw new TypeError('a bug');
      return saved as { n: number };
    },
  });
  await t.rejects(new ReplicatedState(newer).restore(chunked(snapshot)), {
    code: 'MACHINE_FAILED',
    cause: { message: 'a bug' },
  });
});

/** What clients name and send is kept as it comes. */
function register(): StateMachine {
  return defineMachine<{ values: Record<string, unknown> }>({
    name: 'm',
    version: 1,
    initial: () => ({ values: {} }),
    apply(state, command) {
      const [name, value] = command as [string, unknown];
      const before = Object.hasOwn(state.values, name) ? state.values[name] : null;
      state.values = { ...state.values, [name]: value };
      return before;
    },
    query: ({ values }) => Object.entries(values),
  });
}

t.test('what a client chooses as a key or a value can be saved and loaded', async (t) => {
  const machine = register();
  run(machine, ['__proto__', 1]);
  run(machine, ['text', `\ufeff${'x'.repeat(300)}`]);
  run(machine, ['ext', new ExtData(5, Uint8Array.of(1, 2))]);
  const before = ask(machine, 0).value;
  const copy = register();
  await copy.restore(chunked(collect(machine.snapshot())), 1);
  t.same(ask(copy, 0).value, before);
  t.equal(run(copy, ['__proto__', 2]).value, 1);
});

t.test('a timestamp that no Date can hold is no command', async (t) => {
  const machine = register();
  const date = Buffer.concat([Buffer.from([0xc7, 12, 0xff, 0, 0, 0, 0, 0x7f]), Buffer.alloc(7, 0xff)]);
  const command = Buffer.concat([Buffer.from([0x92]), encode('a'), date]);
  for (let i = 0; i < 2; i++) t.equal(run(machine, command).status, Status.badCommand);
  machine.snapshot();
});

t.test('an integer that no number is equal to is no command: two ids would become the same one', (t) => {
  const machine = register();
  for (const id of [1234567890123456789n, -(2n ** 53n) - 1n, 2n ** 64n - 1n]) {
    const { status, value } = run(machine, Buffer.from(encodeValue(['id', { deep: [id] }])));
    t.equal(status, Status.badCommand);
    t.match(value, /too large/);
    t.match(ask(machine, Buffer.from(encodeValue([id]))), { status: Status.badCommand });
  }
  // What JavaScript sends as a number comes as one, however it lies on the wire.
  for (const exact of [2 ** 60, 1e18, -(2 ** 63), Number.MAX_SAFE_INTEGER]) {
    t.equal(run(machine, Buffer.from(encodeValue(['id', exact]))).status, Status.ok);
    t.same(ask(machine, 0).value, [['id', exact]]);
  }
  t.end();
});

t.test('a load that forgets an old version loses nothing: its machine fails', async (t) => {
  const old = defineMachine({ name: 'm', version: 1, initial: () => 7, apply: () => 0, query: (n) => n });
  const newer = defineMachine<{ n: number }>({
    name: 'm',
    version: 2,
    oldestVersion: 1,
    initial: () => ({ n: 0 }),
    apply: () => 0,
    query: ({ n }) => n,
    load: (saved, version) => (version === 2 ? saved : undefined) as { n: number },
  });
  await t.rejects(new ReplicatedState(newer).restore(chunked(collect(new ReplicatedState(old).snapshot()))), {
    code: 'MACHINE_FAILED',
    message: /load returned nothing/,
  });
});

t.test('machines share nothing of a state, whatever `initial` hands out', (t) => {
  const DEFAULTS = { jobs: { waiting: [] as unknown[] } };
  const make = (): StateMachine =>
    defineMachine({
      name: 'm',
      version: 1,
      initial: () => ({ ...DEFAULTS }),
      apply: (state, job) => state.jobs.waiting.push(job),
      query: (state) => state.jobs.waiting.length,
    });
  const first = make();
  run(first, 'a');
  t.equal(ask(first, 0).value, 1);
  t.equal(ask(make(), 0).value, 0);
  t.end();
});

t.test('a result that msgpack would turn into something else is none', async (t) => {
  const machine = defineMachine({
    name: 'm',
    version: 1,
    initial: () => 0,
    apply: () => ({ found: new Map([[1, 2]]) }),
    query: () => new Set([1]),
  });
  t.throws(() => applyOne(new ReplicatedState(machine), { body: 1 }), {
    code: 'MACHINE_FAILED',
    message: /a Map is not a msgpack value/,
  });
});

t.test('a newer machine loads the states of older ones that it knows', async (t) => {
  const old = defineMachine({ name: 'm', version: 1, initial: () => 7, apply: () => 0, query: (n) => n });
  const newer = (oldestVersion?: number): ReplicatedState =>
    new ReplicatedState(
      defineMachine<{ n: number }>({
        name: 'm',
        version: 2,
        ...(oldestVersion === undefined ? {} : { oldestVersion }),
        initial: () => ({ n: 0 }),
        apply: () => 0,
        query: ({ n }) => n,
        load: (saved, version) => (version === 1 ? { n: saved as number } : (saved as { n: number })),
      }),
    );
  const snapshot = collect(new ReplicatedState(old).snapshot());
  const state = newer(1);
  await state.restore(chunked(snapshot));
  t.equal(ask(state.machine, 0).value, 7);
  const again = newer(1);
  await again.restore(chunked(collect(state.snapshot())));
  t.equal(ask(again.machine, 0).value, 7, 'and its own');
  const refused = { code: 'INCOMPATIBLE_VERSION' };
  await t.rejects(newer().restore(chunked(snapshot)), refused);
  await t.rejects(new ReplicatedState(old).restore(chunked(collect(state.snapshot()))), refused);
  t.throws(() => newer(3), /the oldest no larger/);
});

t.test('a status outside the range of machines stops the node', async (t) => {
  const machine = defineMachine(definition);
  machine.apply = () => 64;
  t.throws(() => applyOne(new ReplicatedState(machine), { body: 1 }), { code: 'MACHINE_FAILED' });
});
