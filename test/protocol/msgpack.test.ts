import { encode, ExtData } from '@msgpack/msgpack';
import fc from 'fast-check';
import t from 'tap';

import { ByteWriter } from '../../protocol/byte-writer.ts';
import { Limits } from '../../protocol/constants.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { decodeFields, decodeValue, encodeValue, writeValue } from '../../protocol/msgpack.ts';
import { skipValue } from '../../protocol/msgpack-scan.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));

/** A bigint of 64 bits that no number can hold. */
const wide = fc
  .bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n })
  .filter((n) => n > 2n ** 53n - 1n || n < -(2n ** 53n - 1n));
const key = fc.string({ maxLength: 8 });
/** The library's own limit is 100, and it counts a scalar, too. */
const DEEP = { maxDepth: 200, useBigInt64: true };

const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, false),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true }).map((n) => (Object.is(n, -0) ? 0 : n)),
    wide,
    fc.string({ unit: 'grapheme', maxLength: 300 }),
    fc.uint8Array({ maxLength: 300 }),
    fc.date({ noInvalidDate: true }),
    fc.uint8Array({ minLength: 1, maxLength: 20 }).map((data) => new ExtData(9, data)),
    fc.array(tie('value'), { maxLength: 20 }),
    fc.dictionary(key, tie('value'), { maxKeys: 20, noNullPrototype: true }),
  ),
}));

t.test('every value comes back as it went in, and nothing else is in its bytes', async (t) => {
  fc.assert(
    fc.property(value, fc.nat(5), (v, at) => {
      const bytes = encodeValue(v);
      const buffer = new Uint8Array(at + bytes.length + 3).fill(0xc1);
      buffer.set(bytes, at);
      t.same(decodeValue(buffer, at, at + bytes.length), v);
      t.equal(skipValue(buffer, at, buffer.length), at + bytes.length);
      t.equal(hex(encodeValue(decodeValue(bytes))), hex(bytes), 'the encoding is canonical');
      for (let end = at; end < at + bytes.length; end++) t.equal(skipValue(buffer, at, end), -1, 'cut short');
    }),
    { numRuns: 300 },
  );
});

t.test('bytes take their shortest form, written at once or by way of the library', async (t) => {
  for (const length of [0, 1, 23, 24, 25, 255, 256, 65_535, 65_536, 70_000]) {
    for (const bytes of [new Uint8Array(length).fill(length), Buffer.alloc(length, 7)]) {
      const out = new ByteWriter(16);
      out.u8(1);
      writeValue(out, bytes);
      t.ok(Buffer.from(out.take()).subarray(1).equals(encode(bytes)), `${length}`);
    }
  }
});

t.test('integers take their shortest form, whatever they came as', async (t) => {
  const forms: [number | bigint, string][] = [
    [0, '00'],
    [127, '7f'],
    [128, 'cc80'],
    [255n, 'ccff'],
    [256, 'cd0100'],
    [65536, 'ce00010000'],
    [2 ** 32, 'cf0000000100000000'],
    [2n ** 32n, 'cf0000000100000000'],
    [2 ** 53 - 1, 'cf001fffffffffffff'],
    [2n ** 64n - 1n, 'cfffffffffffffffff'],
    [-1, 'ff'],
    [-33n, 'd0df'],
    [-(2 ** 31), 'd280000000'],
    [-(2 ** 31) - 1, 'd3ffffffff7fffffff'],
    [-(2n ** 63n), 'd38000000000000000'],
    [1.5, 'cb3ff8000000000000'],
    [2 ** 60, 'cb43b0000000000000'],
  ];
  for (const [n, expected] of forms) {
    t.equal(hex(encodeValue(n)), expected, String(n));
    // Beside a bigint, numbers must not turn into floats.
    t.equal(hex(encodeValue([n, 2n ** 60n])), `92${expected}cf1000000000000000`);
  }
  t.same(decodeValue(bytesOf('93 cf0000000000000001 cf0020000000000000 d3ffdfffffffffffff')), [
    1,
    2n ** 53n,
    -(2n ** 53n) - 1n,
  ]);
  t.throws(() => encodeValue(2n ** 64n), RangeError);
  t.throws(() => encodeValue([-(2n ** 63n) - 1n]), RangeError);
});

t.test('what has no encoding is refused, not changed', async (t) => {
  for (const bad of [
    new Map(),
    new Set([1]),
    () => 1,
    Symbol('x'),
    new Float64Array(1),
    new ArrayBuffer(1),
    new Date(Number.NaN),
  ]) {
    t.throws(() => encodeValue(bad), TypeError);
    t.throws(() => encodeValue({ in: [bad] }), TypeError);
    t.throws(() => encodeValue([2n ** 60n, bad]), TypeError);
  }
  t.equal(hex(encodeValue(undefined)), 'c0');
  const circle: unknown[] = [];
  circle.push(circle);
  t.throws(() => encodeValue(circle), RangeError);
  t.throws(() => encodeValue([circle, 2n ** 60n]), RangeError);
  t.equal(hex(encodeValue(1)), '01', 'the encoder is whole after a failure');
});

t.test('half a surrogate pair, which UTF-8 has no form for, is refused wherever it stands', async (t) => {
  for (const text of [
    '\ud800',
    '\udc00',
    `${'x'.repeat(40)}\ud83d`,
    `${'x'.repeat(300)}\ud83d`,
    `\udca1${'é'.repeat(30_000)}`,
  ]) {
    for (const bad of [
      text,
      [1, text],
      { in: [text] },
      { [text]: 1 },
      [2n ** 60n, { in: text }],
      { [text]: 2n ** 60n },
    ])
      t.throws(() => encodeValue(bad), RangeError);
    const out = new ByteWriter(16);
    t.throws(() => writeValue(out, text), RangeError);
    t.equal(out.position, 0);
  }
  for (const text of ['💡', `${'x'.repeat(40)}💡`, '💡'.repeat(30_000)]) {
    const bytes = encodeValue({ [text]: [text] });
    t.same(decodeValue(bytes, 0, bytes.length), { [text]: [text] });
  }
});

