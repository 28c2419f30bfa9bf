import assert from 'node:assert/strict';
import { decode, encode } from '@msgpack/msgpack';
import fc from 'fast-check';
import t from 'tap';
import { INVALID, msgpackEnd, readUint, TRUNCATED, writeText, writeUint } from '../../lib/machine/msgpack.ts';
import { StackCommand } from '../../lib/machine/stack-command.ts';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { Limits, StackOp } from '../../protocol/constants.ts';
import { skipValue } from '../../protocol/msgpack-scan.ts';

const leaf = fc.oneof(
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
  fc.string({ maxLength: 70 }),
  fc.string({ minLength: 250, maxLength: 260 }),
  fc.uint8Array({ maxLength: 300 }),
  fc.constant(new Uint8Array(70_000)),
  fc.date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) }),
);
const key = fc.string({ maxLength: 40 }).filter((k) => k !== '__proto__');
const value = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    leaf,
    fc.array(tie('value'), { maxLength: 20 }),
    fc.dictionary(key, tie('value')),
  ),
})).value;

t.test('msgpackEnd finds the end of whatever the encoder writes', async () => {
  fc.assert(
    fc.property(value, fc.nat(10), fc.nat(10), (v, before, behind) => {
      const bytes = encode(v);
      const around = new Uint8Array(before + bytes.length + behind).fill(0xc1);
      around.set(bytes, before);
      assert.equal(msgpackEnd(around, before, around.length, 64), before + bytes.length);
    }),
    { numRuns: 400 },
  );
});

t.test('a value that is cut off anywhere is truncated', async () => {
  fc.assert(
    fc.property(value, fc.double({ min: 0, max: 0.999, noNaN: true }), (v, share) => {
      const bytes = encode(v);
      assert.equal(msgpackEnd(bytes, 0, Math.floor(bytes.length * share), 64), TRUNCATED);
    }),
  );
});

t.test('arbitrary bytes: the same verdict as a decoder', async () => {
  // Not the text of strings, nor keys: the decoder looks at those too.
  const tags = fc.constantFrom(
    0xc0,
    0xc1,
    0xc4,
    0xc7,
    0xcc,
    0xcd,
    0xd4,
    0xd5,
    0x90,
    0x91,
    0x92,
    0xdc,
    0xdd,
    0x01,
    0,
  );
  fc.assert(
    fc.property(fc.array(tags, { minLength: 1, maxLength: 24 }), (raw) => {
      const bytes = Uint8Array.from(raw);
      const end = msgpackEnd(bytes, 0, bytes.length, 64);
      let decodable = true;
      try {
        decode(end < 0 ? bytes : bytes.subarray(0, end));
      } catch (error) {
        decodable = error instanceof RangeError && /Extra \d+/.test(error.message);
      }
      assert.equal(end >= 0, decodable, raw.join());
    }),
    { numRuns: 2000 },
  );
});

t.test('every first byte', async (t) => {
  for (let tag = 0; tag < 256; tag++) {
    // Zeros behind it are lengths of nothing, or numbers, or elements.
    const bytes = new Uint8Array(64);
    bytes[0] = tag;
    const end = msgpackEnd(bytes, 0, bytes.length, 64);
    if (tag === 0xc1) t.equal(end, INVALID);
    else {
      t.ok(end > 0, `0x${tag.toString(16)}`);
      t.equal(msgpackEnd(bytes, 0, end - 1, 64), TRUNCATED);
    }
  }
});

