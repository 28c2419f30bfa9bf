import type { Test } from 'tap';
import { coreChaos } from '../../../lib/testing/core-chaos.ts';
import { stackChaos } from '../../../lib/testing/stack-chaos.ts';

export type Kind = 'core' | 'cluster';

/** What many stories did together, by name. */
export type Tally = Map<string, number>;

/**
 * Tells the stories of `count` seeds from `first` on. A failure names its seed and the command that tells that story
 * again, with everything that happens in it. Returns what happened: stories in which nothing did prove nothing.
 */
export async function runSeeds(t: Test, kind: Kind, first: number, count: number): Promise<Tally> {
  // On its own too the file may take longer than tap gives it, where others use the machine as well.
  t.setTimeout(120_000);
  const tally: Tally = new Map();
  const failures: string[] = [];
  for (let seed = first; seed < first + count; seed++) {
    try {
      if (kind === 'core') {
        const { committed, terms, damages, leasesHeld } = coreChaos(seed);
        add(tally, { committed, terms, damages, leasesHeld });
      } else {
        const { committed, operations, faults, events } = await stackChaos(seed);
        add(tally, { committed, operations, ...Object.fromEntries([...faults, ...events]) });
      }
    } catch (error) {
      failures.push(`${(error as Error).message}\n  npm run soak -- --kind ${kind} --seed ${seed} --trace`);
    }
  }
  t.strictSame(failures.slice(0, 10), [], `${failures.length} of ${count} seeds failed`);
  return tally;
}

function add(tally: Tally, counts: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(counts)) tally.set(name, (tally.get(name) ?? 0) + count);
}
