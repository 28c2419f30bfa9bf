import assert from 'node:assert/strict';
import t from 'tap';
import type { ReplyRun } from '../../lib/machine/response-frame.ts';
import { ReplicatedState } from '../../lib/machine/replicated-state.ts';
import { StackMachine } from '../../lib/machine/stack-machine.ts';
import type { SessionLimits } from '../../lib/machine/session-limits.ts';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { Kind, Status, StackOp } from '../../protocol/constants.ts';
import type { Write } from './harness.ts';
import { applyAll, applyOne, chunked, collect, frame, keyed, randomFrom, responses } from './harness.ts';
import { copyOf, fresh, open, pop, push, sizeOf } from './state-calls.ts';

t.test('frames that cannot be are answers, and the next ones are not disturbed', async (t) => {
  const state = fresh();
  const session = open(state);
  const answers = applyAll(state, [
    { kind: 0x1f },
    { kind: Kind.query, body: [StackOp.size, 's'] },
    push(session, 0, 'x'),
    { kind: Kind.keepAlive },
    { kind: Kind.openSession, session },
    push(session, 1, 'x'),
  ]);
  t.same(
    answers.map((a) => a.status),
    [...new Array(5).fill(Status.malformed), Status.ok],
  );
});

t.test('a batch that is no sequence of frames stops the node', async (t) => {
  const good = frame(push(0, 0, 'x'));
  for (const bad of [good.subarray(0, -1), good.subarray(0, 20), Buffer.alloc(40), Buffer.alloc(40, 255)]) {
    const state = fresh();
    const batch = Buffer.concat([good, bad]);
    const apply = (): void => state.applyBatch(batch, 0, batch.length, { index: 1, timeMs: 0 }, []);
    t.throws(apply, { code: 'MACHINE_FAILED' });
    t.throws(() => state.applyEmpty({ index: 2, timeMs: 0 }), { code: 'MACHINE_FAILED' });
    t.throws(() => state.snapshot(), { code: 'MACHINE_FAILED' });
    t.throws(() => sizeOf(state), { code: 'MACHINE_FAILED' });
  }
});

t.test('entries out of order stop the node', async (t) => {
  for (const index of [0, 1, 3]) {
    const state = fresh();
    state.applyEmpty({ index: 1, timeMs: 0 });
    t.throws(() => state.applyEmpty({ index, timeMs: 0 }), { code: 'MACHINE_FAILED' });
  }
});

t.test('answers go where their run says, and nowhere else', async (t) => {
  const state = fresh();
  const frames = [0, 1, 2, 3, 4, 5].map((i) => frame({ ...push(0, 0, i), requestId: i }));
  const ends = frames.map((_, i) => Buffer.concat(frames.slice(0, i + 1)).length);
  const batch = Buffer.concat([Buffer.alloc(13), ...frames, Buffer.alloc(5)]);
  const [a, b] = [new ByteWriter(1), new ByteWriter(1)] as const;
  a.u8(0xaa);
  const runs: ReplyRun[] = [
    { end: ends[1]!, out: a },
    { end: ends[2]!, out: null },
    { end: ends[2]!, out: b },
    { end: ends[3]!, out: b },
    { end: ends[4]!, out: a },
  ];
  state.applyBatch(batch, 13, batch.length - 5, { index: 1, timeMs: 0 }, runs);
  t.equal(a.buffer[0], 0xaa, 'what was written before stays');
  t.same(
    responses(a.take().subarray(1)).map((r) => [r.requestId, r.value]),
    [
      [0, 1],
      [1, 2],
      [4, 5],
    ],
  );
  t.same(
    responses(b.take()).map((r) => [r.requestId, r.value]),
    [[3, 4]],
  );
});