t.test('values hold no memory of the bytes they came from', async (t) => {
  const bytes = encodeValue([Uint8Array.of(1, 2, 3), new ExtData(5, Uint8Array.of(4))]);
  const [binary, ext] = decodeValue(bytes) as [Uint8Array, ExtData];
  bytes.fill(0);
  t.same(binary, Uint8Array.of(1, 2, 3));
  t.same(ext.data, Uint8Array.of(4));
  t.equal(Object.getPrototypeOf(binary), Uint8Array.prototype, 'also when the bytes were a Buffer');
});

t.test('depth: arrays and maps in each other are counted, up to the limit and no further', async (t) => {
  const nested = (levels: number, innermost: unknown): unknown => {
    let value = innermost;
    for (let i = 0; i < levels; i++) value = i % 2 === 0 ? [value] : { key: value };
    return value;
  };
  const most = Limits.maxValueDepth;
  // With a bigint in them values go another way.
  for (const innermost of [1, 2n ** 60n, 'text', Uint8Array.of(1), new Date(0)]) {
    const deepest = nested(most, innermost);
    t.same(decodeValue(encodeValue(deepest)), deepest);
    t.same(decodeValue(encode([deepest], DEEP)), [deepest], 'in an array, as popMany gives it');
    t.throws(() => encodeValue(nested(most + 1, innermost)), RangeError);
  }
  for (const innermost of [[], {}]) {
    t.same(decodeValue(encodeValue(nested(most - 1, innermost))), nested(most - 1, innermost));
    t.throws(() => encodeValue(nested(most, innermost)), RangeError, 'an empty one counts, too');
  }
  const bytes = encode(nested(most + 2, 1), DEEP);
  t.equal(skipValue(bytes, 0, bytes.length), -1);
});

t.test('hostile bytes: refused, quickly, in little memory', async (t) => {
  const bombs = [
    'dd ffffffff',
    'df ffffffff',
    'c6 ffffffff',
    'db ffffffff 00',
    'c9 ffffffff 01',
    'c1',
    '',
    'dc 0002 01',
    '82 a161 01',
    'c7 01 05',
    'd4 05',
  ];
  const before = process.memoryUsage();
  for (const bomb of bombs) {
    const bytes = bytesOf(bomb);
    t.equal(skipValue(bytes, 0, bytes.length), -1, bomb);
    t.throws(() => decodeValue(bytes), { code: 'PROTOCOL_ERROR' });
  }
  const nested = new Uint8Array(1_000_000).fill(0x91);
  t.equal(skipValue(nested, 0, nested.length), -1);
  t.ok(process.memoryUsage().heapUsed - before.heapUsed < 20_000_000);
  t.throws(() => decodeValue(bytesOf('81 c0 01')), { code: 'PROTOCOL_ERROR' }, 'a nil key');
  t.throws(() => decodeValue(bytesOf('01 01')), { code: 'PROTOCOL_ERROR' }, 'two values');
  t.throws(() => decodeValue(bytesOf('d6 ff 00')), { code: 'PROTOCOL_ERROR' }, 'a timestamp cut short');
  t.equal(({} as Record<string, unknown>)['x'], undefined);
});

t.test('random bytes: a value or a PROTOCOL_ERROR', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const end = skipValue(bytes, 0, bytes.length);
      try {
        decodeValue(bytes);
        t.equal(end, bytes.length);
      } catch (error) {
        if (!CordwoodError.is(error)) throw error;
        t.equal(error.code, 'PROTOCOL_ERROR');
      }
    }),
    { numRuns: 3000 },
  );
});

t.test('a large value does not keep its buffer for ever', async (t) => {
  const out = new ByteWriter(16);
  writeValue(out, 'x'.repeat(3 << 20));
  t.equal(out.position, (3 << 20) + 5);
  t.equal(hex(encodeValue('after')), 'a56166746572');
});

t.test('fields of maps', async (t) => {
  // Half a surrogate pair, as only a stranger writes it: an answer that quotes it could not be written.
  const half = '\ud800';
  const map = { n: 5, s: 'text', list: ['a'], inner: { n: 1 }, nothing: null, half, halves: [half] };
  const bytes = encode(map);
  const fields = decodeFields(bytes, 0, bytes.length, 'test');
  t.equal(fields.integer('n'), 5);
  t.equal(fields.string('s'), 'text');
  t.same(fields.strings('list'), ['a']);
  t.equal(fields.fields('inner')?.integer('n'), 1);
  t.equal(fields.fields('nothing'), null);
  t.equal(fields.has('constructor'), false);
  for (const wrong of [
    () => fields.integer('s'),
    () => fields.integer('n', 4),
    () => fields.string('n'),
    () => fields.string('s', 3),
    () => fields.strings('s'),
    () => fields.fields('n'),
    () => fields.integer('toString'),
    () => fields.string('half'),
    () => fields.strings('halves'),
  ]) {
    t.throws(wrong, { code: 'PROTOCOL_ERROR', message: /^test: field / });
  }
  t.throws(() => decodeFields(encodeValue([1]), 0, 2, 'test'), { code: 'PROTOCOL_ERROR' });
});
