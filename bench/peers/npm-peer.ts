import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Other people's packages have a package.json of their own; from dist/bench/peers it lies in the checkout. */
const PEERS = new URL('../../../bench/peers/', import.meta.url);

/** Where a file of an npm package for comparison lies; null if these packages have not been installed. */
export function npmPeer(file: string): string | null {
  const found = fileURLToPath(new URL(`node_modules/${file}`, PEERS));
  return existsSync(found) ? found : null;
}

export const NOT_INSTALLED = 'not installed (npm ci --prefix bench/peers)';
