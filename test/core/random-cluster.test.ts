import t from 'tap';
import { coreChaos } from '../../lib/testing/core-chaos.ts';

/**
 * Random stories of whole clusters of cores. A failure names its seed; to see what happened:
 *
 *   npm run pretest && CORDWOOD_SEED=<seed> node build/test/core/random-cluster.test.js
 */
const one = process.env['CORDWOOD_SEED'];
const first = Number(process.env['CORDWOOD_FIRST_SEED'] ?? 1);
const count = Number(process.env['CORDWOOD_SEEDS'] ?? 1000);

if (one !== undefined) {
  const lines: string[] = [];
  try {
    coreChaos(Number(one), (line) => lines.push(line));
    t.pass(`seed ${one}`);
  } catch (error) {
    t.comment(lines.join('\n'));
    t.fail(String(error));
  }
} else {
  const failures: string[] = [];
  let committed = 0;
  let terms = 0;
  for (let seed = first; seed < first + count; seed++) {
    try {
      const result = coreChaos(seed);
      committed += result.committed;
      terms += result.terms;
    } catch (error) {
      failures.push(
        `${(error as Error).message} — CORDWOOD_SEED=${seed} node build/test/core/random-cluster.test.js`,
      );
    }
  }
  t.strictSame(failures.slice(0, 20), [], `${failures.length} of ${count} seeds failed`);
  t.ok(committed > count * 20, `the clusters got something done: ${committed} entries in ${terms} terms`);
}

t.test('one seed is one run', (t) => {
  const run = (): string => {
    const lines: string[] = [];
    coreChaos(7, (line) => lines.push(line));
    return lines.join('\n');
  };
  t.equal(run(), run());
  t.end();
});
