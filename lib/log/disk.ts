import { isDiskFull } from './disk-error.ts';
import type { DiskSpace } from './space.ts';

export type OpenMode = 'read' | 'write' | 'create';

/**
 * The file system as the log uses it: a handful of synchronous calls, named for what they promise. Everything that
 * touches a file goes through this, so that the simulator can run the same code over a disk that loses, tears and
 * refuses writes (`MemoryDisk`).
 *
 * All calls throw on failure, with `code` set as Node sets it (`ENOSPC`, `EIO`, `ENOENT`, …).
 */
export interface Disk {
  /** `create` makes a new file and fails if there is one; `write` opens an existing one for reading and writing. */
  open(path: string, mode: OpenMode): number;
  /**
   * As `open`, for large files that are written or read once, from one end to the other. Where the file system can,
   * they go past the kernel's cache; behind the end of each write there may be up to 4 KiB of zeros then.
   */
  openDirect(path: string, mode: OpenMode): number;
  close(fd: number): void;
  size(fd: number): number;
  /** Reads into `into[offset, offset + length)`; returns how much, which may be less than asked; 0 at the end. */
  read(fd: number, into: Uint8Array, offset: number, length: number, position: number): number;
  /** Writes the parts one behind the other; returns how many bytes were taken, which may be less than given. */
  write(fd: number, parts: readonly Uint8Array[], position: number): number;
  /** Cuts off what lies behind the first `bytes` of a file. */
  truncate(fd: number, bytes: number): void;
  /** Makes the file's bytes and size durable. A failure must never be retried: the dirty pages may be gone. */
  datasync(fd: number): void;
  rename(from: string, to: string): void;
  unlink(path: string): void;
  /** Names in a directory, sorted. */
  readdir(path: string): string[];
  /** Makes a directory readable by its owner only; fine if it is there. */
  mkdir(path: string): void;
  /** Throws where that cannot be told: what cannot be looked up may well be there. */
  exists(path: string): boolean;
  /** Room on the file system that holds `path`. */
  space(path: string): DiskSpace;
  /** Makes names created, renamed and removed in a directory durable. */
  syncDirectory(path: string): void;
}

/** Writes all parts, however often the disk takes only some of the bytes. Returns the number of bytes. */
export function writeFully(disk: Disk, fd: number, parts: readonly Uint8Array[], position: number): number {
  let total = 0;
  for (const part of parts) total += part.length;
  let done = disk.write(fd, parts, position);
  if (done < total) done = writeRest(disk, fd, parts, position, total, done);
  return done;
}

function writeRest(
  disk: Disk,
  fd: number,
  parts: readonly Uint8Array[],
  position: number,
  total: number,
  taken: number,
): number {
  let done = taken;
  while (done < total) {
    const rest: Uint8Array[] = [];
    let skip = done;
    for (const part of parts) {
      if (skip >= part.length) {
        skip -= part.length;
        continue;
      }
      rest.push(skip === 0 ? part : part.subarray(skip));
      skip = 0;
    }
    const more = disk.write(fd, rest, position + done);
    if (more <= 0) throw Object.assign(new Error('the disk takes no more bytes'), { code: 'EIO' });
    done += more;
  }
  return done;
}

/**
 * Removes a file to make room. False: there is no room for that either, as a file system says that copies on write and
 * has to note the removal somewhere; the file stays.
 */
export function removeForRoom(disk: Disk, path: string): boolean {
  try {
    disk.unlink(path);
    return true;
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    return false;
  }
}

/** What `action` yields, tried again on a full disk as long as `makeRoom` says so. */
export function untilRoom<T>(action: () => T, makeRoom: () => boolean): T {
  for (;;) {
    try {
      return action();
    } catch (error) {
      if (!isDiskFull(error) || !makeRoom()) throw error;
    }
  }
}

/** Reads until `length` bytes are there or the file ends; returns how many. */
export function readFully(
  disk: Disk,
  fd: number,
  into: Uint8Array,
  offset: number,
  length: number,
  position: number,
): number {
  let done = 0;
  while (done < length) {
    const more = disk.read(fd, into, offset + done, length - done, position + done);
    if (more <= 0) break;
    done += more;
  }
  return done;
}

/** The whole of a small file; refuses one larger than `maxBytes`. */
export function readSmallFile(disk: Disk, path: string, maxBytes: number): Uint8Array {
  const fd = disk.open(path, 'read');
  try {
    const size = disk.size(fd);
    if (size > maxBytes)
      throw Object.assign(new Error(`${path} is larger than it can be`), { code: 'EFBIG' });
    const bytes = new Uint8Array(size);
    return bytes.subarray(0, readFully(disk, fd, bytes, 0, size, 0));
  } finally {
    disk.close(fd);
  }
}

/**
 * Replaces a small file as a whole: after a crash there is the old one or the new one, never a part.
 * The new content is durable when this returns.
 */
export function replaceSmallFile(disk: Disk, directory: string, name: string, content: Uint8Array): void {
  const temporary = `${directory}/${name}.tmp`;
  if (disk.exists(temporary)) disk.unlink(temporary);
  const fd = disk.open(temporary, 'create');
  try {
    writeFully(disk, fd, [content], 0);
    disk.datasync(fd);
  } finally {
    disk.close(fd);
  }
  disk.rename(temporary, `${directory}/${name}`);
  disk.syncDirectory(directory);
}
