// docs/testing.md names every scenario and every bug of the zoo, and nothing that is not there.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { faultNames } from '../../lib/testing/nemesis.ts';
import { clusterZoo } from './bug-zoo-cluster.ts';
import { zoo } from './bug-zoo.ts';
import { root } from '../root.ts';

const text = readFileSync(path.join(root, 'docs', 'testing.md'), 'utf8');

t.test('every bug of the zoo', async (t) => {
  for (const { name, seenIn } of [...zoo, ...clusterZoo])
    t.ok(text.includes(`| ${name} | ${seenIn} |`), name);
});

t.test('every scenario of the labs', async (t) => {
  for (const lab of ['3a', '3b', '3c', '3d']) {
    const source = readFileSync(path.join(root, 'test', 'sim', `lab-${lab}.test.ts`), 'utf8');
    const names = [...source.matchAll(/t\.test\([`'](\w+):/g)].map(([, name]) => name!);
    t.ok(names.length >= 3);
    const row = text.split('\n').find((line) => line.includes(`lab-${lab}.test.ts`))!;
    for (const name of names) t.ok(row.includes(name), name);
  }
});

t.test('every golden story that is named is there', async (t) => {
  const part = text.slice(text.indexOf('### The interaction themes'));
  const stories = new Set(readdirSync(path.join(root, 'test', 'golden')));
  for (const [, name] of part.matchAll(/`([\w-]+)`/g)) {
    if (name !== undefined) t.ok(stories.has(`${name}.txt`), name);
  }
});

t.test('every kind of fault is known to the nemesis by a name of its own', async (t) => {
  t.equal(new Set(faultNames).size, faultNames.length);
});

t.test('every command that is documented for the simulator exists', async (t) => {
  const { scripts } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const commands = [...text.matchAll(/npm run ([\w:-]+)/g)].map(([, name]) => name!);
  t.ok(commands.includes('soak'));
  for (const name of commands) t.ok(name in scripts, name);
  const options = readFileSync(path.join(root, 'test', 'soak', 'main.ts'), 'utf8');
  for (const [, line] of text.matchAll(/^npm run soak -- (.*)$/gm)) {
    for (const [, option] of line!.matchAll(/--([a-z]+)/g)) t.ok(options.includes(`${option!}: {`), option!);
  }
});
