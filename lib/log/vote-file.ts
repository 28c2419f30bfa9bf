import { crc32 } from 'node:zlib';
import { readU32, readU64, writeU32, writeU64 } from '../../protocol/byte-writer.ts';
import type { HardState } from '../core/types.ts';
import { diskErrorCode, isDiskFull, UNREADABLE } from './disk-error.ts';
import type { Disk } from './disk.ts';
import { readFully, untilRoom, writeFully } from './disk.ts';

export const VOTE_FILE = 'vote';

/** What stands in the file. */
export interface VoteRecord {
  readonly hardState: HardState;
  /** Number of the last block that was durable when this was written: the log cannot end before it. */
  readonly lastBlock: number;
  /** Set: the node had lost a part of its log and is not whole again; why. */
  readonly quarantine: string | null;
}

/**
 * ```
 * 0       4     8         9       10         12            16           24     32     40          48      52
 * | magic | crc | version | flags | reserved | reasonBytes | generation | term | vote | lastBlock | owner | reason …
 * ```
 * `crc` covers bytes 8 to the end of the reason. Flag 1: in quarantine.
 */
const HEADER_BYTES = 52;
const MAGIC = 0x54565743; // "CWVT"
const VERSION = 1;
const FLAG_QUARANTINE = 1;
/** One sector: a crash leaves the old copy or the new one. */
const COPY_BYTES = 512;
/** The two copies lie this far apart: what damages one page leaves the other. */
const COPY_DISTANCE = 4096;
/**
 * How far the log reaches, in a page of its own:
 * ```
 * 0       4     8       12         16          24
 * | magic | crc | owner | reserved | lastBlock |
 * ```
 */
const REACH_OFFSET: number = 2 * COPY_DISTANCE;
const REACH_BYTES = 24;
const REACH_MAGIC = 0x52565743; // "CWVR"
const MAX_REASON_BYTES: number = COPY_BYTES - HEADER_BYTES;

/**
 * Term and vote a second time, outside of the log, with two copies of everything. The log alone says them too, but a
 * log with a hole cannot say what stood in the hole, and a node that does not know in which terms it has voted may vote
 * a second time. Written after each write of the log that changes term or vote, and durable before that is
 * acknowledged: while it verifies, it holds at least whatever was acted on.
 *
 * It also remembers that the node is in quarantine, so that a crash half way through healing does not make a node out
 * of a part of its log.
 */
export class VoteFile {
  readonly #disk: Disk;
  readonly path: string;
  readonly #owner: number;
  #generation: number;
  #record: VoteRecord;
  /** The last one that was noted. */
  #reach: number;
  readonly #reachBytes: Uint8Array = new Uint8Array(REACH_BYTES);
  #fd = -1;
  /**
   * Asked when the disk is full; it returns whether to try once more. The file never grows, but where the file system
   * copies on write that takes room too.
   */
  makeRoom: () => boolean = () => false;

  /** Writes the file anew, whatever is there. */
  static create(disk: Disk, directory: string, owner: number, record: VoteRecord): VoteFile {
    const path = `${directory}/${VOTE_FILE}`;
    if (disk.exists(path)) disk.unlink(path);
    const fd = disk.open(path, 'create');
    // Room for everything that is ever written here: later writes find the disk full or not, it is no matter.
    writeFully(disk, fd, [new Uint8Array(REACH_OFFSET + COPY_BYTES)], 0);
    disk.close(fd);
    const file = new VoteFile(disk, path, owner, 0, record);
    file.store(record);
    disk.syncDirectory(directory);
    return file;
  }

  /** The file as it is, or what is wrong with it. Changes nothing. */
  static open(disk: Disk, directory: string, owner: number): VoteFile | string {
    const path = `${directory}/${VOTE_FILE}`;
    let copies: (Copy | null)[];
    try {
      if (!disk.exists(path)) return 'the file is missing';
      copies = readCopies(disk, path, owner);
    } catch (error) {
      if (diskErrorCode(error) !== 'EIO') throw error;
      return UNREADABLE;
    }
    const best = copies.reduce((a, b) => (a === null || (b !== null && b.generation > a.generation) ? b : a));
    if (best === null) return 'neither of its copies verifies';
    const lastBlock = Math.max(best.record.lastBlock, readReach(disk, path, owner));
    return new VoteFile(disk, path, owner, best.generation, { ...best.record, lastBlock });
  }

  private constructor(disk: Disk, path: string, owner: number, generation: number, record: VoteRecord) {
    this.#disk = disk;
    this.path = path;
    this.#owner = owner;
    this.#generation = generation;
    this.#record = record;
    this.#reach = record.lastBlock;
  }

  get record(): VoteRecord {
    return this.#record;
  }

