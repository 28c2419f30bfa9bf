import { RECORD_HEADER_BYTES } from '../../protocol/constants.ts';
import { decodeConfig } from '../../protocol/config-codec.ts';
import { EntryKind } from '../core/types.ts';
import type { Config, HardState, Index } from '../core/types.ts';
import { diskErrorCode, UNREADABLE } from './disk-error.ts';
import type { Disk } from './disk.ts';
import { LogImage } from './log-image.ts';
import type { LogDamage } from './log-store.ts';
import {
  HARD_STATE_KIND,
  decodeHardState,
  measureRecord,
  recordBodyBytes,
  recordIndex,
  recordKind,
  recordTerm,
  recordTimeMs,
} from './record.ts';
import { Segment } from './segment.ts';
import { BLOCK_HEADER_BYTES, SEGMENT_HEADER_BYTES, segmentName, segmentSequence } from './segment-format.ts';
import type { SegmentHeader } from './segment-format.ts';
import { SegmentReader } from './segment-reader.ts';
import type { Block } from './segment-reader.ts';

/** What the files of `log/` say. */
export interface RecoveredLog {
  readonly image: LogImage;
  readonly hardState: HardState;
  readonly configs: readonly { readonly index: Index; readonly config: Config }[];
  readonly lastTimeMs: number;
  /** Sequence number the next block gets. */
  readonly nextBlock: number;
  /** Sequence number the next segment gets. */
  readonly nextSegment: number;
  /** The last thing written was the mark of a clean close: the tail holds no remains of a torn write. */
  readonly clean: boolean;
  /** Where the last whole block of the last segment starts. */
  readonly lastBlockOffset: number;
  readonly damage: LogDamage | null;
  /** What is wrong with segments that are not needed, and were left out for it: they are `obsolete`. */
  readonly covered: LogDamage | null;
  /** Segments from before the last reset, or left out: no longer part of the log. */
  readonly obsolete: readonly string[];
}

interface Found {
  readonly path: string;
  readonly header: SegmentHeader;
}

/**
 * Reads every segment of `directory` from number `from` on and replays its records, as if there were no earlier ones.
 * Changes nothing. Null: there are no segments.
 */
export function recoverLog(
  disk: Disk,
  directory: string,
  owner: number,
  from: number = 0,
): RecoveredLog | null {
  const sequences = disk
    .readdir(directory)
    .map(segmentSequence)
    .filter((sequence) => sequence !== undefined);
  if (sequences.length === 0) return null;
  const replay = new LogReplay(disk, directory);
  const headers = replay.readHeaders(sequences, owner, from);
  replay.run(headers);
  return replay.result(Math.max(...sequences) + 1);
}

/** What is known of a log of which no segment is left. */
export function missingLog(directory: string): RecoveredLog {
  return {
    image: new LogImage(),
    hardState: { term: 0, vote: 0 },
    configs: [],
    lastTimeMs: 0,
    nextBlock: 1,
    nextSegment: 1,
    clean: false,
    lastBlockOffset: 0,
    damage: { file: directory, offset: 0, reason: 'there is no segment' },
    covered: null,
    obsolete: [],
  };
}

class LogReplay {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #image = new LogImage();
  /** Read into again and again: memory that is touched for the first time costs more than the reading. */
  #window: Uint8Array | undefined;
  #hardState: HardState = { term: 0, vote: 0 };
  #configs: { index: Index; config: Config }[] = [];
  #lastTimeMs = 0;
  #nextBlock = 1;
  #clean = false;
  #lastBlockOffset = 0;
  #damage: LogDamage | null = null;
  #obsolete: string[] = [];
  /** Segments behind damage. */
  #stray: Found[] = [];

  constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#directory = directory;
  }

  /** Headers of the segments that count, up to the first that cannot be trusted. */
  readHeaders(sequences: readonly number[], owner: number, from: number): Found[] {
    let found: Found[] = [];
    let expected = -1;
    this.#dropBefore(from, sequences);
    for (const sequence of sequences) {
      if (sequence < from) continue;
      const path = this.#path(sequence);
      const header = this.#readHeader(path);
      if (
        typeof header !== 'string' &&
        header.reset &&
        header.sequence === sequence &&
        header.owner === owner
      ) {
        // What came before a reset does not count, whatever state it is in: removing it may have been under way.
        this.#dropBefore(sequence, sequences);
        this.#damage = null;
        found = [{ path, header }];
        this.#stray = [];
        expected = sequence + 1;
        continue;
      }
      if (this.#damage !== null) {
        if (typeof header !== 'string' && header.owner === owner) this.#stray.push({ path, header });
        continue;
      }
      if (typeof header === 'string') this.#damaged(path, 0, header);
      else if (header.sequence !== sequence) this.#damaged(path, 16, 'the segment has the name of another');
      else if (header.owner !== owner) this.#damaged(path, 52, 'the segment belongs to another node');
      else if (expected >= 0 && sequence !== expected)
        this.#damaged(path, 0, 'the segment before it is missing');
      else found.push({ path, header });
      expected = sequence + 1;
    }
    return found;
  }

  run(found: readonly Found[]): void {
    const headerDamage = this.#damage;
    this.#damage = null;
    for (let i = 0; i < found.length; i++) {
      const { path, header } = found[i]!;
      if (i > 0 && !this.#followsOn(path, header)) {
        this.#stray.push({ path, header });
        continue;
      }
      this.#nextBlock = header.firstBlock;
      // Blocks a successor starts behind were cut off as a torn tail before it was made.
      const successor = found[i + 1]?.header;
      this.#replaySegment(path, header, successor?.firstBlock ?? Infinity, headerDamage === null);
    }
    for (const stray of this.#stray) this.#salvageSegment(stray);
    this.#damage ??= headerDamage;
    if (this.#damage === null && this.#image.lastIndex < this.#image.prevIndex) {
      this.#damaged(found[0]!.path, 0, `the log ends at ${this.#image.lastIndex}, before it begins`);
    }
  }

  result(nextSegment: number): RecoveredLog {
    return {
      image: this.#image,
      hardState: this.#hardState,
      configs: this.#configs.filter(({ index }) => index > this.#image.prevIndex),
      lastTimeMs: this.#lastTimeMs,
      nextBlock: this.#nextBlock,
      nextSegment,
      clean: this.#clean,
      lastBlockOffset: this.#lastBlockOffset,
      damage: this.#damage,
      covered: null,
      obsolete: this.#obsolete,
    };
  }

  #readHeader(path: string): SegmentHeader | string {
    const reader = new SegmentReader(this.#disk, path, SEGMENT_HEADER_BYTES);
    try {
      return reader.readHeader();
    } catch (error) {
      return unreadable(error);
    } finally {
      reader.close();
    }
  }

  /** Whether everything so far is whole and this segment goes on where it ends. */
  #followsOn(path: string, header: SegmentHeader): boolean {
    if (this.#damage !== null) return false;
    const image = this.#image;
    if (header.firstBlock !== this.#nextBlock) {
      this.#damaged(path, 24, `blocks ${this.#nextBlock} to ${header.firstBlock - 1} before it are missing`);
    } else if (header.prevIndex > image.lastIndex) {
      this.#damaged(path, 32, `entries ${image.lastIndex + 1} to ${header.prevIndex} before it are missing`);
    } else if (header.prevIndex >= image.prevIndex && image.termAt(header.prevIndex) !== header.prevTerm) {
      this.#damaged(path, 40, `entry ${header.prevIndex} before it has another term`);
    } else {
      return true;
    }
    return false;
  }

  #replaySegment(path: string, header: SegmentHeader, until: number, isLast: boolean): void {
    const reader = new SegmentReader(this.#disk, path, undefined, this.#window);
    try {
      reader.readHeader();
      const segment = new Segment(this.#directory, header);
      segment.fileBytes = reader.fileBytes;
      this.#image.start(segment);
      if (header.reset) this.#configs = [];
      while (this.#nextBlock < until) {
        const block = reader.next(this.#nextBlock);
        if (block === null) break;
        this.#clean = block.header.count === 0;
        const refusal = this.#replayBlock(block, segment);
        if (refusal !== null) {
          this.#damaged(path, block.offset, refusal);
          return;
        }
        this.#nextBlock++;
        segment.writeOffset = reader.position;
        this.#lastBlockOffset = block.offset;
      }
      if (this.#nextBlock < until) this.#judgeTail(reader, path, header, until, isLast);
      if (this.#damage !== null) this.#salvageHardState(reader, this.#nextBlock);
    } catch (error) {
      this.#damaged(path, reader.position, unreadable(error));
    } finally {
      this.#window = reader.window;
      reader.close();
    }
  }

  /** A block that does not verify is the end of the log, or damage. */
  #judgeTail(
    reader: SegmentReader,
    path: string,
    header: SegmentHeader,
    until: number,
    isLast: boolean,
  ): void {
    if (until !== Infinity) {
      this.#damaged(path, reader.position, `block ${this.#nextBlock} is damaged`);
    } else if (!isLast) {
      // A segment behind this one cannot be read: said already.
    } else if (this.#nextBlock === header.firstBlock) {
      // A segment gets its name only when its first block is durable.
      this.#damaged(path, reader.position, 'the first block of the segment is damaged');
    } else if (reader.atEndMark(this.#nextBlock)) {
      this.#damaged(path, reader.position, 'the segment after it is missing');
    } else {
      const later = reader.findLater(this.#nextBlock);
      if (later >= 0) {
        this.#damaged(
          path,
          reader.position,
          `block ${this.#nextBlock} is damaged, a later one at ${later} is whole`,
        );
      }
    }
  }

  #replayBlock(block: Block, segment: Segment): string | null {
    const { bytes } = block;
    for (let at = block.start; at < block.end;) {
      const size = measureRecord(bytes, at, block.end);
      const kind = recordKind(bytes, at);
      if (kind === HARD_STATE_KIND) {
        const state = decodeHardState(bytes, at);
        if (state === null) return 'a hard state record makes no sense';
        if (state.term < this.#hardState.term) return `the term goes back to ${state.term}`;
        this.#hardState = state;
      } else {
        const refusal = this.#replayEntry(block, at, size, kind, segment);
        if (refusal !== null) return refusal;
      }
      at += size;
    }
    if (block.header.lastIndex !== this.#image.lastIndex) {
      return `the log should end at ${block.header.lastIndex} here, not at ${this.#image.lastIndex}`;
    }
    return null;
  }

  #replayEntry(block: Block, at: number, size: number, kind: number, segment: Segment): string | null {
    const { bytes } = block;
    if (kind !== EntryKind.noop && kind !== EntryKind.batch && kind !== EntryKind.config) {
      return `records of kind ${kind} are not known here`;
    }
    const index = recordIndex(bytes, at);
    const term = recordTerm(bytes, at);
    const refusal = this.#image.refusal(index, term);
    if (refusal !== null) return refusal;
    this.#image.add(index, term, block.offset + BLOCK_HEADER_BYTES + (at - block.start), size);
    this.#lastTimeMs = Math.max(this.#lastTimeMs, recordTimeMs(bytes, at));
    while (this.#configs.length > 0 && this.#configs[this.#configs.length - 1]!.index >= index)
      this.#configs.pop();
    if (kind === EntryKind.config) {
      const body = at + RECORD_HEADER_BYTES;
      try {
        this.#configs.push({ index, config: decodeConfig(bytes, body, body + recordBodyBytes(bytes, at)) });
      } catch (error) {
        return `config entry ${index} in ${segment.path}: ${error instanceof Error ? error.message : 'unreadable'}`;
      }
    }
    return null;
  }

  /** Behind damage nothing counts but the highest term seen: a node must not vote in it twice. */
  #salvageHardState(reader: SegmentReader, sequence: number): void {
    for (const block of reader.blocksBehind(sequence)) {
      for (let at = block.start; at < block.end; at += measureRecord(block.bytes, at, block.end)) {
        if (recordKind(block.bytes, at) !== HARD_STATE_KIND) continue;
        const state = decodeHardState(block.bytes, at);
        if (state !== null && state.term >= this.#hardState.term) this.#hardState = state;
      }
    }
  }

  #salvageSegment(stray: Found): void {
    const reader = new SegmentReader(this.#disk, stray.path, undefined, this.#window);
    try {
      reader.readHeader();
      this.#salvageHardState(reader, stray.header.firstBlock);
    } catch (error) {
      unreadable(error);
    } finally {
      reader.close();
    }
  }

  #dropBefore(sequence: number, sequences: readonly number[]): void {
    this.#obsolete = sequences.filter((other) => other < sequence).map((other) => this.#path(other));
  }

  #path(sequence: number): string {
    return `${this.#directory}/${segmentName(sequence)}`;
  }

  #damaged(file: string, offset: number, reason: string): void {
    this.#damage ??= { file, offset, reason };
  }
}

/** A place the disk cannot read is damage like one that reads wrong; any other error is not for here. */
function unreadable(error: unknown): string {
  if (diskErrorCode(error) !== 'EIO') throw error;
  return UNREADABLE;
}
