import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { MAX_SCATTERED_REFUSALS } from '../../lib/machine/session-limits.ts';
import { Kind, Limits, Status, StackOp } from '../../protocol/constants.ts';
import type { Write } from './harness.ts';
import { applyAll, applyOne, keyed } from './harness.ts';
import { copyOf, fresh, open, pop, push, sizeOf } from './state-calls.ts';

const HOUR = 3_600_000;

t.test('a command under a session runs once and is answered the same each time', async (t) => {
  const state = fresh();
  const session = open(state);
  t.equal(session, 1);
  t.equal(open(state), 2);
  t.same(applyOne(state, push(session, 1, 'a')), { status: Status.ok, value: 1 });
  t.same(applyOne(state, push(session, 1, 'a')), { status: Status.ok, value: 1 });
  t.same(applyAll(state, [push(session, 2, 'b'), push(session, 2, 'b')]), [
    { status: Status.ok, value: 2 },
    { status: Status.ok, value: 2 },
  ]);
  t.same(applyOne(state, pop(session, 3)), { status: Status.ok, value: 'b' });
  t.same(applyOne(state, pop(session, 3)), { status: Status.ok, value: 'b' });
  t.equal(sizeOf(state), 1);
  t.same(applyOne(state, push(0, 0, 'x')).value, 2, 'without a session it runs each time');
  t.same(applyOne(state, push(0, 0, 'x')).value, 3);
});

t.test('refusals are answers too', async (t) => {
  const state = fresh();
  const session = open(state);
  t.equal(applyOne(state, pop(session, 1)).status, Status.notFound);
  applyOne(state, push(0, 0, 'x'));
  t.equal(applyOne(state, pop(session, 1)).status, Status.notFound, 'although there is something now');
  t.equal(applyOne(state, { session, seq: 2, body: 'rubbish' }).status, Status.badCommand);
  t.equal(applyOne(state, push(session, 2, 'y')).status, Status.badCommand);
  t.equal(sizeOf(state), 1);
});

t.test('window: answers are kept until the client says it has them', async (t) => {
  const state = fresh();
  const session = open(state);
  for (let seq = 1; seq <= 300; seq++) applyOne(state, push(session, seq, seq));
  t.same(applyOne(state, push(session, 1, 1)).value, 1);
  t.same(applyOne(state, push(session, 301, 301, 1)).value, 301);
  t.same(applyOne(state, push(session, 300, 300)).value, 300);
  t.same(applyOne(state, push(session, 299, 299)).status, Status.alreadyAcked);
  t.same(applyOne(state, push(session, 1, 1)).status, Status.alreadyAcked);
  t.equal(sizeOf(state), 301);
  t.same(applyOne(state, push(session, 310, 310, 5)).value, 302, 'gaps are legal');
  t.same(applyOne(state, push(session, 307, 307, 2)).value, 303, 'so is any order');
  t.same(applyOne(state, push(session, 310, 310, 5)).value, 302);
  t.same(applyOne(state, push(session, 305, 305, 0)).value, 304, 'and an older lowest does not go back');
  t.same(applyOne(state, push(session, 304, 304, 0)).status, Status.alreadyAcked);
  t.same(applyOne(state, { kind: Kind.keepAlive, session, seq: 311, window: 0 }).status, Status.ok);
  t.same(applyOne(state, push(session, 310, 310, 5)).status, Status.alreadyAcked);
});

t.test('sequence numbers far beyond 32 bits', async (t) => {
  const state = fresh();
  const session = open(state);
  const base = 2 ** 53 - 1000;
  for (let i = 0; i < 100; i++) t.equal(applyOne(state, push(session, base + i, i, 50)).value, i + 1);
  for (let i = 50; i < 100; i++) t.equal(applyOne(state, push(session, base + i, i, 0)).value, i + 1);
  const copy = await copyOf(state);
  t.equal(applyOne(copy, push(session, base + 99, 0, 0)).value, 100);
  t.equal(applyOne(state, push(session, 2 ** 53 - 1, 0, 0)).status, Status.malformed);
});

