import type { Disk } from './disk.ts';
import { untilRoom, writeFully } from './disk.ts';
import type { Segment } from './segment.ts';
import { encodeSegmentHeader } from './segment-format.ts';
import type { SpareSegments } from './spare-segments.ts';

/** A block is small if so many of them fit into one piece of zeros. */
export const SMALL_SHARE = 32;

/** The writing end of the log: the current segment's file, and how the next one comes to be. */
export class SegmentWriter {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #zeros: Uint8Array;
  readonly #makeRoom: () => boolean;
  /** The current segment, once it has been written to. */
  #fd = -1;
  #dirty = false;

  /** `makeRoom` is asked when the disk is full; it returns whether to try once more. */
  constructor(disk: Disk, directory: string, fillBytes: number, makeRoom: () => boolean) {
    this.#makeRoom = makeRoom;
    this.#disk = disk;
    this.#directory = directory;
    this.#zeros = new Uint8Array(fillBytes);
  }

  /** Zeros in the size files are filled with. */
  get zeros(): Uint8Array {
    return this.#zeros;
  }

  /** Lays a block behind the last one of the current segment. Durable after `datasync`. */
  put(segment: Segment, parts: readonly Uint8Array[], blockBytes: number): void {
    const end = segment.writeOffset + blockBytes;
    const fd = this.#open(segment);
    this.#write(segment, fd, this.#withZeros(parts, segment, end), parts, segment.writeOffset);
    segment.writeOffset = end;
    this.#dirty = true;
  }

  /** Something was written and not synced yet. */
  get dirty(): boolean {
    return this.#dirty;
  }

  datasync(): void {
    if (!this.#dirty) return;
    this.#disk.datasync(this.#fd);
    this.#dirty = false;
  }

  /**
   * Makes the file of a new segment out of a spare: header and first block, durable, and only then the name. A
   * segment that can be found has a whole first block. It is the current one from then on.
   */
  start(segment: Segment, parts: readonly Uint8Array[], blockBytes: number, spares: SpareSegments): void {
    const file = untilRoom(() => spares.take(segment.header.capacityBytes), this.#makeRoom);
    segment.fileBytes = file.fileBytes;
    const end = segment.writeOffset + blockBytes;
    const header = encodeSegmentHeader(segment.header);
    const wanted = [header, ...this.#withZeros(parts, segment, end)];
    this.#write(segment, file.fd, wanted, [header, ...parts], 0);
    this.#disk.datasync(file.fd);
    this.#disk.rename(file.path, segment.path);
    this.#disk.syncDirectory(this.#directory);
    segment.writeOffset = end;
    this.close();
    this.#fd = file.fd;
  }

  /**
   * Marks the end of a segment that has a successor: a successor that is missing is then noticed. Not synced: lost in
   * a crash, the mark does no harm.
   */
  markEnd(segment: Segment, mark: readonly Uint8Array[]): void {
    const fd = this.#disk.open(segment.path, 'write');
    try {
      this.#write(segment, fd, mark, mark, segment.writeOffset);
    } finally {
      this.#disk.close(fd);
    }
  }

  /** Adds one piece of zeros to the current segment. False: there are enough for `aheadBytes` of log. */
  fillAhead(segment: Segment, aheadBytes: number): boolean {
    const capacity = segment.header.capacityBytes;
    if (segment.fileBytes >= Math.min(capacity, segment.writeOffset + aheadBytes)) return false;
    const fd = this.#open(segment);
    const piece = this.#zeros.subarray(0, Math.min(this.#zeros.length, capacity - segment.fileBytes));
    segment.fileBytes += writeFully(this.#disk, fd, [piece], segment.fileBytes);
    this.#disk.datasync(fd);
    return true;
  }

  close(): void {
    if (this.#fd >= 0) this.#disk.close(this.#fd);
    this.#fd = -1;
  }

  /**
   * Writes `wanted`, and with a full disk what is `needed` of it, however often it takes until there is room. A write
   * that was cut short is begun again: nobody has been told of it, and it goes to the same place.
   */
  #write(
    segment: Segment,
    fd: number,
    wanted: readonly Uint8Array[],
    needed: readonly Uint8Array[],
    position: number,
  ): void {
    let parts = wanted;
    const written = untilRoom(
      () => writeFully(this.#disk, fd, parts, position),
      () => {
        const isLess = parts !== needed;
        parts = needed;
        return isLess || this.#makeRoom();
      },
    );
    segment.fileBytes = Math.max(segment.fileBytes, position + written);
  }

  #open(segment: Segment): number {
    if (this.#fd < 0) this.#fd = this.#disk.openDirect(segment.path, 'write');
    return this.#fd;
  }

  /**
   * A small block that makes the file longer takes zeros with it, up to the next multiple of `fillBytes`: the metadata
   * that a longer file costs then serves many blocks. Large ones cost less by themselves than twice their bytes.
   */
  #withZeros(parts: readonly Uint8Array[], segment: Segment, end: number): readonly Uint8Array[] {
    if (end <= segment.fileBytes) return parts;
    const fill = this.#zeros.length;
    if ((end - segment.writeOffset) * SMALL_SHARE > fill) return parts;
    const target = Math.min(segment.header.capacityBytes, (Math.floor(end / fill) + 1) * fill);
    return target === end ? parts : [...parts, this.#zeros.subarray(0, target - end)];
  }
}
