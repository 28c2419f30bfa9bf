import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/**
 * A new directory for one benchmark's data, gone when the process ends. It must lie on the disk that is to be
 * measured: pass `parent` where the system's directory for temporary files is in memory.
 */
export function scratchDirectory(parent: string): string {
  const base = parent === '' ? tmpdir() : path.resolve(parent);
  mkdirSync(base, { recursive: true });
  const directory = mkdtempSync(path.join(base, 'cordwood-bench-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }));
  return directory;
}
