import { RECORD_HEADER_BYTES } from '../../protocol/constants.ts';
import { BlockSieve } from './block-sieve.ts';
import type { Disk } from './disk.ts';
import { readFully } from './disk.ts';
import { measureRecord, verifyBody } from './record.ts';
import {
  BLOCK_HEADER_BYTES,
  BLOCK_MAGIC,
  BlockChecksum,
  END_MAGIC,
  SEGMENT_HEADER_BYTES,
  blockCrc,
  decodeSegmentHeader,
  readBlockHeader,
} from './segment-format.ts';
import type { BlockHeader, SegmentHeader } from './segment-format.ts';

/** Reads of this size keep a disk at its sequential speed. */
const WINDOW_BYTES = 4 << 20;
/** Read for a record header that lies elsewhere: a few of them where they are small, little where they are not. */
const PROBE_BYTES = 512;

/** A whole, verified block. `bytes[start, end)` are its records; valid until the next call. */
export interface Block {
  readonly header: BlockHeader;
  /** Where the block starts in the file. */
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** Reads a segment file from front to back. */
export class SegmentReader {
  readonly fileBytes: number;
  /** Where the next block is expected. */
  position: number = SEGMENT_HEADER_BYTES;
  #header: SegmentHeader | null = null;
  readonly #disk: Disk;
  readonly #fd: number;
  readonly #checksum = new BlockChecksum();
  #window: Uint8Array;
  #windowStart = 0;
  #windowEnd = 0;
  #sieve: BlockSieve | null = null;
  #probed: Uint8Array | null = null;
  #probedStart = 0;
  #probedEnd = 0;

