import { encode, ExtData } from '@msgpack/msgpack';
import fc from 'fast-check';
import t from 'tap';
import { arrayItems, jsonOf, scalarOf } from '../../lib/server/value-text.ts';
import { encodeValue } from '../../protocol/msgpack.ts';

const json = fc.jsonValue({ maxDepth: 8 });

t.test('what came from JSON goes back to the same JSON', async (t) => {
  fc.assert(
    fc.property(json, (value) => {
      // -0 has a JSON text of its own, which JSON.stringify does not use.
      t.same(JSON.parse(jsonOf(encodeValue(value))), JSON.parse(JSON.stringify(value)));
    }),
    { numRuns: 300 },
  );
});

t.test('strings and bins of every length class give back their bytes', async (t) => {
  for (const length of [0, 1, 31, 32, 255, 256, 65_535, 65_536]) {
    const text = 'x'.repeat(length);
    const str = scalarOf(encodeValue(text));
    t.equal(str.type, 'str');
    t.equal(Buffer.from(str.bytes).toString(), text, `str of ${length}`);
    const bin = scalarOf(encodeValue(new Uint8Array(length).fill(7)));
    t.equal(bin.type, 'bin');
    t.same(Buffer.from(bin.bytes), Buffer.alloc(length, 7), `bin of ${length}`);
  }
  t.equal(scalarOf(encodeValue(5)).type, 'other');
});

t.test('what JavaScript cannot hold is shown all the same', async (t) => {
  t.equal(jsonOf(encodeValue(2n ** 64n - 1n)), '18446744073709551615');
  t.equal(jsonOf(encodeValue(-(2n ** 63n))), '-9223372036854775808');
  t.equal(jsonOf(encodeValue(NaN)), 'null');
  t.equal(jsonOf(encodeValue('\ufeffmarked')), '"\ufeffmarked"', 'a byte order mark is a character');
  t.equal(jsonOf(Uint8Array.of(0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0)), '-0.0');
  t.equal(jsonOf(Uint8Array.of(0x81, 0x05, 0xc3)), '{"5":true}');
  t.equal(jsonOf(Buffer.from([0x81, 0xa9, ...Buffer.from('__proto__'), 0x01])), '{"__proto__":1}');
  t.equal(jsonOf(encodeValue(Uint8Array.of(1, 2, 255))), '{"$bin":"AQL/"}');
  t.equal(jsonOf(encode(new ExtData(5, Uint8Array.of(9)))), '{"$ext":[5,"CQ=="]}');
  t.equal(jsonOf(encode(new Date(1_700_000_000_123))), '"2023-11-14T22:13:20.123Z"');
});

t.test('the items of an array are cut where they end', async (t) => {
  fc.assert(
    fc.property(fc.array(json, { maxLength: 40 }), (values) => {
      const items = arrayItems(encodeValue(values));
      t.same(
        items.map((item) => JSON.parse(jsonOf(item))),
        JSON.parse(JSON.stringify(values)),
      );
    }),
    { numRuns: 100 },
  );
});