t.test('unknown and ended sessions never execute', async (t) => {
  const state = fresh();
  const session = open(state);
  t.equal(applyOne(state, push(99, 1, 'x')).status, Status.sessionExpired);
  t.equal(applyOne(state, push(2 ** 53 - 1, 1, 'x')).status, Status.sessionExpired);
  applyOne(state, push(session, 1, 'x'));
  t.equal(applyOne(state, { kind: Kind.closeSession, session }).status, Status.ok);
  t.equal(applyOne(state, { kind: Kind.closeSession, session }).status, Status.sessionExpired);
  t.equal(applyOne(state, push(session, 1, 'x')).status, Status.sessionExpired);
  t.equal(applyOne(state, push(session, 2, 'x')).status, Status.sessionExpired);
  t.equal(applyOne(state, { kind: Kind.keepAlive, session }).status, Status.sessionExpired);
  t.equal(sizeOf(state), 1);
  t.equal(open(state), 2, 'numbers are not used again');
  t.same(
    applyAll(state, [push(2, 1, 'a'), { kind: Kind.closeSession, session: 2 }, push(2, 2, 'b')]).map(
      (a) => a.status,
    ),
    [Status.ok, Status.ok, Status.sessionExpired],
    'also within one batch',
  );
});

t.test('sessions end by the clock of the cluster alone', async (t) => {
  const state = fresh();
  const usual = open(state);
  const short = open(state, { ttlMs: 5000 });
  applyOne(state, push(usual, 1, 'x'), 1000);
  applyOne(state, push(short, 1, 'x'), 1000);
  applyOne(state, push(0, 0, 'x'), 5999);
  t.equal(state.sessionCount, 2);
  t.equal(applyOne(state, push(short, 1, 'x'), 5999).value, 2);
  t.equal(applyOne(state, { kind: Kind.keepAlive, session: short }, 10_998).status, Status.ok);
  t.equal(applyOne(state, push(short, 1, 'x'), 15_997).value, 2);
  state.applyEmpty({ index: state.appliedIndex + 1, timeMs: 20_997 });
  t.equal(state.sessionCount, 1, 'an entry without commands moves the clock too');
  t.equal(applyOne(state, push(short, 1, 'x'), 0).status, Status.sessionExpired);
  t.equal(state.timeMs, 20_997, 'the clock does not go back');
  t.equal(applyOne(state, push(usual, 2, 'x'), HOUR + 999).status, Status.ok);
  t.equal(applyOne(state, push(usual, 3, 'x'), 2 * HOUR + 998).status, Status.ok);
  t.equal(applyOne(state, push(usual, 4, 'x'), 3 * HOUR + 998).status, Status.sessionExpired);
});

t.test('too many sessions: the one least recently used in the log ends', async (t) => {
  const state = fresh({ maxSessions: 3 });
  const [a, b, c] = [open(state), open(state, { ttlMs: 10 * HOUR }), open(state)] as const;
  applyOne(state, push(a, 1, 1));
  t.equal(open(state), 4);
  t.equal(applyOne(state, push(b, 1, 1)).status, Status.sessionExpired);
  t.equal(applyOne(state, push(c, 1, 1)).status, Status.ok);
  t.equal(open(state), 5);
  t.equal(applyOne(state, push(a, 2, 1)).status, Status.sessionExpired);
  t.equal(state.sessionCount, 3);
});

t.test('the same nonce gives the same session while it lives', async (t) => {
  const state = fresh();
  const first = open(state, { nonce: 'abc' });
  t.equal(open(state, { nonce: 'abc', ttlMs: 1 }), first);
  t.equal(open(state, { nonce: Uint8Array.of(1, 2) }), 2);
  t.equal(open(state, { nonce: null }), 3);
  const copy = await copyOf(state);
  t.equal(open(copy, { nonce: 'abc' }), first);
  applyOne(state, { kind: Kind.closeSession, session: first });
  t.equal(open(state, { nonce: 'abc' }), 4);
  t.equal(
    applyOne(state, { kind: Kind.openSession, body: { nonce: 'x'.repeat(99) } }).status,
    Status.malformed,
  );
  t.equal(applyOne(state, { kind: Kind.openSession, body: { ttlMs: -1 } }).status, Status.malformed);
  t.equal(applyOne(state, { kind: Kind.openSession, body: [1] }).status, Status.malformed);
  t.equal(applyOne(state, { kind: Kind.openSession, body: { later: [1], nonce: 'abc' } }).value, 4);
});

