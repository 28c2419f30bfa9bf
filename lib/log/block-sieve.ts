import { RECORD_HEADER_BYTES } from '../../protocol/constants.ts';
import { crcOf } from '../../protocol/crc.ts';
import { CrcShift, NO_SHIFT, shiftBy } from './crc-shift.ts';
import { measureRecord, recordHeaderIsWhole } from './record.ts';
import {
  BLOCK_HEADER_BYTES,
  BLOCK_MAGIC,
  BlockChecksum,
  END_MAGIC,
  blockCrc,
  readBlockHeader,
} from './segment-format.ts';
import type { SegmentHeader } from './segment-format.ts';

const shifts = new CrcShift(RECORD_HEADER_BYTES);

/**
 * Tells blocks from bytes that only look like a block's header, without reading what the header announces. What lies
 * in a recycled file or in a torn write was chosen by clients: a value of fake headers, each announcing megabytes, or
 * each followed by the same hundred thousand records, would otherwise be read once for every one of them.
 *
 * A block's checksum covers the headers of its records, which lie like a chain, each saying where the next one is. The
 * chain from each place is summed once, up to where it breaks; the sum over a part of it follows from the sums at both
 * its ends. So however many fakes there are, no record is looked at twice, and no real block is missed.
 */
export class BlockSieve {
  readonly #header: SegmentHeader;
  readonly #fileBytes: number;
  /** Makes 40 bytes of the file available; returns them at the start of an array that is valid until the next call. */
  readonly #recordHeader: (position: number) => { readonly bytes: Uint8Array; readonly at: number };
  readonly #checksum = new BlockChecksum();
  /** For each multiple of eight in the file: records in the chain from there, plus one; 0: not looked at yet. */
  #counts: Uint32Array | null = null;
  /** And the checksum of their headers. */
  #sums: Uint32Array | null = null;

  constructor(
    header: SegmentHeader,
    fileBytes: number,
    recordHeader: (position: number) => { readonly bytes: Uint8Array; readonly at: number },
  ) {
    this.#header = header;
    this.#fileBytes = fileBytes;
    this.#recordHeader = recordHeader;
  }

  /**
   * Whether what lies at `bytes[at]`, `offset` of the file, is a block of this segment that was written no earlier than
   * `sequence`. Bodies are not looked at. As with any checksum something else passes by chance, and by chance alone: the
   * nonce is not known to those who chose the bytes.
   */
  isBlock(bytes: Uint8Array, at: number, offset: number, sequence: number): boolean {
    const header = readBlockHeader(bytes, at);
    if (header.magic !== BLOCK_MAGIC && header.magic !== END_MAGIC) return false;
    // A recycled file is full of old blocks: their numbers give them away before anything else is read.
    if (header.sequence < sequence) return false;
    // Blocks of a segment are numbered without gaps, and none is smaller than its header.
    if (header.sequence > this.#header.firstBlock + this.#fileBytes / BLOCK_HEADER_BYTES) return false;
    if (header.lastIndex > Number.MAX_SAFE_INTEGER) return false;
    const start = offset + BLOCK_HEADER_BYTES;
    const end = start + header.bytes;
    if (end > this.#fileBytes || header.bytes % 8 !== 0) return false;
    if (header.count * RECORD_HEADER_BYTES > header.bytes) return false;
    this.#checksum.clear();
    const rest =
      blockCrc(bytes, at) ^ this.#shifted(this.#checksum.digest(this.#header.nonce, bytes, at), header.count);
    if (header.count === 0) return header.bytes === 0 && rest === 0;
    const first = this.#chainFrom(start);
    // The chain reaches `end` after `count` records: it is looked at by now.
    const last = this.#counted(end);
    if (last < 0 || first.count - last !== header.count) return false;
    return this.#shifted(rest, last) === (first.sum ^ this.#sums![end / 8]!) >>> 0;
  }

  #shifted(crc: number, records: number): number {
    return shiftBy(crc, shifts.of(records));
  }

  /** Records in the chain from `position`; -1: it was not looked at. */
  #counted(position: number): number {
    return this.#counts![position / 8]! - 1;
  }

  /** The chain of records from `position` to where it breaks. */
  #chainFrom(position: number): { readonly count: number; readonly sum: number } {
    // Memory for all of the file, of which only what is used is ever touched.
    const counts = (this.#counts ??= new Uint32Array(this.#fileBytes / 8 + 1));
    const sums = (this.#sums ??= new Uint32Array(counts.length));
    const walked: number[] = [];
    let at = position;
    while (counts[at / 8] === 0) {
      const size = this.#measure(at, sums);
      if (size === 0) {
        counts[at / 8] = 1;
        break;
      }
      walked.push(at);
      at += size;
    }
    let count = this.#counted(at);
    let sum = sums[at / 8]!;
    let shift = walked.length === 0 ? NO_SHIFT : shifts.of(count);
    for (const place of walked.reverse()) {
      sum = (shiftBy(sums[place / 8]!, shift) ^ sum) >>> 0;
      sums[place / 8] = sum;
      counts[place / 8] = ++count + 1;
      shift = shiftBy(shift, shifts.of(1));
    }
    return { count, sum };
  }

  /** Size of the record at `position`, whose header's checksum goes to `sums`; 0: there is none. */
  #measure(position: number, sums: Uint32Array): number {
    if (position + RECORD_HEADER_BYTES > this.#fileBytes) return 0;
    const { bytes, at } = this.#recordHeader(position);
    const size = measureRecord(bytes, at, at + this.#fileBytes - position);
    if (size === 0 || !recordHeaderIsWhole(bytes, at)) return 0;
    sums[position / 8] = crcOf(bytes, at, at + RECORD_HEADER_BYTES);
    return size;
  }
}
