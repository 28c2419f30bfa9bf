import type { Random } from '../core/random.ts';
import type { NodeId } from '../core/types.ts';
import type { Disk, OpenMode } from '../log/disk.ts';
import { LOG_DIRECTORY } from '../log/open-log-files.ts';
import { recoverLog } from '../log/log-recovery.ts';
import { MemoryDisk } from '../log/memory-disk.ts';
import { PeerFile } from '../log/peer-file.ts';
import type { DiskSpace } from '../log/space.ts';

/** What a call on a disk can come to: an error, a few bytes only, or the end of the machine's power in the middle. */
export type DiskFault = 'EIO' | 'ENOSPC' | 'short' | 'power';

/** Ways in which bytes at rest change. */
export type Rot = 'flip' | 'zeros' | 'misdirected';

/** The data directory of every simulated node, on a disk of its own. */
export const DATA_PATH = 'data';
const SECTOR_BYTES = 512;

/** The disk of one simulated machine, and what goes wrong with it. All faults are drawn from `random`. */
export class SimStorage {
  /** What is on the disk, for whoever looks at it from outside. Processes use what `powerOn` gives them. */
  disk!: MemoryDisk;
  /** Data directories so far: another one after each `wipe`. */
  generation = 0;
  /**
   * An error was injected since the last start: the node may then stop by itself, and say so. Of a full disk too, as
   * long as it is full.
   */
  faulty = false;
  /** Bytes were changed at rest since everything was last found whole, or the directory was wiped. */
  tainted = false;
  /** How often bytes were changed at rest. */
  damages = 0;
  #full = false;
  #random: Random;
  #onPowerLoss: () => void;
  #process: ProcessDisk | null = null;
  #callsToFault = Infinity;
  #fault: DiskFault = 'EIO';

  constructor(random: Random, onPowerLoss: () => void) {
    this.#random = random;
    this.#onPowerLoss = onPowerLoss;
    this.#renew();
  }

  get full(): boolean {
    return this.#full;
  }

  /** The n-th call from now meets with `fault`. `Infinity`: none does. */
  failAfter(calls: number, fault: DiskFault): void {
    this.#callsToFault = calls;
    this.#fault = fault;
    if (fault === 'EIO' || fault === 'ENOSPC') this.faulty = true;
  }

