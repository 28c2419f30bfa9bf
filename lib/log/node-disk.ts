import fs from 'node:fs';
import { makeDirectory } from './make-directory.ts';
import type { Disk } from './disk.ts';
import type { DiskSpace } from './space.ts';

/** The machine's file system. Files are readable and writable by their owner only. */
export class NodeDisk implements Disk {
  open(path: string, mode: 'read' | 'write' | 'create'): number {
    return fs.openSync(path, mode === 'read' ? 'r' : mode === 'write' ? 'r+' : 'wx+', 0o600);
  }

  close(fd: number): void {
    fs.closeSync(fd);
  }

  size(fd: number): number {
    return fs.fstatSync(fd).size;
  }

  read(fd: number, into: Uint8Array, offset: number, length: number, position: number): number {
    return fs.readSync(fd, into, offset, length, position);
  }

  write(fd: number, parts: readonly Uint8Array[], position: number): number {
    if (parts.length === 1) return fs.writeSync(fd, parts[0]!, 0, parts[0]!.length, position);
    return fs.writevSync(fd, parts, position);
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
    return fs.readdirSync(path).sort();
  }

  mkdir(path: string): void {
    makeDirectory(path);
  }

  exists(path: string): boolean {
    return fs.existsSync(path);
  }

  space(path: string): DiskSpace {
    const { bavail, blocks, bsize } = fs.statfsSync(path);
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  }

  syncDirectory(path: string): void {
    // Windows cannot open a directory as a file; NTFS journals names by itself.
    if (process.platform === 'win32') return;
    const fd = fs.openSync(path, 'r');
    try {
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
  }
}
