import fc from 'fast-check';
import t from 'tap';

import { ByteWriter } from '../../protocol/byte-writer.ts';
import * as codec from '../../protocol/client-codec.ts';
import { CLIENT_MAGIC, Kind, Limits, PEER_MAGIC, Status } from '../../protocol/constants.ts';
import { nextFrameEnd } from '../../protocol/frame-splitter.ts';
import { decodeValue, encodeValue } from '../../protocol/msgpack.ts';
import { safe } from './arbitraries.ts';

function written(write: (out: ByteWriter) => void): Uint8Array {
  const out = new ByteWriter(16);
  write(out);
  return new Uint8Array(out.take());
}

const requestId = fc.integer({ min: 0, max: 0xffffffff });
const body = fc.uint8Array({ maxLength: 100 });

t.test('write frames come back as they were, among others', async (t) => {
  fc.assert(
    fc.property(
      requestId,
      safe(1),
      safe(1),
      fc.nat(Limits.maxSessionWindow),
      body,
      fc.nat(50),
      (id, session, seq, w, bytes, at) => {
        const window = Math.min(w, seq - 1);
        const frame = written((out) => {
          out.bytes(new Uint8Array(at));
          codec.encodeCommand(out, id, session, seq, window, bytes);
          codec.encodePing(out, 1);
        });
        const end = nextFrameEnd(frame, at, frame.length, 1 << 20);
        t.equal(end, at + 32 + bytes.length);
        t.equal(codec.frameKind(frame, at), Kind.command);
        t.equal(codec.frameRequestId(frame, at), id);
        t.equal(codec.writeSession(frame, at), session);
        t.equal(codec.writeSeq(frame, at), seq);
        t.equal(codec.writeWindow(frame, at), window);
        t.same(frame.subarray(at + 32, end), bytes);
        t.equal(codec.checkWriteFrame(frame, at, end), Status.ok);
        t.equal(codec.checkReadFrame(frame, end, frame.length), Status.ok);
      },
    ),
  );
});

t.test('every frame a client may send passes', async (t) => {
  const key = Buffer.from('k'.repeat(255));
  for (const write of [
    (out: ByteWriter) => codec.encodeCommand(out, 1, 0, 0, 0, Uint8Array.of(0x90)),
    (out: ByteWriter) => codec.encodeOpenSession(out, 1, { ttlMs: 5, nonce: 6 }),
    (out: ByteWriter) => codec.encodeOpenSession(out, 1),
    (out: ByteWriter) => codec.encodeCloseSession(out, 1, 9),
    (out: ByteWriter) => codec.encodeKeepAlive(out, 1, 9),
    (out: ByteWriter) => codec.encodeKeyedCommand(out, 1, key, Uint8Array.of(0x90)),
  ]) {
    const frame = written(write);
    t.ok(codec.isWriteKind(codec.frameKind(frame, 0)));
    t.equal(codec.checkWriteFrame(frame, 0, frame.length), Status.ok);
  }
  for (const write of [
    (out: ByteWriter) => codec.encodeQuery(out, 1, 3, Uint8Array.of(0x90)),
    (out: ByteWriter) => codec.encodePing(out, 1),
    (out: ByteWriter) => codec.encodeStatusRequest(out, 1),
  ]) {
    const frame = written(write);
    t.notOk(codec.isWriteKind(codec.frameKind(frame, 0)));
    t.equal(codec.checkReadFrame(frame, 0, frame.length), Status.ok);
  }
});

t.test('fields that cannot be are told before anything is replicated', async (t) => {
  const command = (session: number, seq: number, window: number): Uint8Array =>
    written((out) => codec.endFrame(out, codec.beginWrite(out, Kind.command, 1, session, seq, window)));
  const change = (frame: Uint8Array, at: number, byte: number): Uint8Array => {
    frame[at] = byte;
    return frame;
  };
  const check = (frame: Uint8Array): number => codec.checkWriteFrame(frame, 0, frame.length);
  t.equal(check(command(1, 1, 0)), Status.ok);
  t.equal(check(command(1, 0, 0)), Status.malformed, 'sequence numbers begin at 1');
  t.equal(check(command(0, 1, 0)), Status.malformed, 'no session, no number');
  t.equal(check(command(1, 5, 5)), Status.malformed, 'a window cannot reach below 1');
  t.equal(check(command(1, 1e9, Limits.maxSessionWindow + 1)), Status.malformed);
  t.equal(check(change(command(1, 1, 0), 22, 0x20)), Status.malformed, 'a session above 2^53 − 1');
  t.equal(check(change(command(1, 1, 0), 5, 1)), Status.malformed, 'flags');
  t.equal(check(change(command(1, 1, 0), 7, 1)), Status.malformed, 'reserved');
  t.equal(check(change(command(1, 1, 0), 4, 0x1f)), Status.unsupported);
  t.equal(check(command(1, 1, 0).subarray(0, 31)), Status.malformed);
  t.equal(check(change(command(1, 0, 0), 4, Kind.keepAlive)), Status.ok);
  t.equal(check(change(command(1, 9, 9), 4, Kind.keepAlive)), Status.ok, 'everything is unanswered');
  t.equal(check(change(command(1, 9, 10), 4, Kind.keepAlive)), Status.malformed);
  t.equal(check(change(command(0, 0, 0), 4, Kind.keepAlive)), Status.malformed);
  t.equal(check(change(command(1, 1, 0), 4, Kind.closeSession)), Status.malformed);
  t.equal(check(change(command(1, 1, 0), 4, Kind.openSession)), Status.malformed);
  for (const body of [[], [1], [0, 0], [0, 1], [5, 0, 1, 2, 3, 4]]) {
    const keyed = written((out) => {
      const start = codec.beginWrite(out, Kind.keyedCommand, 1);
      out.bytes(Uint8Array.from(body));
      codec.endFrame(out, start);
    });
    t.equal(check(keyed), Status.malformed, `key of body ${body.join()}`);
  }
  const query = written((out) => codec.encodeQuery(out, 1, 0, new Uint8Array(0)));
  t.equal(codec.checkReadFrame(change(query, 5, 4), 0, 12), Status.unsupported);
  t.equal(codec.checkReadFrame(change(query, 6, 1), 0, 12), Status.malformed);
  t.throws(() => written((out) => codec.encodeKeyedCommand(out, 1, new Uint8Array(0), query)), RangeError);
  t.throws(() => written((out) => codec.encodeKeyedCommand(out, 1, new Uint8Array(256), query)), RangeError);
});

