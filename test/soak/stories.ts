import { coreChaos } from '../../lib/testing/core-chaos.ts';
import { stackChaos } from '../../lib/testing/stack-chaos.ts';
import { StoryFailure, type StoryOptions } from '../../lib/testing/story.ts';

export const kinds = ['core', 'cluster'] as const;
export type Kind = (typeof kinds)[number];

/** Seeds given to a worker at a time: about as much work of either kind. */
export const CHUNK: Readonly<Record<Kind, number>> = { core: 40, cluster: 4 };

export interface Failure {
  readonly kind: Kind;
  readonly seed: number;
  readonly message: string;
  /** Faults that took place. */
  readonly faults: number;
}

export interface Chunk {
  readonly kind: Kind;
  readonly first: number;
  readonly count: number;
}

export interface ChunkResult extends Chunk {
  readonly virtualMs: number;
  readonly failures: readonly Failure[];
}

/** Tells the story of a seed; returns how long it took by its own clocks. */
export async function tell(kind: Kind, seed: number, options: StoryOptions = {}): Promise<number> {
  const result = kind === 'core' ? coreChaos(seed, options) : await stackChaos(seed, options);
  return result.virtualMs;
}

export async function tellChunk({ kind, first, count }: Chunk): Promise<ChunkResult> {
  const failures: Failure[] = [];
  let virtualMs = 0;
  for (let seed = first; seed < first + count; seed++) {
    try {
      virtualMs += await tell(kind, seed);
    } catch (error) {
      const faults = error instanceof StoryFailure ? error.faults : 0;
      failures.push({ kind, seed, message: (error as Error).message, faults });
    }
  }
  return { kind, first, count, virtualMs, failures };
}
