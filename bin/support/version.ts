import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** The package's version: its package.json lies above this file, one folder higher in dist/ than in the sources. */
export function packageVersion(): string {
  for (let folder = import.meta.dirname; ; folder = path.dirname(folder)) {
    const file = path.join(folder, 'package.json');
    if (existsSync(file)) return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
    if (folder === path.dirname(folder)) return 'unknown';
  }
}
