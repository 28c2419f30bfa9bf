import { EntryKind } from '../core/types.ts';
import type { Index, Term } from '../core/types.ts';
import type { Disk } from './disk.ts';
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
import { BLOCK_HEADER_BYTES, segmentName, segmentSequence } from './segment-format.ts';
import type { SegmentHeader } from './segment-format.ts';
import { SegmentReader } from './segment-reader.ts';
import type { Block } from './segment-reader.ts';

/** One segment file, as far as it verifies. */
export interface SegmentReport {
  readonly file: string;
  readonly sequence: number;
  readonly fileBytes: number;
  /** Up to the end of the last whole block. */
  readonly usedBytes: number;
  /** Why the header could not be read; null: it could. */
  readonly problem: string | null;
  /** The log was emptied at its beginning, behind `prevIndex`. */
  readonly reset: boolean;
  readonly prevIndex: Index;
  readonly prevTerm: Term;
  readonly firstBlock: number;
  /** Whole blocks; records of each kind in them, dead ones included. */
  readonly blocks: number;
  readonly batches: number;
  readonly noops: number;
  readonly configs: number;
  readonly hardStates: number;
  /** Lowest and highest index of its records; 0: it has none. */
  readonly firstIndex: Index;
  readonly lastIndex: Index;
}

/** One record, where it lies. */
export interface RecordReport {
  readonly file: string;
  readonly offset: number;
  readonly block: number;
  readonly kind: 'noop' | 'batch' | 'config' | 'hardState' | 'unknown';
  readonly term: Term;
  /** 0 for a hard state. */
  readonly index: Index;
  readonly timeMs: number;
  readonly bodyBytes: number;
  /** Of a hard state. */
  readonly vote?: number;
}

const KIND_NAMES: ReadonlyMap<number, RecordReport['kind']> = new Map([
  [EntryKind.noop, 'noop'],
  [EntryKind.batch, 'batch'],
  [EntryKind.config, 'config'],
  [HARD_STATE_KIND, 'hardState'],
]);

/** Reads every segment of `directory`, each as far as its blocks verify. `visit` sees each record. Changes nothing. */
export function inspectSegments(
  disk: Disk,
  directory: string,
  visit?: (record: RecordReport) => void,
): SegmentReport[] {
  return disk
    .readdir(directory)
    .map(segmentSequence)
    .filter((sequence) => sequence !== undefined)
    .map((sequence) => inspectSegment(disk, `${directory}/${segmentName(sequence)}`, sequence, visit));
}

/** The header of the first segment that has a whole one; undefined: there is none. */
export function firstHeader(disk: Disk, directory: string): SegmentHeader | undefined {
  for (const name of disk.readdir(directory)) {
    if (segmentSequence(name) === undefined) continue;
    const reader = new SegmentReader(disk, `${directory}/${name}`, 4096);
    try {
      const header = reader.readHeader();
      if (typeof header !== 'string') return header;
    } catch {
      // The disk cannot read it: another may do.
    } finally {
      reader.close();
    }
  }
  return undefined;
}

function inspectSegment(
  disk: Disk,
  path: string,
  sequence: number,
  visit: ((record: RecordReport) => void) | undefined,
): SegmentReport {
  const reader = new SegmentReader(disk, path);
  const counts = { noop: 0, batch: 0, config: 0, hardState: 0, unknown: 0 };
  let header: SegmentHeader | string = 'it cannot be read';
  let blocks = 0;
  let firstIndex = 0;
  let lastIndex = 0;
  try {
    header = reader.readHeader();
    for (let number = typeof header === 'string' ? -1 : header.firstBlock; number >= 0; number++) {
      const block = reader.next(number);
      if (block === null) break;
      blocks++;
      for (const record of recordsOf(block, path)) {
        counts[record.kind]++;
        if (record.kind !== 'hardState') {
          firstIndex = firstIndex === 0 ? record.index : Math.min(firstIndex, record.index);
          lastIndex = Math.max(lastIndex, record.index);
        }
        visit?.(record);
      }
    }
  } catch {
    // A place the disk cannot read ends the segment here as rot would; recovery's verdict says so.
  } finally {
    reader.close();
  }
  const whole = typeof header === 'string' ? null : header;
  return {
    file: path,
    sequence,
    fileBytes: reader.fileBytes,
    usedBytes: whole === null ? 0 : reader.position,
    problem: typeof header === 'string' ? header : null,
    reset: whole?.reset ?? false,
    prevIndex: whole?.prevIndex ?? 0,
    prevTerm: whole?.prevTerm ?? 0,
    firstBlock: whole?.firstBlock ?? 0,
    blocks,
    batches: counts.batch,
    noops: counts.noop,
    configs: counts.config,
    hardStates: counts.hardState,
    firstIndex,
    lastIndex,
  };
}

function* recordsOf(block: Block, file: string): Generator<RecordReport> {
  const { bytes, start, end, offset, header } = block;
  for (let at = start; at < end; at += measureRecord(bytes, at, end)) {
    const kind = recordKind(bytes, at);
    const vote = kind === HARD_STATE_KIND ? decodeHardState(bytes, at)?.vote : undefined;
    yield {
      file,
      offset: offset + BLOCK_HEADER_BYTES + (at - start),
      block: header.sequence,
      kind: KIND_NAMES.get(kind) ?? 'unknown',
      term: recordTerm(bytes, at),
      index: recordIndex(bytes, at),
      timeMs: recordTimeMs(bytes, at),
      bodyBytes: recordBodyBytes(bytes, at),
      ...(vote === undefined ? {} : { vote }),
    };
  }
}
