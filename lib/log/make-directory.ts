import fs from 'node:fs';
import path from 'node:path';

/**
 * Makes a directory and those it is in, for this user alone. Fails with the system's error. Not Node's own recursive
 * form: where the system says ENOENT though the parent is there (below /proc, for one), that tries again for ever.
 */
export function makeDirectory(directory: string): void {
  const target = path.resolve(directory);
  try {
    fs.mkdirSync(target, { mode: 0o700 });
    syncNames(path.dirname(target));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && fs.statSync(target).isDirectory()) return;
    const parent = path.dirname(target);
    if (code !== 'ENOENT' || parent === target || fs.existsSync(parent)) throw error;
    makeDirectory(parent);
    makeDirectory(target);
  }
}

/** A directory whose name a power failure takes is gone with all that was synced in it since. */
function syncNames(directory: string): void {
  if (process.platform === 'win32') return;
  let fd: number;
  try {
    fd = fs.openSync(directory, 'r');
  } catch {
    // One may write to a directory and yet not read it.
    return;
  }
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}
