import { isDiskFull, isOutOfFiles } from './disk-error.ts';
import type { Disk } from './disk.ts';
import type { LogSizes } from './log-options.ts';
import { Reserve } from './reserve.ts';
import type { Segment } from './segment.ts';
import type { SegmentWriter } from './segment-writer.ts';
import { lowMark } from './space.ts';
import type { DiskSpace } from './space.ts';
import { SpareSegments } from './spare-segments.ts';

/** No segment takes more than this part of a disk: a log shrinks a whole segment at a time. */
const DISK_SHARE = 16;
/** How far zeros are kept ahead of the log while nothing else is to do, in pieces of `fillBytes`, if no more is wanted. */
const FILL_AHEAD = 4;
/** Room made ahead is divided into so many segments, or more. */
const AHEAD_SEGMENTS = 4;

/** The room a log has: how large its next segment may be, what is made ahead, and what is given up when room is scarce. */
export class LogRoom {
  readonly spares: SpareSegments;
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #sizes: LogSizes;
  readonly #wait: (() => boolean) | undefined;
  readonly #reserve: Reserve;
  /** As it was looked at last. */
  #space: DiskSpace | null = null;
  #isScarce = false;

  /** `wait` waits a while for room on a full disk; false: there is no point in waiting any longer. */
  constructor(disk: Disk, directory: string, sizes: LogSizes, wait: (() => boolean) | undefined) {
    this.#disk = disk;
    this.#directory = directory;
    this.#sizes = sizes;
    this.#wait = wait;
    this.#reserve = new Reserve(disk, directory, sizes.reserveBytes);
    this.spares = new SpareSegments(disk, directory, sizes.spareSegments);
    this.spares.adopt(disk.readdir(directory));
  }

  /** What lies beside the segments. */
  get bytes(): number {
    return this.spares.bytes + this.#reserve.bytes;
  }

  /** There is too little room to do anything that can wait. */
  get isScarce(): boolean {
    return this.#isScarce;
  }

  /**
   * Looks at the disk, and where that fails at what was seen last; null: nothing yet. Where there is too little to do
   * anything ahead, what was made ahead is given up.
   */
  check(): DiskSpace | null {
    const space = this.#look();
    if (space === null) return null;
    this.#space = space;
    this.#isScarce = space.freeBytes < lowMark(space, this.#sizes.lowSpaceBytes);
    if (this.#isScarce) this.spares.giveUp();
    return space;
  }

  /** The disk is full, and something must be written: first the reserve goes, then there is only waiting. */
  make(): boolean {
    this.#isScarce = true;
    return this.#reserve.release() || this.spares.giveUp() || (this.#wait?.() ?? false);
  }

  /** One short step of making files ready for what is to come behind `current`. False: everything is ready. */
  prepare(current: Segment, writer: SegmentWriter): boolean {
    if (this.#isScarce) return false;
    try {
      if (this.#reserve.prepare(writer.zeros)) return true;
      const { aheadBytes } = this.#sizes;
      if (writer.fillAhead(current, Math.max(aheadBytes, FILL_AHEAD * writer.zeros.length))) return true;
      const capacityBytes = this.capacityBehind(current);
      const half = current.writeOffset * 2 > current.header.capacityBytes;
      const missingBytes = aheadBytes - (current.fileBytes - current.writeOffset);
      const wantedBytes = Math.max(missingBytes, half ? capacityBytes : 0);
      if (wantedBytes <= 0 || !this.#isEnoughFor(capacityBytes)) return false;
      return this.spares.prepare(wantedBytes, capacityBytes, writer.zeros);
    } catch (error) {
      // Working ahead may fail for want of room, or of a file: nobody waits for it, and the log itself may still fit.
      if (!isDiskFull(error) && !isOutOfFiles(error)) throw error;
      this.#isScarce = true;
      return false;
    }
  }

  /**
   * Takes back the file of a segment that is no longer part of the log; `current` is the last one that is. False: there
   * is no room to note the removal, and nothing has changed.
   */
  recycle(dropped: Segment, current: Segment): boolean {
    const wantedBytes = this.#isScarce ? 0 : this.capacityBehind(current);
    return this.spares.recycle(dropped.path, dropped.fileBytes, wantedBytes);
  }

  /** A segment that was filled is followed by one of twice its size, as long as the disk is large enough for many. */
  capacityBehind(current: Segment | undefined): number {
    const share = this.#space === null ? Infinity : Math.floor(this.#space.totalBytes / DISK_SHARE);
    const maxSegmentBytes = Math.min(this.#sizes.maxSegmentBytes, share);
    const aheadBytes = Math.min(maxSegmentBytes, Math.floor(this.#sizes.aheadBytes / AHEAD_SEGMENTS));
    const minSegmentBytes = Math.max(this.#sizes.minSegmentBytes, aheadBytes);
    if (current === undefined) return minSegmentBytes;
    const { capacityBytes } = current.header;
    const filled = current.writeOffset * 2 > capacityBytes;
    return Math.max(minSegmentBytes, Math.min(maxSegmentBytes, filled ? capacityBytes * 2 : capacityBytes));
  }

  /** A look that fails says nothing of the log's own files: whatever is wrong with those, their writes will say. */
  #look(): DiskSpace | null {
    try {
      return this.#disk.space(this.#directory);
    } catch {
      return this.#space;
    }
  }

  /** Whether a spare leaves enough: it must not be what makes the disk count as nearly full. */
  #isEnoughFor(bytes: number): boolean {
    const space = this.#space;
    return space === null || space.freeBytes >= bytes + 2 * lowMark(space, this.#sizes.lowSpaceBytes);
  }
}
