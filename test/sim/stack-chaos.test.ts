import t from 'tap';
import { stackChaos } from '../../lib/testing/stack-chaos.ts';

/**
 * Random stories of whole clusters that serve stacks: real nodes, logs, machines and clients over simulated network,
 * disks and clocks. A failure names its seed; to see what happened:
 *
 *   npm run pretest && CORDWOOD_SEED=<seed> node build/test/sim/stack-chaos.test.js
 */
const one = process.env['CORDWOOD_SEED'];
const first = Number(process.env['CORDWOOD_FIRST_SEED'] ?? 1);
const count = Number(process.env['CORDWOOD_SEEDS'] ?? 300);

if (one !== undefined) {
  const lines: string[] = [];
  try {
    await stackChaos(Number(one), (line) => lines.push(line));
    t.pass(`seed ${one}`);
  } catch (error) {
    t.comment(lines.join('\n'));
    t.fail(String(error));
  }
} else {
  const failures: string[] = [];
  let operations = 0;
  let unknown = 0;
  for (let seed = first; seed < first + count; seed++) {
    try {
      const result = await stackChaos(seed);
      operations += result.operations;
      unknown += result.unknown;
    } catch (error) {
      failures.push(
        `${(error as Error).message} — CORDWOOD_SEED=${seed} node build/test/sim/stack-chaos.test.js`,
      );
    }
  }
  t.strictSame(failures.slice(0, 10), [], `${failures.length} of ${count} seeds failed`);
  t.ok(operations > count * 10, `${operations} operations, ${unknown} of them without an answer`);
}

t.test('one seed is one run', async (t) => {
  const run = async (): Promise<string> => {
    const lines: string[] = [];
    const { digest } = await stackChaos(7, (line) => lines.push(line));
    return [...lines, digest].join('\n');
  };
  t.equal(await run(), await run());
});
