import fc from 'fast-check';
import t from 'tap';

import { ByteWriter } from '../../protocol/byte-writer.ts';
import { Lane, PREAMBLE_BYTES } from '../../protocol/constants.ts';
import { encodeConfig } from '../../protocol/config-codec.ts';
import {
  decodeHello,
  decodePeerWelcome,
  decodeRefused,
  encodeHello,
  encodePeerWelcome,
  encodeRefused,
  MAX_HANDSHAKE_BYTES,
} from '../../protocol/peer-handshake.ts';
import {
  CHUNK_HEADER_BYTES,
  decodeForward,
  decodeSnapshotAck,
  decodeSnapshotBegin,
  decodeSnapshotChunk,
  encodeForward,
  encodeForwardReply,
  encodeSnapshotAck,
  encodeSnapshotBegin,
  encodeSnapshotChunk,
  FORWARD_HEADER_BYTES,
} from '../../protocol/peer-transfer.ts';
import { configs, damaged, safe } from './arbitraries.ts';

function written(write: (out: ByteWriter) => void): Uint8Array {
  const out = new ByteWriter(16);
  write(out);
  return new Uint8Array(out.take());
}

const token = fc.integer({ min: 0, max: 0xffffffff });
const digest = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) => Buffer.from(bytes).toString('hex'));

const manifests = fc
  .record({ leaderTerm: safe(1), index: safe(1), term: safe(1), config: configs, sizeBytes: safe(0), digest })
  .map(({ index, term, config, ...rest }) => ({
    ...rest,
    meta: { index, term, config, configIndex: index - 1 },
  }));
const chunks = fc.record({ leaderTerm: safe(1), index: safe(1), term: safe(1), offset: safe(0) });
const acks = fc.record({
  currentTerm: safe(0),
  index: safe(1),
  term: safe(1),
  nextOffset: safe(0),
  status: fc.constantFrom<(0 | 1 | 2 | 3)[]>(0, 1, 2, 3),
});

t.test('forwarded runs and snapshots come back as they were', async (t) => {
  fc.assert(
    fc.property(
      token,
      fc.uint8Array({ maxLength: 300 }),
      manifests,
      chunks,
      acks,
      (number, bytes, manifest, chunk, ack) => {
        for (const encode of [encodeForward, encodeForwardReply]) {
          const frame = written((out) => encode(out, number, bytes));
          t.equal(decodeForward(frame, 0, frame.length), number);
          t.same(frame.subarray(FORWARD_HEADER_BYTES), bytes);
        }
        const begin = written((out) => encodeSnapshotBegin(out, manifest));
        t.same(decodeSnapshotBegin(begin, 0, begin.length), manifest);
        const piece = written((out) => encodeSnapshotChunk(out, chunk, bytes));
        t.same(decodeSnapshotChunk(piece, 0, piece.length), chunk);
        t.same(piece.subarray(CHUNK_HEADER_BYTES), bytes);
        const answer = written((out) => encodeSnapshotAck(out, ack));
        t.same(decodeSnapshotAck(answer, 0, answer.length), ack);
      },
    ),
  );
});

const introduction = {
  clusterId: 'wood',
  from: 1,
  to: 2,
  incarnation: 'abc',
  clientAddress: 'h:1',
  maxFrameBytes: 100,
  features: ['x'],
};

t.test('handshakes come back as they were; fields to come are ignored', async (t) => {
  const hello = encodeHello({ ...introduction, lane: Lane.data });
  t.same(decodeHello(hello, PREAMBLE_BYTES, hello.length), { ...introduction, lane: Lane.data });
  const welcome = encodePeerWelcome({ ...introduction, version: 1, future: true } as typeof introduction & {
    version: number;
  });
  t.same(decodePeerWelcome(welcome, 0, welcome.length), { ...introduction, version: 1 });
  const refused = encodeRefused({ code: 'NO', message: 'never' });
  t.same(decodeRefused(refused, 0, refused.length), { code: 'NO', message: 'never' });
  t.ok(hello.length < MAX_HANDSHAKE_BYTES);
  t.throws(() => decodeHello(welcome, 0, welcome.length), { code: 'PROTOCOL_ERROR' });
  for (const wrong of [
    { lane: 3 },
    { from: -1 },
    { clusterId: 7 },
    { features: 'x' },
    { incarnation: 'y'.repeat(200) },
  ]) {
    const bytes = encodeHello({ ...introduction, lane: Lane.data, ...wrong } as Parameters<
      typeof encodeHello
    >[0]);
    t.throws(() => decodeHello(bytes, PREAMBLE_BYTES, bytes.length), { code: 'PROTOCOL_ERROR' });
  }
});

t.test('damage is a CordwoodError, whatever the frame', async (t) => {
  const frames: [Uint8Array, (bytes: Uint8Array) => unknown][] = [
    [written((out) => encodeForward(out, 7, new Uint8Array(90))), (b) => decodeForward(b, 0, b.length)],
    [
      written((out) =>
        encodeSnapshotChunk(out, { leaderTerm: 1, index: 1, term: 1, offset: 0 }, new Uint8Array(9)),
      ),
      (b) => decodeSnapshotChunk(b, 0, b.length),
    ],
    [
      written((out) =>
        encodeSnapshotAck(out, { currentTerm: 1, index: 1, term: 1, nextOffset: 9, status: 0 }),
      ),
      (b) => decodeSnapshotAck(b, 0, b.length),
    ],
    [encodeRefused({ code: 'NO', message: 'never' }), (b) => decodeRefused(b, 0, b.length)],
    [encodePeerWelcome({ ...introduction, version: 1 }), (b) => decodePeerWelcome(b, 0, b.length)],
  ];
  for (const [frame, decode] of frames) {
    decode(frame);
    fc.assert(
      fc.property(damaged(frame), (bytes) => {
        t.throws(() => decode(bytes), { code: 'PROTOCOL_ERROR' });
      }),
    );
  }
});

t.test('a manifest must make sense', async (t) => {
  const config = {
    voters: [1],
    outgoing: [],
    learners: [],
    learnersNext: [],
    members: [{ id: 1, peerAddress: 'a:1' }],
  };
  const good = {
    leaderTerm: 1,
    meta: { index: 5, term: 1, config, configIndex: 3 },
    sizeBytes: 10,
    digest: 'ab'.repeat(32),
  };
  t.ok(encodeConfig(config).length > 0);
  for (const bad of [
    { ...good, digest: 'xyz' },
    { ...good, meta: { ...good.meta, configIndex: 6 } },
    { ...good, sizeBytes: -1 },
    { ...good, meta: { ...good.meta, index: 0, configIndex: 0 } },
  ]) {
    const bytes = written((out) => encodeSnapshotBegin(out, bad));
    t.throws(() => decodeSnapshotBegin(bytes, 0, bytes.length), { code: 'PROTOCOL_ERROR' });
  }
});
