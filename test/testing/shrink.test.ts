import t from 'tap';
import { coreChaos } from '../../lib/testing/core-chaos.ts';
import { shrink } from '../../lib/testing/shrink.ts';
import { stackChaos } from '../../lib/testing/stack-chaos.ts';

t.test('what is left of a failure is what it needs', async (t) => {
  const needed = [3, 17, 18, 40];
  const tell = (faults: ReadonlySet<number>): Error | null =>
    needed.every((n) => faults.has(n)) ? new Error(`with ${faults.size}`) : null;
  const { faults, error, runs } = await shrink(tell, 60, new Error('at first'));
  t.same(faults, needed);
  t.equal(error.message, 'with 4');
  t.ok(runs < 120, `${runs} runs`);
});

t.test('a failure that needs no fault at all', async (t) => {
  const { faults } = await shrink(() => new Error('always'), 9, new Error('at first'));
  t.same(faults, []);
});

t.test('when it has taken enough time, what is known by then counts', async (t) => {
  let runs = 0;
  const { faults } = await shrink(
    (chosen) => (chosen.has(5) ? new Error('x') : null),
    64,
    new Error('at first'),
    () => runs++ >= 3,
  );
  t.ok(faults.includes(5));
  t.ok(faults.length < 64);
});

t.test('leaving a fault out changes nothing of what the others do', async (t) => {
  const told = async (kind: 'core' | 'cluster', faults?: ReadonlySet<number>): Promise<string[]> => {
    const lines: string[] = [];
    const options = { trace: (line: string) => void lines.push(line), faults };
    if (kind === 'core') coreChaos(12, options);
    else await stackChaos(12, options);
    return lines;
  };
  for (const kind of ['core', 'cluster'] as const) {
    const all = await told(kind);
    t.strictSame(await told(kind, new Set(Array.from({ length: 100 }, (_, i) => i + 1))), all);
    const faults = (lines: string[]): string[] => lines.filter((line) => /fault \d+: /.test(line));
    const without = faults(await told(kind, new Set([2, 3, 5])));
    t.strictSame(
      without,
      faults(all).filter((line) => /fault [235]: /.test(line)),
      `${kind}: the same faults at the same times`,
    );
  }
});
