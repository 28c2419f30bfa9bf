import t from 'tap';
import { NameBytes } from '../../lib/machine/name-bytes.ts';
import { NameHash } from '../../lib/machine/name-hash.ts';
import { StackTable } from '../../lib/machine/stack-table.ts';
import { viewOf } from '../../protocol/byte-writer.ts';
import { collectGarbage, randomFrom } from './harness.ts';

const encode = (text: string): Buffer => Buffer.from(text, 'utf8');

t.test('names are told apart wherever they lie', async (t) => {
  const names = new NameBytes();
  const words = Array.from({ length: 500 }, (_, i) => encode(`name ${i} ${'x'.repeat(i % 50)}`));
  const places = words.map((word) => names.add(word, 0, word.length));
  for (const [i, word] of words.entries()) {
    const source = Buffer.concat([encode('before '), word, encode(' behind')]);
    t.ok(names.is(places[i]!, word.length, viewOf(source), 7));
    for (const at of [0, word.length >> 1, word.length - 1]) {
      source[7 + at]! ^= 1;
      t.notOk(names.is(places[i]!, word.length, viewOf(source), 7), `byte ${at} counts`);
      source[7 + at]! ^= 1;
    }
  }
});

t.test('every byte and the length of a name count in its hash', async (t) => {
  const hash = new NameHash();
  const of = (bytes: Uint8Array): number => hash.of(viewOf(bytes), 0, bytes.length);
  let collisions = 0;
  for (let length = 1; length <= 1024; length = length < 40 ? length + 1 : length * 2) {
    const name = Buffer.alloc(length, 'name');
    const before = of(name);
    if (of(Buffer.concat([name, Buffer.alloc(1)])) === before) collisions++;
    for (const at of [0, length >> 1, length - 1]) {
      name[at]! ^= 0x80;
      if (of(name) === before) collisions++;
      name[at]! ^= 0x80;
    }
    t.equal(of(name), before);
  }
  // Each has a chance of 1 in 65,536 at most; two of some 170 would be no accident.
  t.ok(collisions < 2, `${collisions} collisions`);
});

t.test('a difference that the next word could undo in a hash with one seed is none here', async (t) => {
  let collisions = 0;
  for (let i = 0; i < 100; i++) {
    const hash = new NameHash();
    const name = Buffer.from('eight by');
    const other = Buffer.from(name);
    other[3]! ^= 0x80;
    other[7]! ^= 0x80;
    if (hash.of(viewOf(name), 0, 8) === hash.of(viewOf(other), 0, 8)) collisions++;
  }
  t.ok(collisions < 2, `${collisions} of 100 tables`);
});

t.test('the gaps that dropped names leave are closed once they are most of it', async (t) => {
  const names = new NameBytes();
  const named = Array.from({ length: 200 }, (_, i) => ({
    nameAt: names.add(Buffer.alloc(1000, i), 0, 1000),
    nameBytes: 1000,
  }));
  const shown = names.of(named[150]!.nameAt, 1000);
  const answers = named.map(({ nameBytes }) => names.drop(nameBytes));
  t.equal(answers.indexOf(true), 100);
  const kept = named.slice(150, 160);
  names.keep(kept);
  t.same(
    kept.map(({ nameAt }) => nameAt),
    kept.map((_, i) => i * 1000),
  );
  t.ok(kept.every(({ nameAt }, i) => Buffer.alloc(1000, 150 + i).equals(names.of(nameAt, 1000))));
  t.ok(Buffer.alloc(1000, 150).equals(shown), 'what was shown before stays');
  t.equal(names.compare(0, 1000, 1000, 1000), -1);
  t.equal(names.compare(1000, 1000, 0, 1000), 1);
  t.equal(names.compare(1000, 1000, 1000, 999), 1, 'the longer one comes behind');
});

t.test('stacks are found while others come and go by the thousand', async (t) => {
  const table = new StackTable();
  const nameOf = (i: number): Buffer => encode(`${'long '.repeat(40)}${i}`);
  const find = (i: number): unknown => table.find(nameOf(i), 0, nameOf(i).length);
  const create = (i: number): void => {
    table.create(nameOf(i), 0, nameOf(i).length);
  };
  for (let i = 0; i < 50; i++) create(i);
  const kept = Array.from({ length: 50 }, (_, i) => find(i));
  let left = 0;
  for (let i = 50; i < 3000; i++) {
    create(i);
    table.drop(table.find(nameOf(i), 0, nameOf(i).length)!);
    if (find(i) !== undefined) left++;
  }
  t.equal(left, 0);
  t.same(
    kept.map((stack, i) => find(i) === stack),
    kept.map(() => true),
  );
  t.equal(table.count, 50);
});

t.test('stacks that come and go leave nothing behind though nobody asks for a list', async (t) => {
  const table = new StackTable();
  const name = encode('one after the other');
  const gone: WeakRef<object>[] = [];
  for (let i = 0; i < 5000; i++) {
    const stack = table.create(name, 0, name.length);
    gone.push(new WeakRef(stack));
    table.drop(stack);
  }
  // References that are read or made in a turn hold until its end.
  await new Promise(setImmediate);
  collectGarbage();
  const held = gone.filter((ref) => ref.deref() !== undefined).length;
  t.ok(held < 2000, `${held} of 5,000 are still held`);
  t.same(table.sorted(), []);
});

t.test('a list is right while stacks come and go by the thousand', async (t) => {
  const table = new StackTable();
  const random = randomFrom(17);
  const names = new Set<string>();
  let wrong = 0;
  for (let round = 0; round < 60; round++) {
    for (let i = 0; i < 200; i++) {
      const text = `${random(2) ? 'é' : 'e'}${random(3000)}`;
      const name = encode(text);
      const stack = table.find(name, 0, name.length);
      if (stack !== undefined && random(3) > 0) {
        table.drop(stack);
        names.delete(text);
      } else if (stack === undefined) {
        table.create(name, 0, name.length);
        names.add(text);
      }
    }
    if (round % 7 !== 0) continue;
    const listed = table.sorted().map((stack) => Buffer.from(table.nameOf(stack)).toString());
    const expected = [...names].map(encode).sort(Buffer.compare).map(String);
    if (JSON.stringify(listed) !== JSON.stringify(expected)) wrong++;
  }
  t.equal(wrong, 0);
});
