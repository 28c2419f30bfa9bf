import { Worker } from 'node:worker_threads';
import t from 'tap';
import { storyText } from './support/story-text.ts';

const stories = [
  ['core', 7],
  ['core', 11],
  ['cluster', 7],
  ['cluster', 12],
  ['cluster', 34],
] as const;

for (const [kind, seed] of stories) {
  t.test(`${kind} seed ${seed}: the same run every time, in another thread too`, async (t) => {
    const here = await storyText(kind, seed);
    // Compared by lines: the first difference is what one wants to see.
    t.equal(firstDifference(await storyText(kind, seed), here), '');
    t.equal(firstDifference(await elsewhere(kind, seed), here), '');
  });
}

function elsewhere(kind: string, seed: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('support/story-thread.js', import.meta.url), {
      workerData: { kind, seed },
    });
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

function firstDifference(found: string, wanted: string): string {
  const lines = wanted.split('\n');
  const at = found.split('\n').findIndex((line, i) => line !== lines[i]);
  return found === wanted ? '' : `line ${at}: ${found.split('\n')[at]} instead of ${lines[at]}`;
}