t.test('half an answer never leaves', async (t) => {
  const machine = new StackMachine();
  let calls = 0;
  machine.apply = (_bytes, _start, _end, out) => {
    out.u8(0x07);
    if (++calls === 3) throw new Error('full');
    return Status.ok;
  };
  const state = new ReplicatedState(machine);
  const out = new ByteWriter(64);
  applyOne(state, push(0, 0, 'x'));
  const frames = [1, 2, 3].map((requestId) => frame({ ...push(0, 0, 'x'), requestId }));
  const batch = Buffer.concat(frames);
  const ends = frames.map((_, i) => Buffer.concat(frames.slice(0, i + 1)).length);
  const other = new ByteWriter(64);
  const runs: ReplyRun[] = [
    { end: ends[1]!, out },
    { end: ends[2]!, out: other },
  ];
  t.throws(() => state.applyBatch(batch, 0, batch.length, { index: 2, timeMs: 0 }, runs), {
    code: 'MACHINE_FAILED',
  });
  t.same(
    responses(out.take()).map(({ requestId, status }) => [requestId, status]),
    [
      [1, Status.ok],
      [2, Status.unknown],
    ],
  );
  t.same(
    responses(other.take()).map(({ requestId, status }) => [requestId, status]),
    [[3, Status.unknown]],
  );
});

/** A run of entries as a cluster with restless clients might have it. */
function randomEntries(seed: number, entries: number): { writes: Write[]; timeMs: number }[] {
  const random = randomFrom(seed);
  const sessions = [1, 2, 3, 4, 5, 6].map((id) => ({ id, next: 1, low: 1 }));
  let timeMs = 0;
  return Array.from({ length: entries }, () => {
    timeMs += random(10) === 0 ? random(4000) : random(3);
    const writes = Array.from({ length: random(12) }, (): Write => {
      const s = sessions[random(sessions.length)]!;
      const dice = random(40);
      if (dice === 0) return { kind: Kind.openSession, body: { ttlMs: 1000 * random(8), nonce: random(12) } };
      if (dice === 1 && random(4) === 0) return { kind: Kind.closeSession, session: s.id };
      if (dice === 2) {
        // Clients go on under sessions that may have ended, and new ones come up.
        s.id += 6;
        s.next = s.low = 1;
      }
      if (dice < 6) return keyed(`key ${random(15)}`, [StackOp.push, 's', random(3)]);
      if (dice < 8) return { body: [StackOp.push, 't', 'x'.repeat(random(100))] };
      s.low = Math.max(s.low, s.next - random(20));
      // New, or again, or ahead of its time.
      const seq =
        random(3) === 0 ? Math.max(1, s.next - random(15)) : s.next + (random(9) === 0 ? random(4) : 0);
      s.next = Math.max(s.next, seq + 1);
      const body = random(2) ? [StackOp.push, 's', `v${seq}`.repeat(random(9) + 1)] : [StackOp.pop, 's'];
      return { session: s.id, seq, window: Math.max(0, seq - s.low), body };
    });
    return { writes, timeMs };
  });
}

const tight: Partial<SessionLimits> = { maxSessions: 8, maxSessionBytes: 25, maxKeys: 6, keyTtlMs: 9000 };

for (const seed of [1, 2, 3, 4]) {
  t.test(`replicas are equal, whoever reads and whenever they restarted, seed ${seed}`, async (t) => {
    const random = randomFrom(seed + 1000);
    const leader = fresh(tight);
    const follower = fresh(tight);
    let restarting = fresh(tight);
    const seen = new Map<string, string>();
    const statuses = new Set<number>();
    let view: { hash: string; bytes: Buffer[]; chunks: Iterator<Uint8Array>; release(): void } | undefined;
    for (const { writes, timeMs } of randomEntries(seed, 1500)) {
      const meta = { index: leader.appliedIndex + 1, timeMs };
      const batch = Buffer.concat(writes.map(frame));
      const outs = [new ByteWriter(64), new ByteWriter(64)];
      const runs: ReplyRun[] = [];
      let end = 0;
      for (const write of writes) {
        end += frame(write).length;
        if (random(3) === 0) runs.push({ end, out: outs[random(3)] ?? null });
      }
      leader.applyBatch(batch, 0, batch.length, meta, [{ end: batch.length, out: outs[0]! }]);
      const answers = responses(outs[0]!.take());
      follower.applyBatch(Buffer.concat([Buffer.alloc(3), batch]), 3, batch.length + 3, meta, []);
      restarting.applyBatch(batch, 0, batch.length, meta, runs);
      for (const [i, { status, value }] of answers.entries()) {
        statuses.add(status);
        const { session, seq } = writes[i]!;
        // What a session was told once it is told for ever, until it has said it heard it or has ended.
        if (
          session === undefined ||
          !seq ||
          status === Status.sessionExpired ||
          status === Status.alreadyAcked
        )
          continue;
        const answer = JSON.stringify([status, value]);
        assert.equal(seen.get(`${session} ${seq}`) ?? answer, answer);
        seen.set(`${session} ${seq}`, answer);
      }
      if (random(25) === 0) restarting = await copyOf(restarting, tight);
      if (random(100) === 0) {
        const hash = leader.hash();
        assert.equal(follower.hash(), hash);
        assert.equal(restarting.hash(), hash);
      }
      if (view === undefined && random(10) === 0) {
        const hash = leader.hash();
        const v = leader.snapshot();
        view = { hash, bytes: [], chunks: v.chunks()[Symbol.iterator](), release: () => v.release() };
      } else if (view !== undefined && random(4) === 0) {
        const next = view.chunks.next();
        if (next.done !== true) view.bytes.push(Buffer.from(next.value));
        else {
          view.release();
          const then = fresh(tight);
          await then.restore(chunked(Buffer.concat(view.bytes), 777));
          assert.equal(then.hash(), view.hash, 'a view shows the moment it was taken');
          view = undefined;
        }
      }
    }
    view?.release();
    t.equal(follower.hash(), leader.hash());
    t.equal(restarting.hash(), leader.hash());
    for (const status of [
      Status.ok,
      Status.sessionExpired,
      Status.alreadyAcked,
      Status.sessionFull,
      Status.keyReused,
    ]) {
      t.ok(statuses.has(status), `status ${status} came up`);
    }
  });
}

