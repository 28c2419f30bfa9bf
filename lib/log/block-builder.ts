import type { HardState, Index } from '../core/types.ts';
import { encodeHardState, measureRecord, recordIndex, recordTerm } from './record.ts';
import { BLOCK_HEADER_BYTES, BLOCK_MAGIC, BlockChecksum, writeBlockHeader } from './segment-format.ts';
import { writeU32 } from '../../protocol/byte-writer.ts';
import type { LogWrite } from './log-store.ts';

/** Gathers the records of one block as the writers' own buffers, header first: what goes to the disk as it is. */
export class BlockBuilder {
  /** Block header, then record buffers. */
  readonly parts: Uint8Array[] = [new Uint8Array(BLOCK_HEADER_BYTES)];
  /** Bytes of the records. */
  bytes = 0;
  count = 0;
  lastIndex: Index = 0;
  readonly #checksum = new BlockChecksum();

  /** Size of the block as it is now. */
  get blockBytes(): number {
    return BLOCK_HEADER_BYTES + this.bytes;
  }

  get empty(): boolean {
    return this.count === 0;
  }

  clear(): void {
    this.parts.length = 1;
    this.#checksum.clear();
    this.bytes = 0;
    this.count = 0;
  }

  addHardState(state: HardState): void {
    const record = encodeHardState(state);
    this.parts.push(record);
    this.#checksum.record(record, 0);
    this.bytes += record.length;
    this.count++;
  }

  /** Adds the records of `write` and tells each to `onRecord` with its offset from the block's start. */
  addRecords(
    write: LogWrite,
    onRecord: (index: Index, term: number, offset: number, size: number) => void,
  ): void {
    for (const part of write.records) {
      for (let at = 0; at < part.length;) {
        const size = measureRecord(part, at, part.length);
        if (size === 0) throw refusedWrite('a record is cut short');
        onRecord(recordIndex(part, at), recordTerm(part, at), this.blockBytes + at, size);
        this.#checksum.record(part, at);
        this.count++;
        at += size;
      }
      this.parts.push(part);
      this.bytes += part.length;
    }
  }

  /** Completes the header; the parts are the block's bytes from then on. */
  seal(
    nonce: Uint8Array,
    sequence: number,
    lastIndex: Index,
    magic: number = BLOCK_MAGIC,
  ): readonly Uint8Array[] {
    const header = this.parts[0]!;
    writeBlockHeader(header, { magic, bytes: this.bytes, count: this.count, sequence, lastIndex });
    writeU32(header, 4, this.#checksum.digest(nonce, header, 0));
    return this.parts;
  }
}

export function refusedWrite(why: string): RangeError {
  return new RangeError(`the log cannot take this write: ${why}`);
}
