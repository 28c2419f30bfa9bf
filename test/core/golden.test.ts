import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { replayScript } from './script.ts';

/**
 * Stories about cores with everything that must happen in them: test/golden/*.txt. After a change that is meant,
 * `UPDATE_GOLDEN=1 node build/test/core/golden.test.js` writes them anew; review the difference as text.
 */
// Compiled to build/test/core: the stories stay where they were written.
const root = import.meta.dirname.replace(/([\\/])build\1test\1core$/, '$1test$1core');
const folder = process.env['GOLDEN_DIR'] ?? join(root, '..', 'golden');

for (const name of readdirSync(folder).filter((f) => f.endsWith('.txt'))) {
  const file = join(folder, name);
  const text = readFileSync(file, 'utf8');
  const now = replayScript(text);
  if (process.env['UPDATE_GOLDEN'] !== undefined) {
    writeFileSync(file, now);
    t.pass(`${name} written`);
    continue;
  }
  t.equal(now, text, name);
}
