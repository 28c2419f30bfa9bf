import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statfsSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const BALLAST = 'ballast';

/** A file system of its own for each node, small enough to be filled to the brim. Needs the right to mount. */
export class SmallDisks {
  readonly #base: string;
  readonly #count: number;

  /** Throws where mounting is not permitted. */
  constructor(count: number, mebibytes: number) {
    this.#count = count;
    this.#base = mkdtempSync(path.join(tmpdir(), 'cordwood-disks-'));
    for (let id = 1; id <= count; id++) {
      mkdirSync(this.#path(id));
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', this.#path(id)], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
    }
  }

  /** Lets node N of a cluster find its data on disk N. */
  link(dir: string): void {
    for (let id = 1; id <= this.#count; id++) symlinkSync(this.#path(id), path.join(dir, String(id)));
  }

  /** Fills a disk with something that is not the node's until only so many bytes are free. */
  fill(id: number, leaveBytes: number): void {
    this.empty(id);
    const bytes = this.freeBytes(id) - leaveBytes;
    if (bytes > 0) writeFileSync(path.join(this.#path(id), BALLAST), Buffer.alloc(bytes, 1));
  }

  /** Takes that away again. */
  empty(id: number): void {
    rmSync(path.join(this.#path(id), BALLAST), { force: true });
  }

  freeBytes(id: number): number {
    const { bavail, bsize } = statfsSync(this.#path(id));
    return bavail * bsize;
  }

  close(): void {
    for (let id = 1; id <= this.#count; id++) {
      try {
        execFileSync('umount', [this.#path(id)], { stdio: 'ignore' });
      } catch {
        // It was never mounted.
      }
    }
    rmSync(this.#base, { recursive: true, force: true });
  }

  #path(id: number): string {
    return path.join(this.#base, String(id));
  }
}
