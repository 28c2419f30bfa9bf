import type { DiskCall, MemoryDisk } from '../../../lib/log/memory-disk.ts';

/**
 * The step that a call on a disk is, in the words of the crash table in docs/storage.md: `write log/N.log`. Null: the
 * call changes nothing.
 */
export function stepOf(disk: MemoryDisk, root: string, call: DiskCall): string | null {
  const { operation, path } = call;
  if (operation === 'read' || operation === 'readdir') return null;
  if (operation === 'mkdir') return disk.exists(path) ? null : `mkdir ${nameIn(root, path)}/`;
  if (operation === 'open') return disk.exists(path) ? null : `create ${nameIn(root, path)}`;
  if (operation === 'datasync') return `fdatasync ${nameIn(root, path)}`;
  if (operation === 'syncDirectory') return `fsync ${nameIn(root, path)}/`;
  return `${operation} ${nameIn(root, path)}`;
}

/** The path inside of the data directory, numbers as `N`. */
function nameIn(root: string, path: string): string {
  if (path === root) return '.';
  return path.startsWith(`${root}/`)
    ? path.slice(root.length + 1).replace(/\d+(-\d+)?(\.snap\.\d+)?/, 'N')
    : '..';
}
