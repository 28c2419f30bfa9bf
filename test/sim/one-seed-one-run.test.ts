import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import t from 'tap';
import { coreChaos } from '../../lib/testing/core-chaos.ts';
import { stackChaos } from '../../lib/testing/stack-chaos.ts';

/** Everything that happens in a story, and its end. */
async function story(kind: 'core' | 'cluster', seed: number): Promise<string> {
  const lines: string[] = [];
  const trace = (line: string): void => void lines.push(line);
  const result = kind === 'core' ? coreChaos(seed, { trace }) : await stackChaos(seed, { trace });
  return `${lines.length} lines, ${crc32(lines.join('\n'))}, ${JSON.stringify(result)}`;
}

const stories = [
  ['core', 7],
  ['core', 11],
  ['cluster', 7],
  ['cluster', 12],
  ['cluster', 34],
] as const;

if (isMainThread) {
  for (const [kind, seed] of stories) {
    t.test(`${kind} seed ${seed}: the same run every time, in another thread too`, async (t) => {
      const here = await story(kind, seed);
      t.equal(await story(kind, seed), here);
      t.equal(await elsewhere(kind, seed), here);
    });
  }
} else {
  const { kind, seed } = workerData as { kind: 'core' | 'cluster'; seed: number };
  // Something else first: what an earlier story leaves behind must not matter.
  await stackChaos(seed + 1);
  parentPort!.postMessage(await story(kind, seed));
}

function elsewhere(kind: string, seed: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { kind, seed } });
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}
