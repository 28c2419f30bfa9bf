import { parentPort, workerData } from 'node:worker_threads';
import { stackChaos } from '../../../lib/testing/stack-chaos.ts';
import { storyText } from './story-text.ts';
import type { Kind } from './seeds.ts';

const { kind, seed } = workerData as { kind: Kind; seed: number };
// Something else first: what an earlier story leaves behind must not matter.
await stackChaos(seed + 1);
parentPort!.postMessage(await storyText(kind, seed));
