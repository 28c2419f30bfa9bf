import { coreChaos } from '../../../lib/testing/core-chaos.ts';
import { stackChaos } from '../../../lib/testing/stack-chaos.ts';
import type { Kind } from './seeds.ts';

/** Everything that happens in a story, and its end. */
export async function storyText(kind: Kind, seed: number): Promise<string> {
  const lines: string[] = [];
  const trace = (line: string): void => void lines.push(line);
  const result = kind === 'core' ? coreChaos(seed, { trace }) : await stackChaos(seed, { trace });
  return [...lines, JSON.stringify(result)].join('\n');
}