  /** Durable when this returns. */
  store(record: VoteRecord): void {
    const bytes = new Uint8Array(COPY_DISTANCE + COPY_BYTES);
    encode(bytes, record, ++this.#generation, this.#owner);
    bytes.copyWithin(COPY_DISTANCE, 0, COPY_BYTES);
    if (this.#fd < 0) this.#fd = this.#disk.open(this.path, 'write');
    untilRoom(
      () => writeFully(this.#disk, this.#fd, [bytes], 0),
      () => this.makeRoom(),
    );
    this.#disk.datasync(this.#fd);
    this.#record = record;
    this.#reach = Math.max(this.#reach, record.lastBlock);
  }

  /**
   * Notes that block `lastBlock` is durable, and does not wait for the disk: the kernel has it, whatever becomes of the
   * process, and writes it some time. A log that is cut short at rest is noticed by this; without it several blocks
   * that are gone would look like one that was never finished. Where there is no room for it the next note says it.
   */
  noteReach(lastBlock: number): void {
    if (lastBlock <= this.#reach) return;
    const b = this.#reachBytes;
    writeU32(b, 0, REACH_MAGIC);
    writeU32(b, 8, this.#owner);
    writeU64(b, 16, lastBlock);
    writeU32(b, 4, crc32(b.subarray(8)));
    if (this.#fd < 0) this.#fd = this.#disk.open(this.path, 'write');
    try {
      writeFully(this.#disk, this.#fd, [b], REACH_OFFSET);
      this.#reach = lastBlock;
    } catch (error) {
      if (!isDiskFull(error)) throw error;
    }
  }

  /**
   * Makes durable what was read: a process may have died between its write and its fdatasync, and then the record is in
   * the kernel's memory only. Who acts on it and loses it afterwards goes back in time.
   */
  settle(): void {
    if (this.#fd < 0) this.store(this.#record);
  }

  /**
   * What is wrong with the copies on disk; null: nothing. Read with another disk than the log's own, since that one may
   * wait until it can open a file: votes and appends would wait with it.
   */
  check(disk: Disk): string | null {
    const whole = readCopies(disk, this.path, this.#owner).filter(
      (copy) => copy?.generation === this.#generation,
    ).length;
    return whole === 2 ? null : `${2 - whole} of its two copies do not verify any more`;
  }

  close(): void {
    if (this.#fd >= 0) this.#disk.close(this.#fd);
    this.#fd = -1;
  }
}

interface Copy {
  readonly record: VoteRecord;
  readonly generation: number;
}

/** Both copies; null for one that cannot be used. */
function readCopies(disk: Disk, path: string, owner: number): (Copy | null)[] {
  const fd = disk.open(path, 'read');
  try {
    return [0, COPY_DISTANCE].map((position) => {
      const bytes = new Uint8Array(COPY_BYTES);
      try {
        if (readFully(disk, fd, bytes, 0, COPY_BYTES, position) !== COPY_BYTES) return null;
      } catch (error) {
        if (diskErrorCode(error) !== 'EIO') throw error;
        return null;
      }
      return decode(bytes, owner);
    });
  } finally {
    disk.close(fd);
  }
}

/** What was noted of the log's length; 0: nothing that verifies. */
function readReach(disk: Disk, path: string, owner: number): number {
  const fd = disk.open(path, 'read');
  try {
    const b = new Uint8Array(REACH_BYTES);
    if (readFully(disk, fd, b, 0, REACH_BYTES, REACH_OFFSET) !== REACH_BYTES) return 0;
    if (readU32(b, 0) !== REACH_MAGIC || readU32(b, 8) !== owner || crc32(b.subarray(8)) !== readU32(b, 4))
      return 0;
    const lastBlock = readU64(b, 16);
    return lastBlock > Number.MAX_SAFE_INTEGER ? 0 : lastBlock;
  } catch (error) {
    if (diskErrorCode(error) !== 'EIO') throw error;
    return 0;
  } finally {
    disk.close(fd);
  }
}

function encode(b: Uint8Array, record: VoteRecord, generation: number, owner: number): void {
  const { hardState, lastBlock, quarantine } = record;
  const reason = Buffer.from(quarantine ?? '').subarray(0, MAX_REASON_BYTES);
  writeU32(b, 0, MAGIC);
  b[8] = VERSION;
  b[9] = quarantine === null ? 0 : FLAG_QUARANTINE;
  writeU32(b, 12, reason.length);
  writeU64(b, 16, generation);
  writeU64(b, 24, hardState.term);
  writeU64(b, 32, hardState.vote);
  writeU64(b, 40, lastBlock);
  writeU32(b, 48, owner);
  b.set(reason, HEADER_BYTES);
  writeU32(b, 4, crc32(b.subarray(8, HEADER_BYTES + reason.length)));
}

function decode(b: Uint8Array, owner: number): Copy | null {
  if (readU32(b, 0) !== MAGIC || b[8] !== VERSION) return null;
  const reasonBytes = readU32(b, 12);
  if (reasonBytes > MAX_REASON_BYTES) return null;
  if (crc32(b.subarray(8, HEADER_BYTES + reasonBytes)) !== readU32(b, 4) || readU32(b, 48) !== owner)
    return null;
  const generation = readU64(b, 16);
  const term = readU64(b, 24);
  const vote = readU64(b, 32);
  const lastBlock = readU64(b, 40);
  if (Math.max(generation, term, vote, lastBlock) > Number.MAX_SAFE_INTEGER) return null;
  const reason = Buffer.from(b.subarray(HEADER_BYTES, HEADER_BYTES + reasonBytes)).toString('utf8');
  const quarantine = (b[9]! & FLAG_QUARANTINE) === 0 ? null : reason;
  return { record: { hardState: { term, vote }, lastBlock, quarantine }, generation };
}
