import { openLogFiles } from '../../lib/log/open-log-files.ts';
import type { OpenedLogFiles } from '../../lib/log/open-log-files.ts';
import type { LogSizes } from '../../lib/log/log-options.ts';
import type { LogWrite } from '../../lib/log/log-store.ts';
import type { Disk } from '../../lib/log/disk.ts';
import { encodeRecord } from '../../lib/log/record.ts';
import { recordBytes } from '../../protocol/record.ts';
import type { Config, HardState } from '../../lib/core/types.ts';

export const tinySizes: LogSizes = {
  minSegmentBytes: 512,
  maxSegmentBytes: 1024,
  fillBytes: 128,
  maxGroupBytes: 4096,
  spareSegments: 2,
  aheadBytes: 0,
  scrubIntervalMs: 0,
  reserveBytes: 0,
  lowSpaceBytes: 0,
  spaceIntervalMs: 0,
};

export const config: Config = {
  voters: [1, 2, 3],
  outgoing: [],
  learners: [],
  learnersNext: [],
  members: [
    { id: 1, peerAddress: 'a:1' },
    { id: 2, peerAddress: 'b:2' },
    { id: 3, peerAddress: 'c:3' },
  ],
};

/** A small generator of numbers: the same seed gives the same run. */
export function chooser(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * below);
  };
}

export interface ModelEntry {
  readonly index: number;
  readonly term: number;
  readonly bytes: Uint8Array;
}

/** Body of an entry: tells entries of equal index and term apart by `salt`. */
export function entry(index: number, term: number, salt: number, bodyBytes = 8): ModelEntry {
  const body = new Uint8Array(bodyBytes).fill(salt);
  return { index, term, bytes: encodeRecord(1, term, index, 1000 + index, body) };
}

export function writeOf(
  ticket: number,
  entries: readonly ModelEntry[],
  hardState: HardState | null = null,
  resetTo: LogWrite['resetTo'] = null,
): LogWrite {
  return {
    ticket,
    hardState,
    resetTo,
    first: entries[0]?.index ?? 0,
    last: entries.at(-1)?.index ?? 0,
    records: entries.map(({ bytes }) => bytes),
  };
}

export function open(disk: Disk, seed = 1, sizes: LogSizes = tinySizes): OpenedLogFiles {
  const choose = chooser(seed);
  const random = (bytes: Uint8Array): void => {
    for (let i = 0; i < bytes.length; i++) bytes[i] = choose(256);
  };
  return openLogFiles(disk, '/d', { sizes, owner: 7, random }, true);
}

/** Everything that can be seen of a log, as text that two logs can be compared by. */
export function show(opened: OpenedLogFiles): string {
  const { engine, recovery } = opened;
  const lines = [`hard ${recovery.hardState.term}/${recovery.hardState.vote}`];
  lines.push(`after ${recovery.prevIndex}`, `last ${recovery.lastIndex}`);
  for (let index = recovery.prevIndex + 1; index <= recovery.lastIndex; index++) {
    const { bytes } = engine.read(index, index, 1);
    lines.push(`${index} ${Buffer.from(bytes).toString('base64')}`);
  }
  return lines.join('\n');
}

/** What a log should be after some writes. */
export class LogModel {
  hardState: HardState = { term: 0, vote: 0 };
  prevIndex = 0;
  prevTerm = 0;
  entries: ModelEntry[] = [];

  clone(): LogModel {
    const copy = new LogModel();
    copy.hardState = this.hardState;
    copy.prevIndex = this.prevIndex;
    copy.prevTerm = this.prevTerm;
    copy.entries = [...this.entries];
    return copy;
  }

  get lastIndex(): number {
    return this.prevIndex + this.entries.length;
  }

  termAt(index: number): number {
    return index === this.prevIndex ? this.prevTerm : (this.entries[index - this.prevIndex - 1]?.term ?? 0);
  }

  apply(write: LogWrite, entries: readonly ModelEntry[]): void {
    if (write.resetTo !== null) {
      this.prevIndex = write.resetTo.index;
      this.prevTerm = write.resetTo.term;
      this.entries = [];
    }
    if (write.hardState !== null) this.hardState = write.hardState;
    if (write.first > 0) this.entries.length = write.first - this.prevIndex - 1;
    this.entries.push(...entries);
  }

  /** Like `show`, of a log that begins behind `prevIndex`, which compaction may have moved. */
  show(prevIndex: number): string {
    const lines = [
      `hard ${this.hardState.term}/${this.hardState.vote}`,
      `after ${prevIndex}`,
      `last ${this.lastIndex}`,
    ];
    for (const { index, bytes } of this.entries) {
      if (index > prevIndex) lines.push(`${index} ${Buffer.from(bytes).toString('base64')}`);
    }
    return lines.join('\n');
  }
}

export { recordBytes };
