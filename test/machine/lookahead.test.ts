import { encode } from '@msgpack/msgpack';
import t from 'tap';
import { Lookahead } from '../../lib/machine/lookahead.ts';
import { ReplicatedState } from '../../lib/machine/replicated-state.ts';
import { StackMachine } from '../../lib/machine/stack-machine.ts';
import type { StateMachine } from '../../lib/machine/state-machine.ts';
import { viewOf } from '../../protocol/byte-writer.ts';
import { Kind, StackOp } from '../../protocol/constants.ts';
import { applyAll, frame, randomFrom, type Write } from './harness.ts';

/** A machine that is told nothing of what comes. */
function unwarned(machine: StackMachine): StateMachine {
  return {
    name: machine.name,
    version: machine.version,
    apply: (bytes, start, end, out) => machine.apply(bytes, start, end, out),
    query: (...args) => machine.query(...args),
    snapshot: () => machine.snapshot(),
    restore: (chunks) => machine.restore(chunks),
  };
}

interface Told {
  readonly starts: number[][];
  readonly lookahead: Lookahead;
}

function listening(useful: boolean): Told {
  const starts: number[][] = [];
  const lookAhead = (_: Uint8Array, at: Int32Array, count: number): boolean => {
    starts.push([...at.subarray(0, count)]);
    return useful;
  };
  return { starts, lookahead: new Lookahead({ ...unwarned(new StackMachine()), lookAhead }) };
}

t.test('a machine that throws at what comes next applies it all the same', async (t) => {
  const lookAhead = (): boolean => {
    throw new Error('a bug of the application');
  };
  const state = new ReplicatedState({ ...unwarned(new StackMachine()), lookAhead });
  const pushes = [1, 2].map((value): Write => ({ kind: Kind.command, body: [StackOp.push, 's', value] }));
  t.same(
    applyAll(state, pushes).map(({ value }) => value),
    [1, 2],
  );
});

t.test('with a thousand stacks, knowing what comes changes no answer and no state', async (t) => {
  const dice = randomFrom(5);
  const plain = new ReplicatedState(unwarned(new StackMachine()));
  const warned = new ReplicatedState(new StackMachine());
  const names = Array.from(
    { length: 1000 },
    (_, i) => `${i % 7 === 0 ? 'a name with more than 31 bytes ' : 's'}${i}`,
  );
  const command = (): unknown => {
    const name = names[dice(names.length)];
    const roll = dice(100);
    if (roll < 55) return [StackOp.push, name, 'x'.repeat(dice(150))];
    if (roll < 85) return [StackOp.pop, name];
    if (roll < 90) return [StackOp.pushMany, name, [1, 2, 3]];
    if (roll < 94) return [StackOp.popMany, name, 2];
    // Some stacks go, and are made again, while others are announced.
    return roll < 97 ? [StackOp.drop, name] : [StackOp.create, name];
  };
  const batch = (): Write[] =>
    Array.from({ length: 1 + dice(100) }, () => {
      if (dice(40) === 0) return { body: Buffer.from([0x93, 1, 0xa0 | dice(32)]) };
      return dice(50) === 0 ? { kind: Kind.keepAlive } : { body: command() };
    });
  const start = names.map((name) => ({ body: [StackOp.push, name, 0] }));
  applyAll(plain, start);
  applyAll(warned, start);
  let differing = 0;
  for (let i = 0; i < 300; i++) {
    const writes = batch();
    const expected = JSON.stringify(applyAll(plain, writes));
    if (JSON.stringify(applyAll(warned, writes)) !== expected) differing++;
  }
  t.equal(differing, 0);
  t.equal(warned.hash(), plain.hash());
});

t.test('a machine is told of the commands, some at a time, and of nothing else', async (t) => {
  const { starts, lookahead } = listening(true);
  const frames = Array.from({ length: 100 }, (_, i) =>
    frame(i % 10 === 9 ? { kind: Kind.keepAlive, session: 1 } : { body: [StackOp.pop, `stack ${i}`] }),
  );
  const batch = Buffer.concat(frames);
  const expected: number[] = [];
  let at = 0;
  for (const [i, { length }] of frames.entries()) {
    if (i % 10 !== 9) expected.push(at + 32);
    at += length;
  }
  let calls = 0;
  for (let told = 0; told < batch.length; calls++)
    told = lookahead.look(batch, viewOf(batch), told, batch.length);
  t.ok(calls > 1);
  t.same(starts.flat(), expected);
});

t.test('a machine that has no use for it is not told of the rest', async (t) => {
  const batch = Buffer.concat(Array.from({ length: 100 }, () => frame({ body: [StackOp.pop, 'a'] })));
  t.equal(listening(false).lookahead.look(batch, viewOf(batch), 0, batch.length), Infinity);
  const none = new Lookahead(unwarned(new StackMachine()));
  t.equal(none.look(batch, viewOf(batch), 0, batch.length), Infinity);
  t.equal(new StackMachine().lookAhead(batch, new Int32Array([32]), 1), false, 'few stacks');
});

t.test('bytes that are no commands are looked at without harm', async (t) => {
  const machine = new StackMachine();
  const state = new ReplicatedState(machine);
  applyAll(
    state,
    Array.from({ length: 300 }, (_, i) => ({ body: encode([StackOp.create, `${i}`]) })),
  );
  const before = state.hash();
  const dice = randomFrom(9);
  const lookahead = new Lookahead(machine);
  for (let i = 0; i < 2000; i++) {
    const bytes = Buffer.from(Array.from({ length: dice(200) }, () => dice(256)));
    lookahead.look(bytes, viewOf(bytes), 0, bytes.length);
    machine.lookAhead(bytes, Int32Array.from([0, bytes.length - 1, bytes.length, 10]), 4);
  }
  t.equal(state.hash(), before);
});