t.test(
  'what a stack takes can be read where it is popped, and what it refuses is refused there',
  async () => {
    const types = fc.constantFrom(
      0x81,
      0x91,
      0x92,
      0xa1,
      0xc1,
      0xc4,
      0xc7,
      0xcb,
      0xcf,
      0xd4,
      0xd9,
      0xdc,
      0xdd,
      0,
    );
    const any = fc.oneof(types, fc.integer({ min: 0, max: 255 }));
    // Around the depth from which on values are refused.
    const deep = fc
      .tuple(fc.integer({ min: 62, max: 67 }), fc.constantFrom([0], [0x90], [0x80], [0xa1, 0x61], [0xc1]))
      .map(([depth, innermost]) => [...new Array<number>(depth).fill(0x91), ...innermost]);
    const bytesOfValue = fc.oneof(fc.array(any, { minLength: 1, maxLength: 20 }), deep);
    const command = new StackCommand();
    fc.assert(
      fc.property(bytesOfValue, (raw) => {
        const bytes = Uint8Array.from(raw);
        const push = Uint8Array.of(0x93, StackOp.push, 0xa1, 0x73, ...bytes);
        if (command.parse(push, 0, push.length)) {
          const answer = Uint8Array.of(0x91, ...bytes);
          assert.equal(skipValue(answer, 0, answer.length), answer.length);
        } else if (skipValue(bytes, 0, bytes.length) === bytes.length) {
          // An answer may be deeper by one than a value.
          assert.equal(msgpackEnd(bytes, 0, bytes.length, Limits.maxValueDepth), INVALID);
          const answer = Uint8Array.of(0x91, ...bytes);
          assert.equal(skipValue(answer, 0, answer.length), -1);
        }
      }),
      { numRuns: 5000 },
    );
  },
);

t.test('nesting is bounded', async (t) => {
  const nested = (depth: number): Uint8Array =>
    Uint8Array.from([...new Array<number>(depth).fill(0x91), 0xc0]);
  t.equal(msgpackEnd(nested(64), 0, 65, 64), 65);
  t.equal(msgpackEnd(nested(65), 0, 66, 64), INVALID);
  t.equal(msgpackEnd(nested(100_000), 0, 100_001, 64), INVALID);
  t.equal(msgpackEnd(Uint8Array.of(0x90), 0, 1, 0), INVALID);
  t.equal(msgpackEnd(Uint8Array.of(0x91, 0x90, 0x90), 0, 3, 2), 2);
});

t.test('counts larger than the bytes cost no walk', async (t) => {
  const bytes = Uint8Array.from([0xdf, 0xff, 0xff, 0xff, 0xff, ...new Array<number>(1000).fill(0)]);
  t.equal(msgpackEnd(bytes, 0, bytes.length, 64), TRUNCATED);
});

t.test('numbers and text are written as the decoder reads them', async () => {
  const numbers = fc.oneof(
    fc.maxSafeNat(),
    fc.constantFrom(0, 127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32),
  );
  fc.assert(
    fc.property(numbers, fc.string({ maxLength: 300 }), (n, text) => {
      const out = new ByteWriter(1);
      writeUint(out, n);
      assert.equal(readUint(out.buffer, 0, out.position), n);
      assert.equal(Buffer.compare(out.buffer.subarray(0, out.position), encode(n)), 0);
      out.clear();
      writeText(out, text);
      assert.equal(decode(out.take()), Buffer.from(text, 'utf8').toString('utf8'));
    }),
  );
});

t.test('readUint takes every form of a whole number and nothing else', async (t) => {
  const read = (...bytes: number[]): number => readUint(Uint8Array.from(bytes), 0, bytes.length);
  t.equal(read(0x05), 5);
  t.equal(read(0xcc, 5), 5);
  t.equal(read(0xd0, 5), 5);
  t.equal(read(0xd1, 0, 5), 5);
  t.equal(read(0xd2, 0, 0, 0, 5), 5);
  t.equal(read(0xcf, 0, 0, 0, 0, 0, 0, 0, 5), 5);
  t.equal(read(0xd3, 0, 0, 0, 1, 0, 0, 0, 0), 2 ** 32);
  t.ok(read(0xd0, 0x80) < 0, 'negative');
  t.ok(read(0xd3, 0xff, 0, 0, 0, 0, 0, 0, 0) < 0, 'negative');
  t.ok(read(0xff) < 0, 'negative');
  t.ok(read(0xcf, 0, 0x20, 0, 0, 0, 0, 0, 0) < 0, '2^53');
  t.ok(read(0xca, 0, 0, 0, 0) < 0, 'float');
  t.ok(read(0xa1, 0x31) < 0, 'text');
  t.ok(read(0xcd, 1) < 0, 'cut off');
  t.ok(read() < 0, 'nothing');
});
