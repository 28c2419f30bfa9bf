// Every command that a document shows is run, and answers what the document says it answers. The longest document has a
// file of its own beside this one.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { ROOT } from './support/fences.ts';
import { NOT_RUN, runDocument, shellBlocks } from './support/shell-blocks.ts';

const LONGEST = 'docs/operations.md';
const blocks = shellBlocks();

t.test('blocks that are not run', async (t) => {
  const names = new Set(blocks.map(({ name }) => name));
  for (const name of NOT_RUN.keys()) t.ok(names.has(name), `${name} is there`);
  const { scripts } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  t.equal(scripts['start'], 'node dist/bin/cordwood.js local up');
  for (const { code, file } of blocks) {
    for (const [, script] of code.matchAll(/npm run ([\w:-]+)/g))
      t.ok(script! in scripts, `${file}: ${script}`);
    for (const [, source] of code.matchAll(/\bbuild\/(\S+)\.js\b/g))
      t.ok(existsSync(path.join(ROOT, `${source}.ts`)), `${file}: ${source}`);
  }
});

for (const file of new Set(blocks.map((block) => block.file)))
  if (file !== LONGEST) t.test(file, (t) => runDocument(t, file));