  /**
   * `windowBytes` are read at a time, more only where a block is larger. `spare` is memory for that which is not needed
   * any more, if it is large enough.
   */
  constructor(disk: Disk, path: string, windowBytes: number = WINDOW_BYTES, spare?: Uint8Array) {
    this.#disk = disk;
    this.#fd = disk.open(path, 'read');
    this.fileBytes = disk.size(this.#fd);
    const wanted = Math.min(windowBytes, Math.max(this.fileBytes, SEGMENT_HEADER_BYTES));
    this.#window = spare !== undefined && spare.length >= wanted ? spare : new Uint8Array(wanted);
  }

  /** What was read into: the next reader's spare, once this one is closed. */
  get window(): Uint8Array {
    return this.#window;
  }

  /** The segment's header, or why there is none. */
  readHeader(): SegmentHeader | string {
    const available = this.#load(0, Math.min(SEGMENT_HEADER_BYTES, this.fileBytes));
    const header = decodeSegmentHeader(this.#window.subarray(available, available + SEGMENT_HEADER_BYTES));
    if (typeof header !== 'string') this.#header = header;
    return header;
  }

  /** The block at `position`, which must have this sequence number; null if no such block verifies. */
  next(sequence: number): Block | null {
    const block = this.#blockAt(this.position);
    if (block?.header.magic !== BLOCK_MAGIC || block.header.sequence !== sequence) return null;
    this.position = block.offset + BLOCK_HEADER_BYTES + block.header.bytes;
    return block;
  }

  /** Whether the segment's end is marked at `position`: the log goes on in another file. */
  atEndMark(sequence: number): boolean {
    const block = this.#blockAt(this.position);
    return block?.header.magic === END_MAGIC && block.header.sequence === sequence;
  }

  /**
   * Offset of a block behind `position` that was written after the one expected there. Blocks are written one at a
   * time, each after the one before is durable: such a block proves that what is missing was durable once.
   * Only headers are summed, so a later block counts even if its bodies are damaged too.
   */
  findLater(sequence: number): number {
    let position = this.position + 8;
    while (position + BLOCK_HEADER_BYTES <= this.fileBytes) {
      const at = this.#loadedAt(position) ?? this.#load(position, BLOCK_HEADER_BYTES);
      const length = this.#windowEnd - position;
      const view = Buffer.from(this.#window.buffer, this.#window.byteOffset + at, length);
      // Every magic starts with the same two bytes; zeros, the usual tail, are skipped at memory speed.
      for (let hit = view.indexOf('CW', 0, 'latin1'); hit >= 0; hit = view.indexOf('CW', hit + 1, 'latin1')) {
        const offset = position + hit;
        if (offset % 8 !== 0 || hit + BLOCK_HEADER_BYTES > length) continue;
        if (this.#isLater(view, hit, offset, sequence)) return offset;
      }
      // A header that is cut off here is looked at with what follows.
      position += length - BLOCK_HEADER_BYTES + 8;
      position -= position % 8;
    }
    return -1;
  }

  #isLater(bytes: Uint8Array, at: number, offset: number, sequence: number): boolean {
    if (this.#header === null) return false;
    this.#sieve ??= new BlockSieve(this.#header, this.fileBytes, (position) => this.#probe(position));
    return this.#sieve.isBlock(bytes, at, offset, sequence);
  }

  /** Every whole block from `position` on that was written no earlier than `sequence`, whatever lies between them. */
  *blocksBehind(sequence: number): Generator<Block> {
    // From `position` itself on.
    this.position -= 8;
    let at = this.findLater(sequence);
    while (at >= 0) {
      const block = this.#blockAt(at);
      this.position = at;
      if (block !== null) {
        yield block;
        this.position = at + BLOCK_HEADER_BYTES + block.header.bytes - 8;
      }
      at = this.findLater(sequence);
    }
  }

  close(): void {
    this.#disk.close(this.#fd);
  }

  #blockAt(offset: number): Block | null {
    if (this.#header === null || offset + BLOCK_HEADER_BYTES > this.fileBytes) return null;
    let at = this.#load(offset, BLOCK_HEADER_BYTES);
    const header = readBlockHeader(this.#window, at);
    if (header.magic !== BLOCK_MAGIC && header.magic !== END_MAGIC) return null;
    // Lengths are believed only as far as the file goes: nothing is allocated on a damaged word.
    if (header.bytes > this.fileBytes - offset - BLOCK_HEADER_BYTES) return null;
    if (header.sequence > Number.MAX_SAFE_INTEGER || header.lastIndex > Number.MAX_SAFE_INTEGER) return null;
    at = this.#load(offset, BLOCK_HEADER_BYTES + header.bytes);
    const bytes = this.#window;
    const start = at + BLOCK_HEADER_BYTES;
    const end = start + header.bytes;
    this.#checksum.clear();
    let record = start;
    for (let i = 0; i < header.count; i++) {
      const size = measureRecord(bytes, record, end);
      if (size === 0) return null;
      this.#checksum.record(bytes, record);
      record += size;
    }
    if (record !== end || this.#checksum.digest(this.#header.nonce, bytes, at) !== blockCrc(bytes, at))
      return null;
    for (record = start; record < end;) {
      const size = measureRecord(bytes, record, end);
      if (!verifyBody(bytes, record, size)) return null;
      record += size;
    }
    return { header, offset, bytes, start, end };
  }

  /** Where in the window `position` is, if a block's header from there on is in it. */
  #loadedAt(position: number): number | undefined {
    const isLoaded = position >= this.#windowStart && position + BLOCK_HEADER_BYTES <= this.#windowEnd;
    return isLoaded ? position - this.#windowStart : undefined;
  }

  /** The header of a record that may be anywhere, read without giving up the window. */
  #probe(position: number): { readonly bytes: Uint8Array; readonly at: number } {
    const end = position + RECORD_HEADER_BYTES;
    if (position >= this.#windowStart && end <= this.#windowEnd)
      return { bytes: this.#window, at: position - this.#windowStart };
    const bytes = (this.#probed ??= new Uint8Array(PROBE_BYTES));
    if (position < this.#probedStart || end > this.#probedEnd) {
      const wanted = Math.min(bytes.length, this.fileBytes - position);
      this.#probedEnd = position + readFully(this.#disk, this.#fd, bytes, 0, wanted, position);
      this.#probedStart = position;
      if (end > this.#probedEnd) throw cutShort();
    }
    return { bytes, at: position - this.#probedStart };
  }

  /** Makes `[position, position + length)` of the file available; returns where in the window it starts. */
  #load(position: number, length: number): number {
    if (position >= this.#windowStart && position + length <= this.#windowEnd)
      return position - this.#windowStart;
    if (length > this.#window.length) this.#window = new Uint8Array(length);
    const wanted = Math.min(this.#window.length, this.fileBytes - position);
    const got = readFully(this.#disk, this.#fd, this.#window, 0, wanted, position);
    if (got < length) throw cutShort();
    this.#windowStart = position;
    this.#windowEnd = position + got;
    return 0;
  }
}

function cutShort(): Error {
  return Object.assign(new Error('a segment ended while it was read'), { code: 'EIO' });
}
