import { deepStrictEqual } from 'node:assert';
import fc from 'fast-check';
import t from 'tap';
import { decodeState, encodeAnswer, encodeSaved, encodeState } from '../../lib/machine/saved-state.ts';

t.test('the buffer that one large answer needed is not kept for all small ones', async (t) => {
  const large = 'x'.repeat(4 << 20);
  t.equal(encodeAnswer(large).length, large.length + 5);
  const small = encodeAnswer(1);
  t.same([...small], [1]);
  t.ok(small.buffer.byteLength < large.length);
});

t.test('a text that was cut in the middle of a character comes back as it was, however long', async (t) => {
  const half = '😀'.slice(0, 1);
  for (const length of [0, 1, 40, 60, 300, 70_000]) {
    const text = 'x'.repeat(length) + half;
    const states = [text, [text], { text }, { [text]: { list: [1, text, null] } }, { ['__proto__']: text }];
    for (const state of states) {
      t.strictSame(decodeState(encodeState(state)), state, `${length}`);
      t.strictSame(decodeState(encodeSaved(state)), state);
    }
  }
});

t.test('minus zero and undefined come back as they were, wherever they are', async (t) => {
  for (const odd of [-0, undefined]) {
    for (const state of [odd, [odd], { odd }, [1, { list: [odd, 'text', '\0z', '\0u'] }]]) {
      deepStrictEqual(decodeState(encodeState(state)), state);
      deepStrictEqual(decodeState(encodeSaved(state)), state);
    }
  }
  t.same(encodeState([0, null]), [0x92, 0, 0xc0], 'nothing else changes');
});

t.test('so does whatever else is in such a state', async (t) => {
  const scalar = fc.oneof(
    fc.string({ unit: fc.constantFrom('\0', '0', 'd', '8', '\ud83d', '\ude00', 'ü', '😀') }),
    fc.double({ noNaN: true }),
    fc.constantFrom(-0, undefined, '\0u', '\0z', '\0', '0000'),
    fc.boolean(),
    fc.constant(null),
    fc.uint8Array({ maxLength: 4 }),
  );
  const { state } = fc.letrec((tie) => ({
    state: fc.oneof({ depthSize: 'small' }, scalar, tie('list'), tie('map')),
    list: fc.array(tie('state'), { maxLength: 5 }),
    map: fc.dictionary(fc.string({ unit: fc.constantFrom('\0', 'a', '\ud83d') }), tie('state'), {
      maxKeys: 5,
      noNullPrototype: true,
    }),
  }));
  fc.assert(
    fc.property(state, (value) => {
      deepStrictEqual(decodeState(encodeState(value)), value);
      deepStrictEqual(decodeState(encodeSaved(value)), value);
    }),
    { numRuns: 2000 },
  );
  t.pass();
});

t.test('half a surrogate pair changes nothing in what is refused', async (t) => {
  const half = '\ud83d';
  t.throws(() => encodeState({ half, map: new Map() }), /Map/);
  t.throws(() => encodeState({ half, bytes: Buffer.from('a') }), /Buffer/);
  const shared = [half];
  t.throws(() => encodeState([shared, undefined, shared]), /two ways/);
  t.throws(() => encodeState({ half, bare: Object.create(null) as object }), /prototype/);
  t.throws(() => encodeSaved({ half, map: new Map() }), /Map/);
  const bare = Object.assign(Object.create(null) as object, { half });
  t.strictSame(decodeState(encodeSaved(bare)), { half });
});
