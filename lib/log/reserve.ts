import { isDiskFull } from './disk-error.ts';
import type { Disk } from './disk.ts';
import { removeForRoom, writeFully } from './disk.ts';

const NAME = 'reserve';

/**
 * A file that only takes up room, beside the segments. When a write finds none it goes first: so there always is
 * enough to finish what is under way, and for votes and configurations while clients are refused.
 */
export class Reserve {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #wantedBytes: number;
  #bytes = 0;

  constructor(disk: Disk, directory: string, wantedBytes: number) {
    this.#disk = disk;
    this.#path = `${directory}/${NAME}`;
    this.#wantedBytes = wantedBytes;
    if (!disk.exists(this.#path)) return;
    const fd = disk.open(this.#path, 'read');
    this.#bytes = disk.size(fd);
    disk.close(fd);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Adds a piece. False: it is complete, or there is no room for it. */
  prepare(zeros: Uint8Array): boolean {
    const missing = this.#wantedBytes - this.#bytes;
    if (missing <= 0) return false;
    const fd = this.#disk.open(this.#path, this.#disk.exists(this.#path) ? 'write' : 'create');
    try {
      const piece = missing < zeros.length ? zeros.subarray(0, missing) : zeros;
      this.#bytes += writeFully(this.#disk, fd, [piece], this.#bytes);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      return false;
    } finally {
      this.#disk.close(fd);
    }
    return true;
  }

  /** Gives the room up. False: there was none, or it cannot be had now. */
  release(): boolean {
    if (!this.#disk.exists(this.#path) || !removeForRoom(this.#disk, this.#path)) return false;
    const had = this.#bytes > 0;
    this.#bytes = 0;
    return had;
  }
}
