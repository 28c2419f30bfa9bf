import fc from 'fast-check';
import t from 'tap';

import type { Append, Message } from '../../lib/core/types.ts';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { PeerKind, PEER_HEADER_BYTES, RECORD_HEADER_BYTES } from '../../protocol/constants.ts';
import { crcOf } from '../../protocol/crc.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { nextFrameEnd } from '../../protocol/frame-splitter.ts';
import {
  APPEND_HEADER_BYTES,
  decodeMessage,
  encodeAppendHeader,
  encodeMessage,
  isMessageKind,
} from '../../protocol/peer-codec.ts';
import { beginPeerFrame, sealPeerFrame } from '../../protocol/peer-frame.ts';
import { recordBytes, writeRecordHeader } from '../../protocol/record.ts';
import { appends, type AppendWithRecords, damaged, smallMessages } from './arbitraries.ts';

function encode(message: Message): Uint8Array {
  const out = new ByteWriter(16);
  encodeMessage(message, out);
  return out.take();
}

function encodeAppend({ message, records }: AppendWithRecords): Uint8Array {
  const out = new ByteWriter(16);
  encodeAppendHeader(message, records.length, message.entries.length, out);
  return new Uint8Array(Buffer.concat([out.take(), records]));
}

const decode = (bytes: Uint8Array): Message => decodeMessage(bytes, 0, bytes.length);

t.test('every message comes back as it was, wherever it lies', async (t) => {
  fc.assert(
    fc.property(smallMessages, fc.nat(30), (message, at) => {
      const frame = encode(message);
      t.equal(nextFrameEnd(frame, 0, frame.length, 1 << 20), frame.length);
      t.ok(isMessageKind(frame[4]!));
      const buffer = new Uint8Array(at + frame.length + 5).fill(0xaa);
      buffer.set(frame, at);
      t.same(decodeMessage(buffer, at, at + frame.length), message);
    }),
    { numRuns: 400 },
  );
});

t.test('an append comes back with the metas of its records', async (t) => {
  fc.assert(
    fc.property(appends, (append) => {
      const frame = encodeAppend(append);
      const decoded = decode(frame) as Append;
      t.same(decoded, append.message);
      const recordsBytes = decoded.entries.reduce((sum, entry) => sum + entry.sizeBytes, 0);
      t.equal(APPEND_HEADER_BYTES + recordsBytes, frame.length);
    }),
    { numRuns: 200 },
  );
});

t.test('damage anywhere is a PROTOCOL_ERROR and nothing else', async (t) => {
  const anyFrame = fc.oneof(smallMessages.map(encode), appends.map(encodeAppend));
  fc.assert(
    fc.property(anyFrame.chain(damaged), (bytes) => {
      t.throws(() => decode(bytes), { code: 'PROTOCOL_ERROR' });
    }),
    { numRuns: 1500 },
  );
});

t.test('random frames with right checksums give a message or a PROTOCOL_ERROR', async (t) => {
  let understood = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.values(PeerKind)),
      fc.nat(3),
      fc.nat(2),
      fc.uint8Array({ maxLength: 80 }),
      fc.boolean(),
      (kind, flags, extra, body, zero) => {
        const out = new ByteWriter(64);
        const start = beginPeerFrame(out, kind, flags, extra);
        out.bytes(zero ? new Uint8Array(body.length & 0x78) : body);
        sealPeerFrame(out, start);
        try {
          decode(out.take());
          understood++;
        } catch (error) {
          if (!CordwoodError.is(error)) throw error;
        }
      },
    ),
    { numRuns: 3000 },
  );
  t.ok(understood > 0, 'some of them were messages');
});

interface Entry {
  term?: number;
  index?: number;
  kind?: 0 | 1 | 2;
  body?: Uint8Array;
}

/** An append that follows (index 4, term 2) in term 5, every checksum right. */
function appendOf(entries: readonly Entry[], header: Partial<Append> = {}): Uint8Array {
  const records = entries.map(({ term = 3, index, kind = 1, body = Uint8Array.of(1, 2, 3) }, i) => {
    const record = new Uint8Array(recordBytes(body.length));
    record.set(body, RECORD_HEADER_BYTES);
    const bodyCrc = crcOf(body, 0, body.length);
    writeRecordHeader(record, 0, {
      kind,
      term,
      index: index ?? 5 + i,
      timeMs: 0,
      bodyBytes: body.length,
      bodyCrc,
    });
    return record;
  });
  const message: Append = {
    kind: 'append',
    term: 5,
    prevIndex: 4,
    prevTerm: 2,
    commit: 0,
    last: 4 + entries.length,
    entries: [],
    ...header,
  };
  const out = new ByteWriter(64);
  const all = Buffer.concat(records);
  encodeAppendHeader(message, all.length, entries.length, out);
  return new Uint8Array(Buffer.concat([out.take(), all]));
}

t.test('appends that break the rules of a log are refused though their checksums fit', async (t) => {
  t.equal((decode(appendOf([{}, { term: 5 }])) as Append).entries.length, 2);
  t.throws(() => decode(appendOf([{ index: 6 }])), /entry 6 in the place of 5/);
  t.throws(() => decode(appendOf([{ term: 4 }, { term: 3 }])), /entry 6 has term 3/, 'terms never decrease');
  t.throws(() => decode(appendOf([{ term: 1 }])), /entry 5 has term 1/, 'not below the entry before');
  t.throws(() => decode(appendOf([{ term: 6 }])), /entry 5 has term 6/, 'not above the leader’s term');
  t.throws(() => decode(appendOf([], { prevTerm: 9 })), /later term/);
  t.throws(
    () => decode(appendOf([{ kind: 2 }])),
    { code: 'PROTOCOL_ERROR' },
    'a config entry must hold a configuration',
  );
});

t.test('a configuration that announces more than it holds is not decoded', async (t) => {
  // [[[… each of 1024 elements: a naive decoder makes room for all of them at every level.
  const bomb = new Uint8Array(30_000);
  for (let i = 0; i < bomb.length; i += 3) bomb.set([0xdc, 0x04, 0x00], i);
  const before = process.memoryUsage().heapUsed;
  t.throws(() => decode(appendOf([{ kind: 2, body: bomb }])), { code: 'PROTOCOL_ERROR' });
  t.ok(process.memoryUsage().heapUsed - before < 10_000_000);
});

t.test('records and header must agree before anything is sent', async (t) => {
  const message: Append = {
    kind: 'append',
    term: 1,
    prevIndex: 0,
    prevTerm: 0,
    commit: 0,
    last: 2,
    entries: [],
  };
  t.throws(() => encode(message), RangeError);
  t.throws(() => encodeAppendHeader(message, 80, 1, new ByteWriter(64)), RangeError);
});

t.test('numbers above 2^53 − 1 and times that are none are refused', async (t) => {
  const out = new ByteWriter(64);
  const start = beginPeerFrame(out, PeerKind.timeoutNow);
  out.u32(0).u32(0x200000);
  sealPeerFrame(out, start);
  t.throws(() => decode(out.take()), /2\^53/);
  const late = encode({ kind: 'heartbeat', term: 1, commit: 1, readSeq: 0, sentAtMs: Number.NaN });
  t.throws(() => decode(late), { code: 'PROTOCOL_ERROR' });
  t.throws(() => decode(new Uint8Array(PEER_HEADER_BYTES - 1)), { code: 'PROTOCOL_ERROR' });
});
