import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Test } from 'tap';
import type { coreChaos } from '../../../lib/testing/core-chaos.ts';
import type { stackChaos } from '../../../lib/testing/stack-chaos.ts';
import type { Bug } from '../bug-zoo.ts';

const build = join(import.meta.dirname, '..', '..', '..');

/** Puts each bug into a copy of the compiled core and looks for it with the simulator of cores. */
export function huntInCore(t: Test, bugs: readonly Bug[]): void {
  for (const bug of bugs) {
    t.test(bug.name, async (t) => {
      const directory = t.testdir();
      mkdirSync(join(directory, 'core'));
      mkdirSync(join(directory, 'testing'));
      writeFileSync(join(directory, 'package.json'), '{"type":"module"}');
      for (const layer of ['core', 'testing']) {
        for (const name of readdirSync(join(build, 'lib', layer)).filter((n) => n.endsWith('.js')))
          copyFileSync(join(build, 'lib', layer, name), join(directory, layer, name));
      }
      infect(join(directory, 'core', `${bug.file}.js`), bug);
      const url = pathToFileURL(join(directory, 'testing', 'core-chaos.js')).href;
      const breed = (await import(url)) as { coreChaos: typeof coreChaos };
      await hunt(t, bug, (seed) => breed.coreChaos(seed));
    });
  }
}

/** The same with a copy of everything, and the simulator of whole nodes. */
export function huntInCluster(t: Test, bugs: readonly Bug[]): void {
  for (const bug of bugs) {
    t.test(bug.name, async (t) => {
      // Below the package, so that its dependencies are found.
      const directory = t.testdir();
      writeFileSync(join(directory, 'package.json'), readFileSync(join(build, '..', 'package.json')));
      const filter = (path: string): boolean => statSync(path).isDirectory() || path.endsWith('.js');
      for (const folder of ['lib', 'protocol'])
        cpSync(join(build, folder), join(directory, folder), { recursive: true, filter });
      infect(join(directory, 'lib', `${bug.file}.js`), bug);
      const url = pathToFileURL(join(directory, 'lib', 'testing', 'stack-chaos.js')).href;
      const breed = (await import(url)) as { stackChaos: typeof stackChaos };
      await hunt(t, bug, (seed) => breed.stackChaos(seed));
    });
  }
}

function infect(file: string, bug: Bug): void {
  let text = readFileSync(file, 'utf8');
  for (const [from, to] of bug.change) {
    if (text.split(from).length !== 2) throw new Error(`${bug.file}: not there once: ${from}`);
    text = text.replace(from, () => to);
  }
  writeFileSync(file, text);
}

async function hunt(t: Test, bug: Bug, tell: (seed: number) => unknown): Promise<void> {
  t.setTimeout(120_000);
  const { from = 1, within } = bug;
  for (let seed = from; seed < from + within; seed++) {
    try {
      await tell(seed);
    } catch (error) {
      t.pass(`found with seed ${seed}: ${(error as Error).message}`);
      return;
    }
  }
  t.fail(`not found within ${within} seeds (${bug.seenIn})`);
}