t.test('any bytes have a status', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      t.ok(
        [Status.ok, Status.malformed, Status.unsupported].includes(
          codec.checkWriteFrame(bytes, 0, bytes.length) as 0,
        ),
      );
      t.ok(
        [Status.ok, Status.malformed, Status.unsupported].includes(
          codec.checkReadFrame(bytes, 0, bytes.length) as 0,
        ),
      );
    }),
    { numRuns: 1000 },
  );
});

t.test('what a node says comes back as it was', async (t) => {
  const leaders = fc.option(fc.record({ id: safe(1), address: fc.string({ maxLength: 30 }) }));
  const welcomes = fc.record({
    version: fc.constant(1),
    clusterId: fc.string(),
    nodeId: safe(1),
    leader: leaders,
    maxFrameBytes: safe(1),
    maxWindow: safe(1),
  });
  fc.assert(
    fc.property(welcomes, fc.string(), requestId, body, (welcome, message, id, bytes) => {
      const hello = written((out) => codec.encodeWelcome(out, welcome));
      t.same(codec.decodeWelcome(hello, 0, hello.length), welcome);
      const leader = written((out) => codec.encodeLeader(out, welcome.leader));
      t.same(codec.decodeLeader(leader, 0, leader.length), welcome.leader);
      const error = written((out) => codec.encodeError(out, 'CODE', message));
      t.same(codec.decodeErrorBody(error, 0, error.length), { code: 'CODE', message });
      const response = written((out) => codec.encodeResponse(out, id, Status.empty, bytes));
      t.equal(codec.frameRequestId(response, 0), id);
      t.equal(codec.frameFlags(response, 0), Status.empty);
      t.same(response.subarray(12), bytes);
      const failed = written((out) => codec.encodeErrorResponse(out, id, Status.busy, 'BUSY', message));
      t.same(decodeValue(failed, 12), { code: 'BUSY', message });
    }),
  );
  t.match(codec.decodeErrorBody(Uint8Array.of(0, 0, 0, 0), 0, 4), { code: 'PROTOCOL_ERROR' }, 'never throws');
  const answers: [Uint8Array, string][] = [
    [encodeValue('the reason'), 'the reason'],
    [encodeValue(null), ''],
    [new Uint8Array(0), ''],
  ];
  for (const [body, message] of answers) {
    const frame = written((out) => codec.encodeResponse(out, 1, Status.limit, body));
    t.same(codec.decodeErrorBody(frame, 0, frame.length), { code: 'LIMIT', message });
  }
  const wild = written((out) => codec.encodeResponse(out, 1, Status.limit, Uint8Array.of(0xc1)));
  t.match(codec.decodeErrorBody(wild, 0, wild.length), { code: 'LIMIT', message: /cannot be read/ });
  t.throws(() => codec.decodeWelcome(new Uint8Array(20), 0, 20), { code: 'PROTOCOL_ERROR' });
});

t.test('versions: the highest both speak, or a clear no', async (t) => {
  t.equal(codec.negotiateVersion(codec.encodePreamble(), 0), 1);
  t.equal(codec.negotiateVersion(codec.encodePreamble(CLIENT_MAGIC, 1, 9), 0), 1);
  t.throws(() => codec.negotiateVersion(codec.encodePreamble(CLIENT_MAGIC, 2, 9), 0), {
    code: 'INCOMPATIBLE_VERSION',
  });
  t.throws(() => codec.negotiateVersion(codec.encodePreamble(CLIENT_MAGIC, 3, 2), 0), {
    code: 'PROTOCOL_ERROR',
  });
  t.throws(() => codec.negotiateVersion(codec.encodePreamble(PEER_MAGIC), 0), { code: 'PROTOCOL_ERROR' });
  t.equal(codec.negotiateVersion(codec.encodePreamble(PEER_MAGIC), 0, PEER_MAGIC), 1);
});