t.test('a full session refuses, and refuses the same commands for ever', async (t) => {
  const limits = { maxSessionBytes: 1000 };
  const state = fresh(limits);
  const session = open(state);
  applyOne(state, { body: [StackOp.pushMany, 's', new Array(10).fill('x'.repeat(400))] });
  t.equal(applyOne(state, pop(session, 1)).status, Status.ok);
  t.equal(applyOne(state, pop(session, 2)).status, Status.ok);
  t.equal(applyOne(state, pop(session, 3)).status, Status.ok);
  t.equal(applyOne(state, pop(session, 4)).status, Status.sessionFull);
  t.equal(applyOne(state, pop(session, 9)).status, Status.sessionFull);
  t.equal(applyOne(state, { ...pop(session, 10), window: 7 }).status, Status.ok, 'room again');
  for (const replica of [state, await copyOf(state, limits)]) {
    t.equal(applyOne(replica, pop(session, 4)).status, Status.sessionFull);
    t.equal(applyOne(replica, pop(session, 9)).status, Status.sessionFull);
    t.equal(applyOne(replica, pop(session, 3)).status, Status.ok);
    t.equal(sizeOf(replica), 6);
  }
});

t.test('a window beyond the limit is refused, bounded in memory, and for ever', async (t) => {
  const state = fresh();
  const session = open(state);
  t.equal(applyOne(state, push(session, 1, 'x', 0)).status, Status.ok);
  t.equal(applyOne(state, push(session, 65_536, 'x', 65_535)).status, Status.ok);
  t.equal(applyOne(state, push(session, 65_537, 'x', 65_536)).status, Status.sessionFull);
  t.equal(
    applyOne(state, push(session, 65_537, 'x', 10)).status,
    Status.sessionFull,
    'also with a legal window',
  );
  t.equal((await copyOf(state)).hash(), state.hash());
  t.equal(applyOne(state, push(session, 65_538, 'x', 10)).status, Status.ok);
  for (let i = 0; i < 5000; i++) applyOne(state, push(session, 200_000 + i * 2, 'x', 150_000 + i * 2));
  t.equal(
    applyOne(state, push(session, 65_538, 'x', 10)).status,
    Status.sessionExpired,
    'a client that goes on and on loses its session',
  );
  t.equal(sizeOf(state), 3);
});

t.test('sessions together hold a bounded number of bytes', async (t) => {
  const state = fresh({ maxAnswerBytes: 100_000 });
  applyOne(state, { body: [StackOp.pushMany, 's', new Array(400).fill('x'.repeat(1000))] });
  const greedy = open(state);
  let full = 0;
  for (let seq = 1; seq <= 200; seq++)
    if (applyOne(state, pop(greedy, seq)).status === Status.sessionFull) full++;
  t.ok(full > 90);
  const modest = open(state);
  t.equal(applyOne(state, pop(modest, 1)).status, Status.ok, 'others still have their share');
  applyOne(state, { kind: Kind.keepAlive, session: greedy, seq: 201, window: 0 });
  t.equal(applyOne(state, { ...pop(greedy, 201), window: 0 }).status, Status.ok);
});