t.test('many answers at once come back byte for byte, in any order', async () => {
  const state = fresh();
  const session = open(state);
  const random = randomFrom(11);
  const values = Array.from({ length: 3000 }, () => Buffer.alloc(random(400), random(256)));
  applyOne(state, { body: [StackOp.pushMany, 's', values] });
  const order = values.map((_, i) => i + 1).sort(() => random(3) - 1);
  const first = new Map<number, unknown>();
  for (const seq of order)
    first.set(seq, applyOne(state, { ...pop(session, seq), window: Math.min(seq - 1, 2999) }).value);
  for (const replica of [state, await copyOf(state)]) {
    for (const seq of order)
      assert.deepEqual(applyOne(replica, { ...pop(session, seq), window: seq - 1 }).value, first.get(seq));
  }
});

t.test('thousands of sessions, in step with a snapshot', async (t) => {
  const state = fresh();
  for (let i = 0; i < 2000; i++) open(state);
  for (let id = 1; id <= 2000; id++) applyOne(state, push(id, 1, id));
  const hash = state.hash();
  const view = state.snapshot();
  for (let id = 1; id <= 2000; id += 2) applyOne(state, pop(id, 2));
  for (let id = 1; id <= 100; id++) applyOne(state, { kind: Kind.closeSession, session: id });
  const then = fresh();
  await then.restore(chunked(collect(view)));
  t.equal(then.hash(), hash);
  t.not(state.hash(), hash);
  t.equal(then.sessionCount, 2000);
});

t.test('batches in shared memory, where the log keeps them', async (t) => {
  const batch = Buffer.concat(
    [
      { kind: Kind.openSession, body: { nonce: 'n', ttlMs: 1000 } },
      { session: 1, seq: 1, body: [StackOp.push, 'süß', 'x'.repeat(100)] },
      { session: 1, seq: 2, body: [StackOp.push, 'süß', 'y'.repeat(1000)] },
      { session: 1, seq: 3, body: [StackOp.pop, 'süß'] },
      { session: 1, seq: 4, body: [StackOp.pop, 'not thére'] },
      keyed('key', [StackOp.push, 's', 1]),
    ].map(frame),
  );
  const usual = fresh();
  usual.applyBatch(batch, 0, batch.length, { index: 1, timeMs: 0 }, []);
  const shared = new Uint8Array(new SharedArrayBuffer(batch.length + 9), 5);
  shared.set(batch, 2);
  for (const bytes of [shared, Buffer.from(shared.buffer, shared.byteOffset, shared.length)]) {
    const state = fresh();
    state.applyBatch(bytes, 2, 2 + batch.length, { index: 1, timeMs: 0 }, []);
    t.equal(state.hash(), usual.hash());
  }
});
