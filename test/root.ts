import { existsSync } from 'node:fs';
import path from 'node:path';

function findRoot(from: string): string {
  return existsSync(path.join(from, 'package.json')) ? from : findRoot(path.dirname(from));
}

/** The package's root, from the sources as from build/. */
export const root: string = findRoot(import.meta.dirname);
