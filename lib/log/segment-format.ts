import { crc32 } from 'node:zlib';
import { crcOf } from '../../protocol/crc.ts';
import { RECORD_HEADER_BYTES } from '../../protocol/constants.ts';
import { copyBytes, copyOf, readU32, readU64, writeU32, writeU64 } from '../../protocol/byte-writer.ts';
import type { Index, Term } from '../core/types.ts';

/**
 * A segment starts with this header; blocks follow back to back (docs/storage.md has the whole picture).
 * ```
 * 0       4         6       8       16         24           32          40         48         52      56       60
 * | magic | version | flags | nonce | sequence | firstBlock | prevIndex | prevTerm | capacity | owner | reserved | crc |
 * ```
 */
export const SEGMENT_HEADER_BYTES = 64;
export const SEGMENT_VERSION = 1;
const SEGMENT_MAGIC = 0x47535743; // "CWSG"
const FLAG_RESET = 1;

export interface SegmentHeader {
  /** Random, new each time the file is used: blocks of its earlier lives do not verify under it. */
  readonly nonce: Uint8Array;
  /** Counts segments over the life of the directory. */
  readonly sequence: number;
  /** Sequence number of the first block: the segment before ends with the one before that. */
  readonly firstBlock: number;
  /** The log behind which this segment's entries start. */
  readonly prevIndex: Index;
  readonly prevTerm: Term;
  /** The log was emptied here: earlier segments do not count. */
  readonly reset: boolean;
  readonly capacityBytes: number;
  /** Checksum of cluster, node and incarnation: a segment copied from elsewhere is refused. */
  readonly owner: number;
}

export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const b = new Uint8Array(SEGMENT_HEADER_BYTES);
  writeU32(b, 0, SEGMENT_MAGIC);
  b[4] = SEGMENT_VERSION;
  b[6] = header.reset ? FLAG_RESET : 0;
  b.set(header.nonce, 8);
  writeU64(b, 16, header.sequence);
  writeU64(b, 24, header.firstBlock);
  writeU64(b, 32, header.prevIndex);
  writeU64(b, 40, header.prevTerm);
  writeU32(b, 48, header.capacityBytes);
  writeU32(b, 52, header.owner);
  writeU32(b, 60, crc32(b.subarray(0, 60)));
  return b;
}

/** The header, or why it is none. */
export function decodeSegmentHeader(b: Uint8Array): SegmentHeader | string {
  if (b.length < SEGMENT_HEADER_BYTES) return 'shorter than a segment header';
  if (readU32(b, 0) !== SEGMENT_MAGIC) return 'not a segment';
  if (crc32(b.subarray(0, 60)) !== readU32(b, 60)) return 'checksum of the segment header';
  if (b[4] !== SEGMENT_VERSION || b[5] !== 0)
    return `segment format ${b[4]! | (b[5]! << 8)} is not known here`;
  if ((b[6]! & ~FLAG_RESET) !== 0 || b[7] !== 0) return 'unknown flags in the segment header';
  const header: SegmentHeader = {
    nonce: copyOf(b, 8, 16),
    sequence: readU64(b, 16),
    firstBlock: readU64(b, 24),
    prevIndex: readU64(b, 32),
    prevTerm: readU64(b, 40),
    reset: b[6] === FLAG_RESET,
    capacityBytes: readU32(b, 48),
    owner: readU32(b, 52),
  };
  const largest = Math.max(header.sequence, header.firstBlock, header.prevIndex, header.prevTerm);
  if (largest > Number.MAX_SAFE_INTEGER) return 'a number in the segment header is too large';
  return header;
}

/**
 * One write, as it lies in a segment. The records follow verbatim.
 * ```
 * 0       4     8       12      16         24          32
 * | magic | crc | bytes | count | sequence | lastIndex | record, record, …
 * ```
 * `bytes` and `count` are those of the records; `lastIndex` is the log's last index once they are in.
 * `crc` covers the segment's nonce, bytes 0–3 and 8–31, and the 40-byte header of each record, which in turn carries
 * its body's checksum: nothing of a block escapes it, and no body is read for it.
 */
export const BLOCK_HEADER_BYTES = 32;
export const BLOCK_MAGIC = 0x4b425743; // "CWBK"
/** The last block of a segment that has a successor: the log continues in the next file, which must be there. */
export const END_MAGIC = 0x4e455743; // "CWEN"

export interface BlockHeader {
  readonly magic: number;
  readonly bytes: number;
  readonly count: number;
  readonly sequence: number;
  readonly lastIndex: Index;
}

export function readBlockHeader(b: Uint8Array, at: number): BlockHeader {
  return {
    magic: readU32(b, at),
    bytes: readU32(b, at + 8),
    count: readU32(b, at + 12),
    sequence: readU64(b, at + 16),
    lastIndex: readU64(b, at + 24),
  };
}

export const blockCrc = (b: Uint8Array, at: number): number => readU32(b, at + 4);

export function writeBlockHeader(b: Uint8Array, header: BlockHeader): void {
  writeU32(b, 0, header.magic);
  writeU32(b, 4, 0);
  writeU32(b, 8, header.bytes);
  writeU32(b, 12, header.count);
  writeU64(b, 16, header.sequence);
  writeU64(b, 24, header.lastIndex);
}

/** Of what a block's checksum covers, what comes before the records: the nonce, and the header without the checksum. */
const BLOCK_PREFIX_BYTES: number = 8 + BLOCK_HEADER_BYTES - 4;

/**
 * Gathers what a block's checksum covers and sums it in one call: each call into zlib costs more than the 40 bytes
 * of a record header.
 */
export class BlockChecksum {
  #scratch: Uint8Array = new Uint8Array(4096);
  #length = BLOCK_PREFIX_BYTES;

  /** Begins with another block. */
  clear(): void {
    this.#length = BLOCK_PREFIX_BYTES;
  }

  /** Adds the header of the block's next record, at `b[at]`. */
  record(b: Uint8Array, at: number): void {
    if (this.#length + RECORD_HEADER_BYTES > this.#scratch.length) {
      const grown = new Uint8Array(this.#scratch.length * 2);
      grown.set(this.#scratch);
      this.#scratch = grown;
    }
    copyBytes(b, at, at + RECORD_HEADER_BYTES, this.#scratch, this.#length);
    this.#length += RECORD_HEADER_BYTES;
  }

  /** The checksum of a block with these records and the header at `b[at]`, in a segment with this nonce. */
  digest(nonce: Uint8Array, b: Uint8Array, at: number): number {
    copyBytes(nonce, 0, 8, this.#scratch, 0);
    copyBytes(b, at, at + 4, this.#scratch, 8);
    copyBytes(b, at + 8, at + BLOCK_HEADER_BYTES, this.#scratch, 12);
    return crcOf(this.#scratch, 0, this.#length);
  }
}

const NAME_DIGITS = 16;

/** File name of a segment: its sequence number, so that names sort as the log goes. */
export function segmentName(sequence: number): string {
  return `${String(sequence).padStart(NAME_DIGITS, '0')}.log`;
}

/** The sequence number in a segment's name; undefined for any other name. */
export function segmentSequence(name: string): number | undefined {
  return /^\d{16}\.log$/.test(name) ? Number(name.slice(0, NAME_DIGITS)) : undefined;
}
