import type { Disk } from './disk.ts';
import { removeForRoom, writeFully } from './disk.ts';

const SUFFIX = '.spare';

interface Spare {
  readonly path: string;
  fileBytes: number;
}

/**
 * Files that will be segments: made ahead and filled with zeros, or taken back from behind the log after compaction.
 * Overwriting blocks a file already has costs a disk half of what appending does, and no journal.
 */
export class SpareSegments {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #limit: number;
  #spares: Spare[] = [];
  #nextName = 1;

  constructor(disk: Disk, directory: string, limit: number) {
    this.#disk = disk;
    this.#directory = directory;
    this.#limit = limit;
  }

  /** Takes over what an earlier run left. */
  adopt(names: readonly string[]): void {
    for (const name of names) {
      if (!name.endsWith(SUFFIX)) continue;
      const path = `${this.#directory}/${name}`;
      const fd = this.#disk.open(path, 'read');
      const fileBytes = this.#disk.size(fd);
      this.#disk.close(fd);
      if (this.#spares.length < this.#limit) this.#spares.push({ path, fileBytes });
      else this.#disk.unlink(path);
      this.#nextName = Math.max(this.#nextName, (Number.parseInt(name, 10) || 0) + 1);
    }
  }

  /**
   * Takes a segment file out of the log, as a spare if one is wanted. Durable when this returns: only then may the
   * file be written to, or a crash could bring it back under its old name with its new content. False: there is no room
   * to note the removal (see `removeForRoom`), and the file stays what it is.
   */
  recycle(path: string, fileBytes: number, wantedBytes: number): boolean {
    const fits = fileBytes <= wantedBytes && fileBytes >= wantedBytes / 2;
    // A spare in the making gives way to one that is ready.
    const worse = this.#spares.findIndex((spare) => spare.fileBytes < fileBytes);
    if (fits && this.#spares.length >= this.#limit && worse >= 0) {
      this.#disk.unlink(this.#spares[worse]!.path);
      this.#spares.splice(worse, 1);
    }
    if (fits && this.#spares.length < this.#limit) {
      const spare = this.#newPath();
      this.#disk.rename(path, spare);
      this.#spares.push({ path: spare, fileBytes });
    } else if (!removeForRoom(this.#disk, path)) {
      return false;
    }
    this.#disk.syncDirectory(this.#directory);
    return true;
  }

  /** A file for the next segment, opened for writing, and its length; a new and empty one if none is ready. */
  take(capacityBytes: number): { path: string; fd: number; fileBytes: number } {
    // The fullest last: zeros that are still missing are written when they are needed.
    this.#spares.sort((a, b) => a.fileBytes - b.fileBytes);
    while (this.#spares.length > 0) {
      const spare = this.#spares.pop()!;
      if (spare.fileBytes <= capacityBytes) {
        return {
          path: spare.path,
          fd: this.#disk.openDirect(spare.path, 'write'),
          fileBytes: spare.fileBytes,
        };
      }
      this.#disk.unlink(spare.path);
    }
    const path = this.#newPath();
    return { path, fd: this.#disk.openDirect(path, 'create'), fileBytes: 0 };
  }

  /** Adds one chunk of zeros to the spare in the making. False: there are `wantedBytes`, in files of `capacityBytes`. */
  prepare(wantedBytes: number, capacityBytes: number, zeros: Uint8Array): boolean {
    const spare = this.#spares.find(({ fileBytes }) => fileBytes < capacityBytes);
    if (spare === undefined) {
      if (this.#spares.length >= this.#limit || this.bytes >= wantedBytes) return false;
      const path = this.#newPath();
      this.#disk.close(this.#disk.open(path, 'create'));
      this.#spares.push({ path, fileBytes: 0 });
      return true;
    }
    const missing = capacityBytes - spare.fileBytes;
    const fd = this.#disk.openDirect(spare.path, 'write');
    try {
      const chunk = missing < zeros.length ? zeros.subarray(0, missing) : zeros;
      spare.fileBytes += writeFully(this.#disk, fd, [chunk], spare.fileBytes);
      this.#disk.datasync(fd);
    } finally {
      this.#disk.close(fd);
    }
    return true;
  }

  /** Removes all of them: the room is needed. False: there were none, or it cannot be had now. */
  giveUp(): boolean {
    const before = this.bytes;
    this.#spares = this.#spares.filter(({ path }) => !removeForRoom(this.#disk, path));
    return this.bytes < before;
  }

  get bytes(): number {
    return this.#spares.reduce((sum, spare) => sum + spare.fileBytes, 0);
  }

  #newPath(): string {
    return `${this.#directory}/${String(this.#nextName++).padStart(8, '0')}${SUFFIX}`;
  }
}
