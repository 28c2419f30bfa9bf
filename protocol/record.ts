import type { EntryKind, Index, Term } from '../lib/core/types.ts';
import { readU32, readU64, writeU32, writeU64 } from './byte-writer.ts';
import { RECORD_HEADER_BYTES } from './constants.ts';
import { crcOf } from './crc.ts';

/** Fields of a record's header. constants.ts and docs/storage.md draw the layout. */
export interface RecordHeader {
  kind: EntryKind;
  term: Term;
  index: Index;
  /** The leader's wall clock when the batch was sealed, milliseconds since 1970; never decreases along the log. */
  timeMs: number;
  bodyBytes: number;
  bodyCrc: number;
}

/** Largest entry kind that exists; anything above is damage or a newer version. */
const MAX_ENTRY_KIND = 2;

/** Size of a whole record: header, body, and zeros up to a multiple of eight. */
export function recordBytes(bodyBytes: number): number {
  // Not with bit operations: those would wrap at 2^31, and `bodyBytes` may come straight from damaged bytes.
  return RECORD_HEADER_BYTES + bodyBytes + ((8 - (bodyBytes % 8)) % 8);
}

export { crcOf };

/**
 * Writes the 40 bytes of a header at `at`, checksum included. The body and its padding are the caller's; the padding
 * must be zeros.
 *
 * @example
 * const buffer = new Uint8Array(recordBytes(body.length));
 * buffer.set(body, RECORD_HEADER_BYTES);
 * writeRecordHeader(buffer, 0, { kind, term, index, timeMs, bodyBytes: body.length, bodyCrc: crcOf(body, 0, body.length) });
 */
export function writeRecordHeader(buffer: Uint8Array, at: number, header: Readonly<RecordHeader>): void {
  writeU32(buffer, at, header.bodyBytes);
  writeU32(buffer, at + 8, header.kind);
  writeU32(buffer, at + 12, header.bodyCrc);
  writeU64(buffer, at + 16, header.term);
  writeU64(buffer, at + 24, header.index);
  writeU64(buffer, at + 32, header.timeMs);
  writeU32(buffer, at + 4, headerCrc(buffer, at));
}

/**
 * Reads a header whose 40 bytes are present. `null` if its checksum or a field is wrong: then nothing about the
 * bytes at `at` can be trusted, their length included.
 */
export function readRecordHeader(buffer: Uint8Array, at: number): RecordHeader | null {
  if (at + RECORD_HEADER_BYTES > buffer.length) return null;
  if (readU32(buffer, at + 4) !== headerCrc(buffer, at)) return null;
  const kindAndReserved = readU32(buffer, at + 8);
  if (kindAndReserved > MAX_ENTRY_KIND) return null;
  const term = readU64(buffer, at + 16);
  const index = readU64(buffer, at + 24);
  const timeMs = readU64(buffer, at + 32);
  if (term === 0 || index === 0) return null;
  if (!Number.isSafeInteger(term) || !Number.isSafeInteger(index) || !Number.isSafeInteger(timeMs))
    return null;
  return {
    kind: kindAndReserved as EntryKind,
    term,
    index,
    timeMs,
    bodyBytes: readU32(buffer, at),
    bodyCrc: readU32(buffer, at + 12),
  };
}

/**
 * Whether the whole record that `header` was read from lies in `buffer[at, end)`, its body has the checksum the
 * header says, and its padding is zero.
 */
export function bodyIsWhole(
  buffer: Uint8Array,
  at: number,
  end: number,
  header: Readonly<RecordHeader>,
): boolean {
  const recordEnd = at + recordBytes(header.bodyBytes);
  if (recordEnd > end) return false;
  const bodyEnd = at + RECORD_HEADER_BYTES + header.bodyBytes;
  for (let i = bodyEnd; i < recordEnd; i++) if (buffer[i] !== 0) return false;
  return crcOf(buffer, at + RECORD_HEADER_BYTES, bodyEnd) === header.bodyCrc;
}

/** Checksum of the header at `at`: bytes 0–3 and 8–39. */
function headerCrc(buffer: Uint8Array, at: number): number {
  return crcOf(buffer, at + 8, at + RECORD_HEADER_BYTES, crcOf(buffer, at, at + 4));
}
