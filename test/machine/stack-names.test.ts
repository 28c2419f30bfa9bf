import t from 'tap';
import { NameBytes } from '../../lib/machine/name-bytes.ts';
import { StackTable } from '../../lib/machine/stack-table.ts';

const encode = (text: string): Buffer => Buffer.from(text, 'utf8');

t.test('names are told apart wherever they lie', async (t) => {
  const names = new NameBytes();
  const words = Array.from({ length: 500 }, (_, i) => encode(`name ${i} ${'x'.repeat(i % 50)}`));
  const places = words.map((word) => names.add(word));
  for (const [i, word] of words.entries()) {
    const source = Buffer.concat([encode('before '), word, encode(' behind')]);
    t.ok(names.is(places[i]!, word.length, source, 7));
    source[7 + word.length - 1]! ^= 1;
    t.notOk(names.is(places[i]!, word.length, source, 7), 'the last byte counts');
  }
});

t.test('the gaps that dropped names leave are closed once they are most of it', async (t) => {
  const names = new NameBytes();
  for (let i = 0; i < 200; i++) names.add(Buffer.alloc(1000, i));
  const answers = Array.from({ length: 200 }, () => names.drop(1000));
  t.equal(answers.indexOf(true), 100);
  names.clear();
  t.equal(names.add(encode('first')), 0);
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
