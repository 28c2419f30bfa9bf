import { copyBytes } from '../../protocol/byte-writer.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import type { Index } from '../core/types.ts';
import type { Disk } from './disk.ts';
import { readFully } from './disk.ts';
import type { LogImage } from './log-image.ts';
import type { LogSlice } from './log-store.ts';
import { recordIndex, recordTerm, verifyRecord } from './record.ts';
import type { Segment } from './segment.ts';

/** Entries between two read positions further apart than this are read apart: dead entries lie between them. */
const MAX_GAP_BYTES = 4096;

/**
 * Reads entries `from … to`, as many as fit `maxBytes` and at least one, from whichever segments they are in.
 * Throws `LOG_DAMAGED` if what is read is not what was written.
 */
export function readEntries(disk: Disk, image: LogImage, from: Index, to: Index, maxBytes: number): LogSlice {
  if (from <= image.prevIndex || from > to || to > image.lastIndex) {
    throw new RangeError(
      `entries ${from} to ${to} are not in the log (${image.prevIndex + 1} to ${image.lastIndex})`,
    );
  }
  let last = from - 1;
  let bytes = 0;
  let segment = segmentOf(image, from);
  while (last < to) {
    if (!segment.has(last + 1)) segment = segmentOf(image, last + 1);
    const size = segment.sizeOf(last + 1);
    if (last >= from && bytes + size > maxBytes) break;
    bytes += size;
    last++;
  }
  const out = new Uint8Array(bytes);
  let at = 0;
  for (let index = from; index <= last;) {
    segment = segmentOf(image, index);
    const until = Math.min(last, segment.first + segment.count - 1);
    at = readRun(disk, segment, index, until, out, at);
    index = until + 1;
  }
  verify(image, from, last, out);
  return { first: from, last, bytes: out };
}

function segmentOf(image: LogImage, index: Index): Segment {
  const segment = image.find(index);
  if (segment === undefined) throw new CordwoodError('LOG_DAMAGED', `entry ${index} is in no segment`);
  return segment;
}

/** Copies entries of one segment to `out`; returns where they end there. */
function readRun(
  disk: Disk,
  segment: Segment,
  from: Index,
  to: Index,
  out: Uint8Array,
  start: number,
): number {
  const fd = disk.open(segment.path, 'read');
  try {
    let at = start;
    for (let index = from; index <= to;) {
      const first = index;
      let end = segment.offsetOf(index) + segment.sizeOf(index);
      while (++index <= to) {
        const offset = segment.offsetOf(index);
        if (offset < end || offset - end > MAX_GAP_BYTES) break;
        end = offset + segment.sizeOf(index);
      }
      at = readStretch(disk, fd, segment, first, index - 1, end, out, at);
    }
    return at;
  } finally {
    disk.close(fd);
  }
}

/** One read; block headers and terms between the entries are left out. */
function readStretch(
  disk: Disk,
  fd: number,
  segment: Segment,
  from: Index,
  to: Index,
  end: number,
  out: Uint8Array,
  start: number,
): number {
  const offset = segment.offsetOf(from);
  let payload = 0;
  for (let index = from; index <= to; index++) payload += segment.sizeOf(index);
  const length = end - offset;
  const target = payload === length ? out : new Uint8Array(length);
  const base = target === out ? start : 0;
  if (readFully(disk, fd, target, base, length, offset) !== length) {
    throw new CordwoodError('LOG_DAMAGED', `${segment.path} ends before entry ${to}`);
  }
  if (target === out) return start + length;
  let at = start;
  for (let index = from; index <= to; index++) {
    const within = segment.offsetOf(index) - offset;
    const size = segment.sizeOf(index);
    copyBytes(target, within, within + size, out, at);
    at += size;
  }
  return at;
}

function verify(image: LogImage, from: Index, last: Index, bytes: Uint8Array): void {
  let at = 0;
  for (let index = from; index <= last; index++) {
    const size = verifyRecord(bytes, at, bytes.length);
    if (size === 0 || recordIndex(bytes, at) !== index || recordTerm(bytes, at) !== image.termAt(index)) {
      throw new CordwoodError('LOG_DAMAGED', `entry ${index} does not verify any more`);
    }
    at += size;
  }
}
