import { readdirSync } from 'node:fs';
import path from 'node:path';
import { startAhead } from './worker-thread.ts';

/**
 * Starts the threads that a log at `directory` will need. A thread takes a tenth of a second to start, and most of that
 * is time in which the caller can load and do other things. Whatever is wrong with the directory shows when it is
 * opened.
 *
 * @example
 * startThreads('data/1');
 * const { runNode } = await import('./run-node.ts');
 */
export function startThreads(directory: string): void {
  startAhead('log-worker');
  try {
    // Without a snapshot its thread is not needed for a while.
    if (readdirSync(path.join(directory, 'snapshots')).length > 0) startAhead('snapshot-worker');
  } catch {
    // There is none yet.
  }
}
