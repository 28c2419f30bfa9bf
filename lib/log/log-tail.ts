import type { Index, Term } from '../core/types.ts';
import { BlockBuilder, refusedWrite } from './block-builder.ts';
import type { LogImage } from './log-image.ts';
import type { RecoveredLog } from './log-recovery.ts';
import type { LogRoom } from './log-room.ts';
import type { LogWrite } from './log-store.ts';
import type { NodeRecord } from './node-record.ts';
import { Segment } from './segment.ts';
import { BLOCK_HEADER_BYTES, END_MAGIC, SEGMENT_HEADER_BYTES } from './segment-format.ts';
import type { SegmentHeader } from './segment-format.ts';
import type { SegmentWriter } from './segment-writer.ts';

/** Kept free at the end of a segment: the mark of a clean close, and the mark that the log continues elsewhere. */
const END_BYTES = 2 * BLOCK_HEADER_BYTES;
const HARD_STATE_BYTES = 48;

/** Bytes a write takes in a block. */
export function bytesOfWrite({ hardState, records }: Pick<LogWrite, 'hardState' | 'records'>): number {
  let bytes = hardState === null ? 0 : HARD_STATE_BYTES;
  for (const part of records) bytes += part.length;
  return bytes;
}

export interface TailParts {
  readonly directory: string;
  /** Stands in every segment. */
  readonly owner: number;
  readonly random: (bytes: Uint8Array) => void;
  readonly image: LogImage;
  readonly writer: SegmentWriter;
  readonly room: LogRoom;
  readonly record: NodeRecord;
}

/** The end of the log: lays writes into blocks, and blocks into segments, one behind the other. */
export class LogTail {
  readonly #parts: TailParts;
  readonly #builder = new BlockBuilder();
  #nextBlock: number;
  #nextSegment: number;
  #rollFirst: boolean;
  #sealed: boolean;

  constructor(parts: TailParts, recovered: RecoveredLog | null) {
    this.#parts = parts;
    this.#nextBlock = recovered?.nextBlock ?? 1;
    this.#nextSegment = recovered?.nextSegment ?? 1;
    this.#sealed = recovered?.clean ?? false;
    // Behind the last block may lie a torn one. A new segment with a nonce of its own leaves it behind for good.
    this.#rollFirst = !this.#sealed;
  }

  /** Number of the last block written. */
  get lastBlock(): number {
    return this.#nextBlock - 1;
  }

  /** Whether the next write begins a new segment, whatever room this one has. */
  get rollsFirst(): boolean {
    return this.#rollFirst;
  }

  /** Blocks up to this number were written once, and are gone: their numbers are not given a second time. */
  skipTo(lastBlock: number): void {
    this.#nextBlock = Math.max(this.#nextBlock, lastBlock + 1);
  }

  /** Lays a write into the open block; `flush` puts that into the file. */
  add(write: LogWrite): void {
    const { image, record } = this.#parts;
    const segment = image.current;
    const end = segment.writeOffset + this.#builder.blockBytes + bytesOfWrite(write) + END_BYTES;
    if (this.#rollFirst || end > segment.header.capacityBytes) {
      this.flush();
      const before = write.first > 0 ? write.first - 1 : image.lastIndex;
      this.roll({ index: before, term: image.termAt(before) }, false, write);
      return;
    }
    if (write.hardState !== null) {
      record.setHardState(write.hardState);
      this.#builder.addHardState(write.hardState);
    }
    this.#addRecords(write, segment);
  }

  /** Writes the open block. */
  flush(): void {
    if (!this.#builder.empty) this.#put();
  }

  /** Starts the next segment with the current hard state and the records of `write`, all of it durable at once. */
  roll(prev: { readonly index: Index; readonly term: Term }, reset: boolean, write: LogWrite | null): void {
    const { directory, owner, random, image, writer, room, record } = this.#parts;
    writer.datasync();
    const old = image.segments.at(-1);
    if (write !== null && write.hardState !== null) record.setHardState(write.hardState);
    const { hardState } = record;
    const blockBytes = BLOCK_HEADER_BYTES + bytesOfWrite({ hardState, records: write?.records ?? [] });
    const nonce = new Uint8Array(8);
    random(nonce);
    const header: SegmentHeader = {
      nonce,
      sequence: this.#nextSegment++,
      firstBlock: this.#nextBlock,
      prevIndex: prev.index,
      prevTerm: prev.term,
      reset,
      capacityBytes: Math.max(room.capacityBehind(old), SEGMENT_HEADER_BYTES + blockBytes + END_BYTES),
      owner,
    };
    const segment = new Segment(directory, header);
    image.start(segment);
    this.#builder.addHardState(hardState);
    if (write !== null) this.#addRecords(write, segment);

    const parts = this.#builder.seal(nonce, this.#nextBlock, image.lastIndex);
    writer.start(segment, parts, this.#builder.blockBytes, room.spares);
    this.#nextBlock++;
    this.#builder.clear();
    this.#sealed = false;
    this.#rollFirst = false;
    if (old === undefined || reset) return;
    const mark = this.#builder.seal(old.header.nonce, header.firstBlock, image.lastIndex, END_MAGIC);
    writer.markEnd(old, mark);
    this.#builder.clear();
  }

  /** Marks the log as closed cleanly: everything before the mark was durable. False: it is marked, or cannot be. */
  seal(): boolean {
    if (this.#sealed || this.#rollFirst) return false;
    const { writer } = this.#parts;
    writer.datasync();
    this.#put();
    writer.datasync();
    this.#sealed = true;
    return true;
  }

  #addRecords(write: LogWrite, segment: Segment): void {
    const { image } = this.#parts;
    if (write.first === 0) {
      if (write.records.length > 0) throw new RangeError('records without an index');
      return;
    }
    if (write.first <= image.prevIndex) throw new RangeError(`entry ${write.first} is behind a snapshot`);
    let expected = write.first;
    this.#builder.addRecords(write, (index, term, offset, size) => {
      if (index !== expected) throw refusedWrite(`entry ${index} is not ${expected}`);
      const refusal = image.refusal(index, term);
      if (refusal !== null) throw refusedWrite(refusal);
      image.add(index, term, segment.writeOffset + offset, size);
      expected++;
    });
    if (expected !== write.last + 1)
      throw new RangeError(`the write ends at ${expected - 1}, not at ${write.last}`);
  }

  #put(): void {
    const { image, writer } = this.#parts;
    const parts = this.#builder.seal(image.current.header.nonce, this.#nextBlock, image.lastIndex);
    writer.put(image.current, parts, this.#builder.blockBytes);
    this.#nextBlock++;
    this.#builder.clear();
    this.#sealed = false;
  }
}