t.test('idempotency keys', async (t) => {
  const limits = { maxKeys: 3, keyTtlMs: 1000 };
  const state = fresh(limits);
  const a = keyed('key a', [StackOp.push, 's', 'x']);
  t.same(applyOne(state, a), { status: Status.ok, value: 1 });
  t.same(applyOne(state, a), { status: Status.ok, value: 1 });
  t.same(applyOne(state, keyed('key a', [StackOp.push, 's', 'y'])), {
    status: Status.keyReused,
    value: null,
  });
  t.same(applyOne(state, keyed('key b', [StackOp.pop, 's'])), { status: Status.ok, value: 'x' });
  t.same(applyOne(await copyOf(state), keyed('key b', [StackOp.pop, 's'])), {
    status: Status.ok,
    value: 'x',
  });
  applyOne(state, keyed('key c', [StackOp.push, 's', 1]), 500);
  applyOne(state, keyed('key d', [StackOp.push, 's', 2]), 500);
  t.equal(applyOne(state, a, 500).value, 3, 'the oldest has been forgotten');
  const copy = await copyOf(state, limits);
  t.equal(applyOne(copy, keyed('key d', [StackOp.push, 's', 2]), 1499).value, 2);
  t.equal(applyOne(copy, keyed('key d', [StackOp.push, 's', 2]), 1500).value, 4, 'and the others in time');
  const small = fresh({ maxKeyBytes: 1000 });
  for (let i = 0; i < 20; i++) applyOne(small, keyed(`k${i}`, [StackOp.push, 's', i]));
  t.equal(applyOne(small, keyed('k19', [StackOp.push, 's', 19])).value, 20);
  t.equal(applyOne(small, keyed('k1', [StackOp.push, 's', 1])).value, 21);
  for (const body of [Uint8Array.of(), Uint8Array.of(0, 0), Uint8Array.of(5, 0, 1), Uint8Array.of(0, 1, 1)]) {
    t.equal(applyOne(small, { kind: Kind.keyedCommand, body }).status, Status.malformed);
  }
  t.equal(applyOne(small, { ...a, session: 1 }).status, Status.malformed);
});

t.test('a session never holds more than a snapshot of it can', async (t) => {
  const state = fresh();
  const session = open(state);
  const size = Limits.maxSessionWindow;
  const unanswered = (seq: number): Write => ({ session, seq, window: Math.min(seq - 1, size) });
  for (let seq = 1; seq <= size;) {
    applyAll(
      state,
      Array.from({ length: 4096 }, () => unanswered(seq++)),
    );
  }
  t.equal(applyOne(state, unanswered(size + 1)).status, Status.sessionFull);
  const copy = await copyOf(state);
  t.equal(copy.hash(), state.hash());
  t.equal(applyOne(copy, unanswered(size + 1)).status, Status.sessionFull, 'and stays refused');
});

t.test('a session that ends within a batch runs nothing more of it', async (t) => {
  const state = fresh({ maxSessionBytes: 1 });
  const session = open(state);
  applyOne(state, push(session, 1, 'x'));
  const refused = Array.from({ length: MAX_SCATTERED_REFUSALS + 1 }, (_, i) =>
    push(session, 10 + i, 'y', 9 + i),
  );
  const last = push(session, 9_000, 'z', 1);
  const answers = applyAll(state, [...refused, last]);
  t.equal(answers.at(-2)!.status, Status.sessionFull);
  t.equal(answers.at(-1)!.status, Status.sessionExpired);
  t.equal(sizeOf(state), 1);
  t.equal((await copyOf(state, { maxSessionBytes: 1 })).hash(), state.hash());
});

t.test('a session against the definition: executed once, answered alike, forgotten when told', async () => {
  const step = fc.record({ ahead: fc.integer({ min: -40, max: 6 }), kept: fc.nat(30), kind: fc.nat(9) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const state = fresh();
      const session = open(state);
      const answers = new Map<number, string>();
      let low = 1;
      let next = 1;
      let executed = 0;
      for (const { ahead, kept, kind } of steps) {
        const seq = Math.max(1, next + ahead);
        const window = Math.min(kept, seq - 1);
        if (kind === 0) {
          applyOne(state, { kind: Kind.keepAlive, session, seq, window });
          low = Math.max(low, seq - window);
          continue;
        }
        const { status, value } = applyOne(state, push(session, seq, 'x'.repeat(kept * kept), window));
        low = Math.max(low, seq - window);
        next = Math.max(next, seq + 1);
        if (seq < low) assert.equal(status, Status.alreadyAcked);
        else if (answers.has(seq)) assert.equal(`${status} ${String(value)}`, answers.get(seq));
        else {
          executed++;
          assert.equal(status, Status.ok);
          assert.equal(value, executed);
          answers.set(seq, `${status} ${String(value)}`);
        }
      }
      assert.equal(sizeOf(state) ?? 0, executed);
    }),
    { numRuns: 150 },
  );
});
