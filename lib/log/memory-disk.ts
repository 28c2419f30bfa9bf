import { copyOf } from '../../protocol/byte-writer.ts';
import { diskErrorCode } from './disk-error.ts';
import type { Disk, OpenMode } from './disk.ts';
import {
  copyFile,
  emptyFile,
  keep,
  place,
  SECTOR_BYTES,
  tear,
  type MemoryFile,
  type Write,
} from './memory-file.ts';
import type { DiskSpace } from './space.ts';

/** One call about to be made on a `MemoryDisk`. */
export interface DiskCall {
  readonly operation:
    | 'open'
    | 'read'
    | 'write'
    | 'truncate'
    | 'datasync'
    | 'rename'
    | 'unlink'
    | 'readdir'
    | 'mkdir'
    | 'syncDirectory';
  readonly path: string;
  /** Bytes asked for, of `read` and `write`. */
  readonly bytes: number;
}

interface OpenFile {
  readonly path: string;
  readonly file: MemoryFile;
  readonly direct: boolean;
}

type NameChange =
  | { readonly kind: 'add'; readonly path: string; readonly file: MemoryFile }
  | { readonly kind: 'remove'; readonly path: string }
  | { readonly kind: 'rename'; readonly from: string; readonly to: string };

/**
 * A disk in memory that behaves at a crash as real ones may: writes that were not synced are kept, lost or torn,
 * sector by sector and file by file; names that were not synced are lost from some point on. Directories themselves
 * are durable at once.
 *
 * @example
 * const disk = new MemoryDisk();
 * disk.onCall = (call) => { if (call.operation === 'datasync') throw new Error('EIO'); };
 * disk.crash((below) => Math.floor(Math.random() * below));
 */
export class MemoryDisk implements Disk {
  /**
   * Sees every call before it is carried out. Throwing fails the call, with the file unchanged; of a write or read,
   * a returned number limits how many bytes are moved.
   */
  onCall: ((call: DiskCall) => number | undefined) | null = null;
  /** Writes that would make the files larger than this together fail with `ENOSPC`, and new files where that is reached. */
  capacityBytes: number = 2 ** 40;
  #names = new Map<string, MemoryFile>();
  #durableNames = new Map<string, MemoryFile>();
  #nameChanges: NameChange[] = [];
  readonly #directories = new Set<string>();
  readonly #open = new Map<number, OpenFile>();
  #nextFd = 3;

  openDirect(path: string, mode: OpenMode): number {
    const fd = this.open(path, mode);
    this.#open.set(fd, { ...this.#opened(fd), direct: true });
    return fd;
  }

