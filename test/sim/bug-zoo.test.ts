import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import type { coreChaos } from '../../lib/testing/core-chaos.ts';
import { zoo, type Bug } from './bug-zoo.ts';

/** What `coreChaos` consists of beside the core. */
const parts = [
  'core-chaos',
  'core-checker',
  'core-cluster',
  'core-disk',
  'core-node',
  'event-queue',
  'format-message',
  'model-log',
  'partitions',
  'story',
  'weather',
];
const lib = join(import.meta.dirname, '..', '..', 'lib');

/** The compiled core with the bug in it, and the simulator around it. */
async function breed(directory: string, bug: Bug): Promise<typeof coreChaos> {
  mkdirSync(join(directory, 'core'));
  mkdirSync(join(directory, 'testing'));
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}');

  for (const name of readdirSync(join(lib, 'core'))) {
    if (name.endsWith('.js')) copyFileSync(join(lib, 'core', name), join(directory, 'core', name));
  }
  for (const name of parts) {
    copyFileSync(join(lib, 'testing', `${name}.js`), join(directory, 'testing', `${name}.js`));
  }
  const file = join(directory, 'core', `${bug.file}.js`);
  let text = readFileSync(file, 'utf8');
  for (const [from, to] of bug.change) {
    if (text.split(from).length !== 2) throw new Error(`lib/core/${bug.file}: not there once: ${from}`);
    text = text.replace(from, () => to);
  }
  writeFileSync(file, text);
  const url = pathToFileURL(join(directory, 'testing', 'core-chaos.js')).href;
  return ((await import(url)) as { coreChaos: typeof coreChaos }).coreChaos;
}

for (const bug of zoo) {
  t.test(bug.name, async (t) => {
    const run = await breed(t.testdir(), bug);
    for (let seed = 1; seed <= bug.within; seed++) {
      try {
        run(seed);
      } catch (error) {
        t.pass(`found with seed ${seed}: ${(error as Error).message}`);
        return;
      }
    }
    t.fail(`not found within ${bug.within} seeds (${bug.seenIn})`);
  });
}
