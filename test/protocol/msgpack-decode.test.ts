import { ExtData } from '@msgpack/msgpack';
import t from 'tap';

import { decodeValue, encodeValue } from '../../protocol/msgpack.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const PROTO = 'a9 5f5f70726f746f5f5f';

t.test('a key __proto__ is a property of its own, in its place, and touches no prototype', async (t) => {
  const texts = [
    '{"__proto__":{"a":1},"b":2}',
    '{"b":2,"__proto__":null,"c":[{"__proto__":[1]}]}',
    '[{"__proto__":{"__proto__":{"x":1}}},1.5,-7,"text",true,false,null,[],{}]',
  ];
  for (const text of texts) {
    const value = decodeValue(encodeValue(JSON.parse(text)));
    t.equal(JSON.stringify(value), text);
    t.equal(hex(encodeValue(value)), hex(encodeValue(JSON.parse(text))));
  }
  const map = decodeValue(bytesOf(`81 ${PROTO} 81 a178 01`)) as object;
  t.equal(Object.getPrototypeOf(map), Object.prototype);
  t.equal(Object.hasOwn(map, '__proto__'), true);
  t.equal('x' in map, false);
  t.equal(({} as Record<string, unknown>)['x'], undefined);
});

t.test('beside a key __proto__ everything else is what it always is', async (t) => {
  const others = [
    2n ** 60n,
    -(2n ** 60n),
    2 ** 40,
    1.5,
    'x'.repeat(300),
    Uint8Array.of(1, 2),
    new Date(1_700_000_000_123),
    new ExtData(5, Uint8Array.of(9)),
    Array.from({ length: 70_000 }, (_, i) => i % 200),
    Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`k${i}`, i])),
  ];
  const bytes = Buffer.concat([bytesOf(`82 ${PROTO} 01 a16f`), encodeValue(others)]);
  const { o } = decodeValue(bytes) as { o: unknown[] };
  bytes.fill(0);
  t.strictSame(o, others);
});

t.test('keys that are integers of 64 bits become their digits, as all numbers do', async (t) => {
  const map = decodeValue(bytesOf('82 cfffffffffffffffff 01 cf0000000000000005 02'));
  t.equal(JSON.stringify(map), '{"5":2,"18446744073709551615":1}');
});

t.test('keys that are no text and no number are refused', async (t) => {
  for (const key of ['c0', 'c3', 'c40101', '90', '80']) {
    t.throws(
      () => decodeValue(bytesOf(`81 ${key} 01`)),
      { code: 'PROTOCOL_ERROR', message: 'a map has a key that is neither a string nor a number' },
      key,
    );
  }
});

t.test('a timestamp that no Date can hold comes back as the extension it is', async (t) => {
  for (const text of ['c7 03 ff 010203', 'c7 0c ff 00000000 7fffffffffffffff']) {
    const value = decodeValue(bytesOf(text));
    t.type(value, ExtData);
    t.equal(hex(encodeValue(value)), hex(bytesOf(text)));
  }
});

t.test('a string keeps the byte order mark it begins with, however long it is', async (t) => {
  for (const length of [0, 28, 29, 250, 300, 70_000]) {
    const text = `\ufeff${'x'.repeat(length)}`;
    t.equal(decodeValue(encodeValue(text)), text, `${length} characters behind it`);
    t.strictSame(decodeValue(encodeValue({ [text]: [text] })), { [text]: [text] });
  }
});