  /** A process starts on this machine: what was planned for the one before is void. Returns the disk as it sees it. */
  powerOn(): Disk {
    this.#callsToFault = Infinity;
    this.faulty = this.#full;
    return (this.#process = new ProcessDisk(this.disk));
  }

  /** What was not synced is kept, lost or torn. */
  losePower(): void {
    this.#process?.end();
    this.disk.crash((below) => Math.floor(this.#random.next() * below));
  }

  /** Only the process is gone. */
  kill(): void {
    this.#process?.end();
    this.disk.kill();
  }

  /** Something else takes the room on the disk, but for `freeBytes`; until `empty`. */
  fill(freeBytes: number): void {
    const { totalBytes, freeBytes: free } = this.disk.space();
    this.disk.capacityBytes = totalBytes - free + freeBytes;
    this.#full = true;
    this.faulty = true;
  }

  empty(): void {
    if (!this.#full) return;
    this.disk.capacityBytes = 2 ** 40;
    this.#full = false;
  }

  /** Everything is gone; the next start finds an empty disk. The process must be down. */
  wipe(): void {
    this.tainted = true;
    this.#full = false;
    this.#renew();
  }

  /** Whether this machine would know a data directory of node `id` again, after a crash too. */
  hasMet(id: NodeId): boolean {
    try {
      return new PeerFile(this.#afterCrash(), DATA_PATH).incarnationOf(id) !== undefined;
    } catch {
      return false;
    }
  }

  /**
   * Damages something at rest, in one sector: a byte, the sector itself, or it is overwritten with another one. Not the
   * last block of the log: whoever damages exactly that, before anything is written behind it, makes what cannot be
   * told from a write that was not finished (docs/testing.md, "What is not tolerated"). Returns what was done; empty:
   * there is nothing to damage.
   */
  damage(rot: Rot): string {
    const place = this.#choosePlace();
    if (place === null) return '';
    const { path, offset } = place;
    const { disk } = this;
    const from = offset - (offset % SECTOR_BYTES);
    if (rot === 'flip') {
      disk.corrupt(path, offset, 1 << Math.floor(this.#random.next() * 8));
    } else {
      const old = disk.content(path);
      const source = rot === 'zeros' ? null : this.#anySector();
      const end = Math.min(old.length, from + SECTOR_BYTES, place.endOffset);
      for (let at = Math.max(from, place.startOffset); at < end; at++) {
        const byte = source?.[at - from] ?? 0;
        if (byte !== old[at]) disk.corrupt(path, at, byte ^ old[at]!);
      }
    }
    this.tainted = true;
    this.damages++;
    return `${rot} in ${path} at ${offset}`;
  }

  #choosePlace(): { path: string; offset: number; startOffset: number; endOffset: number } | null {
    const view = this.#afterCrash();
    let tail: { path: string; offset: number };
    try {
      const log = recoverLog(view, `${DATA_PATH}/${LOG_DIRECTORY}`, 0);
      if (log === null || log.damage !== null) return null;
      tail = { path: log.image.current.path, offset: log.lastBlockOffset };
    } catch {
      return null;
    }
    const files = view.files().filter((path) => this.disk.exists(path));
    const path = files[Math.floor(this.#random.next() * files.length)];
    if (path === undefined) return null;
    // Names that are not durable yet may bring an older segment back to the end of the log.
    const isSegment = path.startsWith(`${DATA_PATH}/${LOG_DIRECTORY}/`);
    if (isSegment && path > tail.path) return null;
    const length = Math.min(view.content(path).length, this.disk.content(path).length);
    const endOffset = path === tail.path ? Math.min(tail.offset, length) : length;
    if (endOffset === 0) return null;
    // The beginnings of files matter most: headers, and what was written first.
    const share = this.#random.next() < 0.5 ? this.#random.next() : this.#random.next() ** 4;
    return { path, offset: Math.floor(share * endOffset), startOffset: 0, endOffset };
  }

  #anySector(): Uint8Array | null {
    const files = this.disk.files();
    const path = files[Math.floor(this.#random.next() * files.length)];
    if (path === undefined) return null;
    const bytes = this.disk.content(path);
    const sectors = Math.max(1, Math.floor(bytes.length / SECTOR_BYTES));
    const at = Math.floor(this.#random.next() * sectors) * SECTOR_BYTES;
    return bytes.subarray(at, at + SECTOR_BYTES);
  }

  /** What is sure to be there whatever happens. */
  #afterCrash(): MemoryDisk {
    const copy = this.disk.fork();
    copy.crash(() => 0);
    return copy;
  }

  #renew(): void {
    this.generation++;
    this.disk = new MemoryDisk();
    this.disk.onCall = () => this.#called();
  }

  #called(): number | undefined {
    if (--this.#callsToFault > 0) return undefined;
    this.#callsToFault = Infinity;
    if (this.#fault === 'short') return 1 + Math.floor(this.#random.next() * 64);
    if (this.#fault === 'power') {
      this.#onPowerLoss();
      throw failure('EIO', 'the power is gone');
    }
    throw failure(this.#fault, 'the simulated disk');
  }
}

/** The disk as one process sees it: once that has ended, what is left of it moves nothing any more. */
class ProcessDisk implements Disk {
  readonly #disk: MemoryDisk;
  #ended = false;

  constructor(disk: MemoryDisk) {
    this.#disk = disk;
  }

  end(): void {
    this.#ended = true;
  }

  open(path: string, mode: OpenMode): number {
    return this.#live.open(path, mode);
  }

  openDirect(path: string, mode: OpenMode): number {
    return this.#live.openDirect(path, mode);
  }

  /** The kernel closes what a process leaves open. */
  close(fd: number): void {
    if (!this.#ended) this.#disk.close(fd);
  }

  size(fd: number): number {
    return this.#live.size(fd);
  }

  read(fd: number, into: Uint8Array, offset: number, length: number, position: number): number {
    return this.#live.read(fd, into, offset, length, position);
  }

  write(fd: number, parts: readonly Uint8Array[], position: number): number {
    return this.#live.write(fd, parts, position);
  }

  truncate(fd: number, bytes: number): void {
    this.#live.truncate(fd, bytes);
  }

  datasync(fd: number): void {
    this.#live.datasync(fd);
  }

  rename(from: string, to: string): void {
    this.#live.rename(from, to);
  }

  unlink(path: string): void {
    this.#live.unlink(path);
  }

  readdir(path: string): string[] {
    return this.#live.readdir(path);
  }

  mkdir(path: string): void {
    this.#live.mkdir(path);
  }

  exists(path: string): boolean {
    return this.#disk.exists(path);
  }

  space(): DiskSpace {
    return this.#disk.space();
  }

  syncDirectory(path: string): void {
    this.#live.syncDirectory(path);
  }

  get #live(): MemoryDisk {
    if (this.#ended) throw failure('EIO', 'the process has ended');
    return this.#disk;
  }
}

function failure(code: string, text: string): Error {
  return Object.assign(new Error(`${code}: ${text}`), { code });
}