  open(path: string, mode: OpenMode): number {
    this.#call('open', path, 0);
    let file = this.#names.get(path);
    if (mode === 'create') {
      if (file !== undefined) throw failure('EEXIST', path);
      if (!this.#directories.has(parent(path))) throw failure('ENOENT', path);
      // A name takes room too: many file systems have none for it once they are full.
      if (this.space().freeBytes === 0) throw failure('ENOSPC', path);
      file = emptyFile();
      this.#names.set(path, file);
      this.#nameChanges.push({ kind: 'add', path, file });
    }
    if (file === undefined) throw failure('ENOENT', path);
    const fd = this.#nextFd++;
    this.#open.set(fd, { path, file, direct: false });
    return fd;
  }

  close(fd: number): void {
    this.#opened(fd);
    this.#open.delete(fd);
  }

  size(fd: number): number {
    return this.#opened(fd).file.liveBytes;
  }

  read(fd: number, into: Uint8Array, offset: number, length: number, position: number): number {
    const { path, file } = this.#opened(fd);
    const limit = this.#call('read', path, length);
    const count = Math.max(0, Math.min(length, limit, file.liveBytes - position));
    into.set(file.live.subarray(position, position + count), offset);
    return count;
  }

  write(fd: number, parts: readonly Uint8Array[], position: number): number {
    const { path, file, direct } = this.#opened(fd);
    let total = 0;
    for (const part of parts) total += part.length;
    const count = Math.min(total, this.#call('write', path, total));
    // A page goes to the disk as a whole, with zeros behind the end. Small ones here, as all files are.
    const padding =
      direct && count === total ? (SECTOR_BYTES - ((position + count) % SECTOR_BYTES)) % SECTOR_BYTES : 0;
    const growth = position + count + padding - file.liveBytes;
    if (growth > 0 && growth > this.space().freeBytes) throw failure('ENOSPC', path);
    const bytes = new Uint8Array(total + padding);
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    const write: Write = { position, bytes: bytes.subarray(0, count + padding) };
    file.pending.push(write);
    ({ bytes: file.live, length: file.liveBytes } = place(file.live, file.liveBytes, write));
    return count;
  }

  truncate(fd: number, bytes: number): void {
    const { path, file } = this.#opened(fd);
    this.#call('truncate', path, bytes);
    file.live.fill(0, bytes, file.liveBytes);
    file.liveBytes = Math.min(file.liveBytes, bytes);
    file.pending.push({ position: bytes, bytes: new Uint8Array(0), cuts: true });
  }

  datasync(fd: number): void {
    const { path, file } = this.#opened(fd);
    try {
      this.#call('datasync', path, 0);
    } catch (error) {
      // As with Linux: reads still see what a failed sync has not written, and no later sync writes it.
      if (diskErrorCode(error) === 'EIO') file.pending = [];
      throw error;
    }
    for (const write of file.pending) keep(file, write);
    file.pending = [];
  }

  rename(from: string, to: string): void {
    this.#call('rename', from, 0);
    const file = this.#names.get(from);
    if (file === undefined) throw failure('ENOENT', from);
    this.#names.delete(from);
    this.#names.set(to, file);
    for (const [fd, opened] of this.#open)
      if (opened.file === file) this.#open.set(fd, { ...opened, path: to });
    this.#nameChanges.push({ kind: 'rename', from, to });
  }

  unlink(path: string): void {
    this.#call('unlink', path, 0);
    if (!this.#names.delete(path)) throw failure('ENOENT', path);
    this.#nameChanges.push({ kind: 'remove', path });
  }

  readdir(path: string): string[] {
    this.#call('readdir', path, 0);
    if (!this.#directories.has(path)) throw failure('ENOENT', path);
    const names: string[] = [];
    for (const name of this.#names.keys()) if (parent(name) === path) names.push(name.slice(path.length + 1));
    return names.sort();
  }

  mkdir(path: string): void {
    this.#call('mkdir', path, 0);
    this.#directories.add(path);
  }

  exists(path: string): boolean {
    return this.#names.has(path) || this.#directories.has(path);
  }

  space(): DiskSpace {
    let used = 0;
    for (const file of this.#names.values()) used += file.liveBytes;
    return { freeBytes: Math.max(0, this.capacityBytes - used), totalBytes: this.capacityBytes };
  }

  syncDirectory(path: string): void {
    this.#call('syncDirectory', path, 0);
    const rest: NameChange[] = [];
    for (const change of this.#nameChanges) {
      if (parent(change.kind === 'rename' ? change.to : change.path) === path) this.#keepName(change);
      else rest.push(change);
    }
    this.#nameChanges = rest;
  }

  /**
   * The machine stops and starts again. `choose(n)` picks a number below `n`, and with it the fate of everything
   * that was not synced. Open files are gone.
   */
  crash(choose: (below: number) => number): void {
    const changes = this.#nameChanges.slice(0, choose(this.#nameChanges.length + 1));
    for (const change of changes) this.#keepName(change);
    this.#nameChanges = [];
    this.#open.clear();
    const files = new Set([...this.#names.values(), ...this.#durableNames.values()]);
    for (const file of files) {
      for (const write of file.pending) tear(file, write, choose);
      file.pending = [];
      file.live = copyOf(file.durable);
      file.liveBytes = file.durableBytes;
    }
    this.#names = new Map(this.#durableNames);
  }

  /** Only the process stops: what it has written stays, synced or not. */
  kill(): void {
    this.#open.clear();
  }

  /** Paths of all files, sorted. */
  files(): string[] {
    return [...this.#names.keys()].sort();
  }

  /** Content of a file, as reads see it. A copy. */
  content(path: string): Uint8Array {
    const file = this.#names.get(path);
    if (file === undefined) throw failure('ENOENT', path);
    return copyOf(file.live, 0, file.liveBytes);
  }

  /** Rot: changes bits of a byte behind everyone's back. */
  corrupt(path: string, offset: number, mask: number): void {
    const file = this.#names.get(path);
    if (file === undefined || offset >= file.liveBytes) throw failure('ENOENT', path);
    file.live[offset]! ^= mask;
    if (offset < file.durableBytes) file.durable[offset]! ^= mask;
  }

  /** A disk of its own with the same durable and live content. */
  clone(): MemoryDisk {
    const copy = new MemoryDisk();
    for (const path of this.#directories) copy.#directories.add(path);
    for (const [path, file] of this.#names) {
      const cloned: MemoryFile = {
        ...file,
        live: copyOf(file.live),
        durable: copyOf(file.live),
        pending: [],
      };
      cloned.durableBytes = file.liveBytes;
      copy.#names.set(path, cloned);
      copy.#durableNames.set(path, cloned);
    }
    return copy;
  }

  /**
   * A disk of its own in the same state, what was not synced included: crash it, and see what this one might have
   * left, while this one goes on. Files that are open here are not open there.
   */
  fork(): MemoryDisk {
    const copy = new MemoryDisk();
    copy.capacityBytes = this.capacityBytes;
    const copies = new Map<MemoryFile, MemoryFile>();
    const fileCopy = (file: MemoryFile): MemoryFile => {
      let copied = copies.get(file);
      if (copied === undefined) {
        copied = copyFile(file);
        copies.set(file, copied);
      }
      return copied;
    };
    for (const path of this.#directories) copy.#directories.add(path);
    for (const [path, file] of this.#names) copy.#names.set(path, fileCopy(file));
    for (const [path, file] of this.#durableNames) copy.#durableNames.set(path, fileCopy(file));
    copy.#nameChanges = this.#nameChanges.map((change) =>
      change.kind === 'add' ? { ...change, file: fileCopy(change.file) } : change,
    );
    return copy;
  }

  #call(operation: DiskCall['operation'], path: string, bytes: number): number {
    return this.onCall?.({ operation, path, bytes }) ?? Infinity;
  }

  #opened(fd: number): OpenFile {
    const opened = this.#open.get(fd);
    if (opened === undefined) throw failure('EBADF', String(fd));
    return opened;
  }

  #keepName(change: NameChange): void {
    if (change.kind === 'add') this.#durableNames.set(change.path, change.file);
    else if (change.kind === 'remove') this.#durableNames.delete(change.path);
    else {
      const file = this.#durableNames.get(change.from);
      if (file === undefined) return;
      this.#durableNames.delete(change.from);
      this.#durableNames.set(change.to, file);
    }
  }
}

function parent(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}

function failure(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}
