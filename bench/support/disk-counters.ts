import { readFileSync, statSync } from 'node:fs';

export interface DiskCount {
  readonly writtenBytes: number;
  readonly flushes: number;
}

const SECTOR_BYTES = 512;

/**
 * The counters of the device below a directory, as the kernel keeps them: what really reached the disk, journals and
 * metadata included, and how often its cache was flushed. Everything else that writes to the device counts too.
 */
export class DiskCounters {
  /** Name of the device; null if it has no counters. */
  readonly device: string | null;
  /** Why there are no counters. */
  readonly problem: string;
  readonly #key: string;

  constructor(directory: string) {
    // A device number as Linux packs it.
    const dev = statSync(directory, { bigint: true }).dev;
    const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
    const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
    this.#key = `${major} ${minor}`;
    this.device = this.#fields()?.[2] ?? null;
    this.problem =
      this.device !== null
        ? ''
        : process.platform === 'linux'
          ? `${directory} does not lie on a disk of its own (device ${major}:${minor})`
          : 'only Linux counts what reaches a device';
  }

  /** null where `device` is. */
  read(): DiskCount | null {
    const fields = this.#fields();
    if (fields === null) return null;
    return { writtenBytes: Number(fields[9]) * SECTOR_BYTES, flushes: Number(fields[18] ?? 0) };
  }

  #fields(): string[] | null {
    try {
      for (const line of readFileSync('/proc/diskstats', 'utf8').split('\n')) {
        const fields = line.trim().split(/\s+/);
        if (`${fields[0]} ${fields[1]}` === this.#key) return fields;
      }
    } catch {
      // No such file here.
    }
    return null;
  }
}
