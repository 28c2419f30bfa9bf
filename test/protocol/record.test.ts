import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';

import { RECORD_HEADER_BYTES } from '../../protocol/constants.ts';
import { crcOf } from '../../protocol/crc.ts';
import {
  bodyIsWhole,
  readRecordHeader,
  recordBytes,
  writeRecordHeader,
  type RecordHeader,
} from '../../protocol/record.ts';
import { safe } from './arbitraries.ts';

const records = fc.record({
  kind: fc.constantFrom<(0 | 1 | 2)[]>(0, 1, 2),
  term: safe(1),
  index: safe(1),
  timeMs: safe(0),
  body: fc.uint8Array({ maxLength: 200 }),
});

function lay(record: {
  kind: 0 | 1 | 2;
  term: number;
  index: number;
  timeMs: number;
  body: Uint8Array;
}): Uint8Array {
  const { body, ...fields } = record;
  const bytes = new Uint8Array(recordBytes(body.length));
  bytes.set(body, RECORD_HEADER_BYTES);
  writeRecordHeader(bytes, 0, { ...fields, bodyBytes: body.length, bodyCrc: crc32(body) });
  return bytes;
}

/** The header of the record in `buffer[at, end)` if all of it is whole. */
function wholeRecord(buffer: Uint8Array, at: number, end: number): RecordHeader | null {
  const header = readRecordHeader(buffer, at);
  return header !== null && bodyIsWhole(buffer, at, end, header) ? header : null;
}

t.test('checksums are zlib’s, whole or continued', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(), (bytes, cut) => {
      const at = cut % (bytes.length + 1);
      t.equal(crcOf(bytes, 0, bytes.length), crc32(bytes));
      t.equal(crcOf(bytes, at, bytes.length, crcOf(bytes, 0, at)), crc32(bytes));
    }),
  );
});

t.test('a record comes back as it was written, at any place', async (t) => {
  fc.assert(
    fc.property(records, fc.nat(20), (record, at) => {
      const bytes = lay(record);
      t.equal(bytes.length % 8, 0);
      const buffer = new Uint8Array(at + bytes.length + 3);
      buffer.set(bytes, at);
      const { body, ...fields } = record;
      t.match(wholeRecord(buffer, at, at + bytes.length), { ...fields, bodyBytes: body.length });
      t.equal(wholeRecord(buffer, at, at + bytes.length - 1), null);
    }),
  );
});

t.test('any flipped bit is found', async (t) => {
  const bytes = lay({
    kind: 1,
    term: 3,
    index: 70_000,
    timeMs: 1_700_000_000_000,
    body: Uint8Array.of(1, 2, 3, 4, 5),
  });
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = bytes.slice();
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    t.equal(wholeRecord(damaged, 0, damaged.length), null);
  }
});

t.test('a header whose checksum fits but whose fields cannot be is refused', async (t) => {
  const good = { kind: 1 as const, term: 1, index: 1, timeMs: 0, bodyBytes: 0, bodyCrc: 0 };
  const read = (change: object): unknown => {
    const bytes = new Uint8Array(RECORD_HEADER_BYTES);
    writeRecordHeader(bytes, 0, { ...good, ...change });
    return readRecordHeader(bytes, 0);
  };
  t.ok(read({}));
  for (const change of [
    { kind: 3 },
    { kind: 256 },
    { term: 0 },
    { index: 0 },
    { term: 2 ** 53 },
    { index: 2 ** 60 },
  ]) {
    t.equal(read(change), null);
  }
  t.equal(readRecordHeader(new Uint8Array(39), 0), null);
  const huge = { ...good, bodyBytes: 0xffffffff };
  t.notOk(bodyIsWhole(new Uint8Array(64), 0, 64, huge), 'a length near 2^32 does not wrap around');
});
