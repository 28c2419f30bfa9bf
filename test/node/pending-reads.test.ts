import t from 'tap';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { encodeQuery, encodeResponse, frameRequestId } from '../../protocol/client-codec.ts';
import { ReadLevel, Status } from '../../protocol/constants.ts';
import type { ReplicatedState } from '../../lib/machine/replicated-state.ts';
import { PendingReads } from '../../lib/node/pending-reads.ts';
import { Replies } from '../../lib/node/replies.ts';
import { systemRuntime } from '../../lib/node/runtime.ts';
import type { Sink } from '../../lib/node/sink.ts';

const QUERY_BYTES = 100;
const ANSWER_BYTES = 3 << 20;

/** Reads of a node, the questions nobody waits for any more, and the queries that were answered, in order. */
function setUp(): { reads: PendingReads; lost: number[]; answered: number[]; state: ReplicatedState } {
  const lost: number[] = [];
  const answered: number[] = [];
  const reads = new PendingReads(new Replies(), systemRuntime, (token) => lost.push(token));
  const state = {
    query: (bytes: Uint8Array, start: number, _end: number, out: ByteWriter) => {
      const id = frameRequestId(bytes, start);
      answered.push(id);
      encodeResponse(out, id, Status.ok, new Uint8Array(id >= 100 ? ANSWER_BYTES : 1));
    },
  } as unknown as ReplicatedState;
  return { reads, lost, answered, state };
}

function client(): Sink {
  return { out: new ByteWriter(64), flush: () => undefined };
}

/** A query; those with numbers from 100 up have large answers. */
function ask(reads: PendingReads, sink: Sink, id: number, nowMs = 0): void {
  const out = new ByteWriter(QUERY_BYTES);
  encodeQuery(out, id, ReadLevel.linearizable, new Uint8Array(QUERY_BYTES - 8 - 4));
  reads.add(out.buffer, 0, out.position, sink, nowMs);
}

t.test('clients that are gone do not count, whatever their reads waited for', async (t) => {
  const { reads, lost, answered, state } = setUp();
  const gone = client();
  ask(reads, gone, 1);
  reads.confirmed(reads.ask(), 7);
  ask(reads, gone, 2);
  const token = reads.ask();
  ask(reads, gone, 3);
  t.ok(reads.bytes > 0);
  reads.detach(gone);
  t.equal(reads.bytes, 0);
  t.equal(reads.ask(), 0, 'nobody asks');
  t.same(lost, [token]);
  reads.confirmed(token, 7);
  t.equal(reads.serve(state, 7), 'nothing');
  t.same(answered, []);
});

t.test('who shares a question with them is answered', async (t) => {
  const { reads, lost, answered, state } = setUp();
  const [gone, stays] = [client(), client()];
  ask(reads, gone, 1);
  const each = reads.bytes;
  ask(reads, stays, 2);
  ask(reads, gone, 3);
  const token = reads.ask();
  reads.detach(gone);
  reads.detach(gone);
  t.equal(reads.bytes, each);
  t.same(lost, []);
  reads.confirmed(token, 7);
  reads.serve(state, 7);
  t.same(answered, [2]);
  t.equal(reads.bytes, 0);
});

t.test('a client whose end shows while it is answered costs nothing afterwards', async (t) => {
  const { reads, answered, state } = setUp();
  const gone: Sink = {
    out: new ByteWriter(64),
    flush: () => {
      reads.detach(gone);
    },
  };
  const other = client();
  ask(reads, gone, 100);
  ask(reads, gone, 101);
  ask(reads, other, 1);
  reads.confirmed(reads.ask(), 7);
  ask(reads, gone, 102);
  reads.confirmed(reads.ask(), 7);
  t.equal(reads.serve(state, 7), 'nothing');
  t.same(answered, [100, 1]);
  t.equal(reads.bytes, 0);
});

t.test('full clients wait, and are served once they have room', async (t) => {
  const { reads, answered, state } = setUp();
  const slow = { ...client(), full: true };
  ask(reads, slow, 1);
  reads.confirmed(reads.ask(), 7);
  t.equal(reads.serve(state, 7), 'stalled');
  ask(reads, client(), 2);
  reads.confirmed(reads.ask(), 7);
  t.equal(reads.serve(state, 7), 'stalled');
  t.same(answered, [2]);
  slow.full = false;
  t.equal(reads.serve(state, 7), 'nothing');
  t.same(answered, [2, 1]);
  t.equal(reads.bytes, 0);
});

t.test(
  'a question without an answer is forgotten everywhere; one that has an index waits for it',
  async (t) => {
    const { reads, lost, answered, state } = setUp();
    const sink = client();
    ask(reads, sink, 1, 10);
    reads.confirmed(reads.ask(), 7);
    ask(reads, sink, 2, 20);
    const old = reads.ask();
    ask(reads, sink, 3, 30);
    const young = reads.ask();
    reads.expire(30);
    t.same(lost, [old]);
    t.equal(frameRequestId(sink.out.buffer, 0), 2, 'refused');
    reads.confirmed(young, 7);
    reads.serve(state, 6);
    t.same(answered, []);
    reads.serve(state, 7);
    t.same(answered, [1, 3]);
    t.equal(reads.bytes, 0);
  },
);
