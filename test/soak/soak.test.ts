import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import '../support/plain-start.ts';

const MAIN = fileURLToPath(new URL('main.js', import.meta.url));

/** Runs the command to its end. */
function soak(...args: readonly string[]): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    child.once('error', reject);
    child.once('close', (code) => {
      resolve({ code, out, err });
    });
  });
}

t.test('new seeds until the time is over, and what they amount to', async (t) => {
  const { code, out } = await soak('--minutes', '0.02', '--from', '5', '--jobs', '1');
  t.equal(code, 0, out);
  t.match(out, /^seeds from 5 on, 1 at a time/);
  t.match(out, /\d+ core and \d+ cluster seeds, [\d.]+ simulated hours, [\d.]+ a minute, 0 failed/);
});

t.test('one seed again, with everything that happens in it', async (t) => {
  const { code, out } = await soak('--kind', 'core', '--seed', '7', '--trace');
  t.equal(code, 0);
  t.match(out, /1 → 2 {2}/);
  t.match(out, /core seed 7: nothing wrong in [\d.]+ s\n$/);
  const some = await soak('--kind', 'cluster', '--seed', '7', '--faults', '2,3', '--trace');
  t.same(
    [...some.out.matchAll(/fault (\d+):/g)].map(([, number]) => number),
    ['2', '3'],
  );
});

t.test('an option that makes no sense is said in one line', async (t) => {
  t.same(await soak('--kind', 'nonsense'), { code: 2, out: '', err: 'soak: --kind: core or cluster\n' });
  t.match(await soak('--seed', 'x'), { code: 2, err: 'soak: --seed: not a number: x\n' });
});
