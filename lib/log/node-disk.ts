import fs from 'node:fs';
import { DirectFile, DirectStage } from './direct-file.ts';
import { diskErrorCode, isOutOfFiles } from './disk-error.ts';
import { makeDirectory } from './make-directory.ts';
import type { Disk, OpenMode } from './disk.ts';
import type { DiskSpace } from './space.ts';

/** The machine's file system. Files are readable and writable by their owner only. */
export class NodeDisk implements Disk {
  /**
   * Waits for a while where all that the process may open are in use. For a thread that has nothing to do but what it opens
   * a file for: it stands still meanwhile.
   */
  patient = false;
  readonly #direct = new Map<number, DirectFile>();
  /** Files that turned out not to take direct writes: what they are written through instead. */
  readonly #cached = new Map<number, number>();
  #stage: DirectStage | null = null;
  /** The file system has refused a direct write, or has no such thing. */
  #refused = (fs.constants.O_DIRECT as number | undefined) === undefined;

  open(path: string, mode: OpenMode): number {
    return this.#open(path, mode === 'read' ? 'r' : mode === 'write' ? 'r+' : 'wx+', 0o600);
  }

  openDirect(path: string, mode: OpenMode): number {
    if (mode === 'create') fs.closeSync(this.open(path, mode));
    if (!this.#refused) {
      try {
        const fd = this.#open(
          path,
          (mode === 'read' ? fs.constants.O_RDONLY : fs.constants.O_RDWR) | fs.constants.O_DIRECT,
        );
        this.#stage ??= new DirectStage();
        this.#direct.set(fd, new DirectFile(fd, path, this.#stage));
        return fd;
      } catch (error) {
        if (!isRefusal(error)) throw error;
        this.#refused = true;
      }
    }
    return this.open(path, mode === 'read' ? 'read' : 'write');
  }

  close(fd: number): void {
    this.#direct.delete(fd);
    const cached = this.#cached.get(fd);
    this.#cached.delete(fd);
    if (cached !== undefined) fs.closeSync(cached);
    fs.closeSync(fd);
  }

  size(fd: number): number {
    return fs.fstatSync(fd).size;
  }

  read(fd: number, into: Uint8Array, offset: number, length: number, position: number): number {
    const direct = this.#direct.get(fd);
    if (direct !== undefined) return direct.read(into, offset, length, position);
    return fs.readSync(this.#cached.get(fd) ?? fd, into, offset, length, position);
  }

  write(fd: number, parts: readonly Uint8Array[], position: number): number {
    const direct = this.#direct.get(fd);
    if (direct !== undefined) {
      try {
        return direct.write(parts, position);
      } catch (error) {
        if (!direct.untried || !isRefusal(error)) throw error;
        this.#fallBack(fd, direct);
      }
    }
    const target = this.#cached.get(fd) ?? fd;
    if (parts.length === 1) return fs.writeSync(target, parts[0]!, 0, parts[0]!.length, position);
    return fs.writevSync(target, parts, position);
  }

  truncate(fd: number, bytes: number): void {
    this.#direct.get(fd)?.forget();
    fs.ftruncateSync(fd, bytes);
  }

  datasync(fd: number): void {
    fs.fdatasyncSync(fd);
  }

  rename(from: string, to: string): void {
    fs.renameSync(from, to);
  }

  unlink(path: string): void {
    fs.unlinkSync(path);
  }

  readdir(path: string): string[] {
    return this.#whenThereAreFiles(() => fs.readdirSync(path)).sort();
  }

  mkdir(path: string): void {
    makeDirectory(path);
  }

  exists(path: string): boolean {
    // Not `existsSync`: to that, a name that the disk cannot look up is one that is not there.
    try {
      return fs.statSync(path, { throwIfNoEntry: false }) !== undefined;
    } catch (error) {
      if (diskErrorCode(error) !== 'ENOTDIR') throw error;
      return false;
    }
  }

  space(path: string): DiskSpace {
    const { bavail, blocks, bsize } = fs.statfsSync(path);
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  }

  syncDirectory(path: string): void {
    // Windows cannot open a directory as a file; NTFS journals names by itself.
    if (process.platform === 'win32') return;
    const fd = this.#open(path, 'r');
    try {
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
  }

  #open(path: string, flags: string | number, mode?: number): number {
    return this.#whenThereAreFiles(() => fs.openSync(path, flags, mode));
  }

  /** Sockets are files, too, and what else lives in the process opens some: that none is left is no fault of the disk. */
  #whenThereAreFiles<T>(open: () => T): T {
    for (let waitedMs = 0; ; waitedMs += FILES_INTERVAL_MS) {
      try {
        return open();
      } catch (error) {
        if (!this.patient || !isOutOfFiles(error) || waitedMs >= FILES_PATIENCE_MS) throw error;
      }
      Atomics.wait(sleeper, 0, 0, FILES_INTERVAL_MS);
    }
  }

  /** There are file systems that let a file be opened for direct writes and then refuse them, or want larger pages. */
  #fallBack(fd: number, direct: DirectFile): void {
    this.#refused = true;
    this.#direct.delete(fd);
    this.#cached.set(fd, this.open(direct.path, 'write'));
  }
}

function isRefusal(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EINVAL';
}

/** How often, and for how long, a patient disk asks for a file while all that the process may open are in use. */
const FILES_INTERVAL_MS = 20;
const FILES_PATIENCE_MS = 30_000;

const sleeper = new Int32Array(new SharedArrayBuffer(4));
