import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { until } from './until.ts';

const TIMEOUT_MS = 120_000;

/** Waits until the node with this data directory has made so much room for its log, which it does while it rests. */
export async function roomAhead(dataDirectory: string, megabytes: number): Promise<void> {
  const log = path.join(dataDirectory, 'log');
  const isReady = (): true | undefined => {
    const sizes = readdirSync(log).map(
      (name) => statSync(path.join(log, name), { throwIfNoEntry: false })?.size ?? 0,
    );
    return sizes.reduce((sum, size) => sum + size, 0) >= megabytes << 20 || undefined;
  };
  await until(isReady, TIMEOUT_MS, `no room ahead of the log in ${log}`);
}
