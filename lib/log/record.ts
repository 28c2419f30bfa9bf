import { RECORD_HEADER_BYTES } from '../../protocol/constants.ts';
import { readU32, readU64, writeU32, writeU64 } from '../../protocol/byte-writer.ts';
import { crcOf } from '../../protocol/crc.ts';
import { recordBytes } from '../../protocol/record.ts';
import type { HardState } from '../core/types.ts';

/**
 * Records as `protocol/constants.ts` draws them:
 * ```
 * 0           4          8      9          12        16     24      32       40
 * | bodyBytes | headerCrc| kind | reserved | bodyCrc | term | index | timeMs | body … | zeros to 8 |
 * ```
 * Entries have the kinds of `EntryKind`. One more kind exists on disk only, the hard state: `term` is the term,
 * `index` and `timeMs` are 0, and the body is the vote as a u64.
 */
export const HARD_STATE_KIND = 0x80;

/** A record's announced body beyond this is taken for damage: no writer makes one. */
export const MAX_RECORD_BODY_BYTES: number = 1 << 30;

export const recordBodyBytes = (b: Uint8Array, at: number): number => readU32(b, at);
export const recordKind = (b: Uint8Array, at: number): number => b[at + 8]!;
export const recordTerm = (b: Uint8Array, at: number): number => readU64(b, at + 16);
export const recordIndex = (b: Uint8Array, at: number): number => readU64(b, at + 24);
export const recordTimeMs = (b: Uint8Array, at: number): number => readU64(b, at + 32);

function headerCrc(bytes: Uint8Array, at: number): number {
  return crcOf(bytes, at + 8, at + RECORD_HEADER_BYTES, crcOf(bytes, at, at + 4));
}

/** Size of the record at `at`, judged by its announced length alone; 0 if it cannot lie within `end`. */
export function measureRecord(bytes: Uint8Array, at: number, end: number): number {
  if (at + RECORD_HEADER_BYTES > end) return 0;
  const body = recordBodyBytes(bytes, at);
  if (body > MAX_RECORD_BODY_BYTES) return 0;
  const size = recordBytes(body);
  return at + size > end ? 0 : size;
}

/** Whether the 40 bytes at `at` are a record's header, by its checksum; they must be there. */
export function recordHeaderIsWhole(bytes: Uint8Array, at: number): boolean {
  return headerCrc(bytes, at) === readU32(bytes, at + 4);
}

/** Size of the record at `at` if every checksum and every reserved byte of it is right; otherwise 0. */
export function verifyRecord(bytes: Uint8Array, at: number, end: number): number {
  const size = measureRecord(bytes, at, end);
  if (size === 0 || !recordHeaderIsWhole(bytes, at)) return 0;
  return verifyBody(bytes, at, size) ? size : 0;
}

/** The rest of `verifyRecord`, for a record of `size` bytes whose header some other checksum has vouched for. */
export function verifyBody(bytes: Uint8Array, at: number, size: number): boolean {
  if ((bytes[at + 9]! | bytes[at + 10]! | bytes[at + 11]!) !== 0) return false;
  if (
    recordTerm(bytes, at) > Number.MAX_SAFE_INTEGER ||
    recordIndex(bytes, at) > Number.MAX_SAFE_INTEGER ||
    recordTimeMs(bytes, at) > Number.MAX_SAFE_INTEGER
  ) {
    return false;
  }
  const bodyEnd = at + RECORD_HEADER_BYTES + recordBodyBytes(bytes, at);
  for (let i = bodyEnd; i < at + size; i++) if (bytes[i] !== 0) return false;
  return crcOf(bytes, at + RECORD_HEADER_BYTES, bodyEnd) === readU32(bytes, at + 12);
}

/** Lays out one record. */
export function encodeRecord(
  kind: number,
  term: number,
  index: number,
  timeMs: number,
  body: Uint8Array,
): Uint8Array {
  const bytes = new Uint8Array(recordBytes(body.length));
  writeU32(bytes, 0, body.length);
  bytes[8] = kind;
  writeU32(bytes, 12, crcOf(body, 0, body.length));
  writeU64(bytes, 16, term);
  writeU64(bytes, 24, index);
  writeU64(bytes, 32, timeMs);
  bytes.set(body, RECORD_HEADER_BYTES);
  writeU32(bytes, 4, headerCrc(bytes, 0));
  return bytes;
}

export function encodeHardState(state: HardState): Uint8Array {
  const body = new Uint8Array(8);
  writeU64(body, 0, state.vote);
  return encodeRecord(HARD_STATE_KIND, state.term, 0, 0, body);
}

/** The hard state in a verified record, or null if its fields make no sense. */
export function decodeHardState(bytes: Uint8Array, at: number): HardState | null {
  if (recordBodyBytes(bytes, at) !== 8 || recordIndex(bytes, at) !== 0) return null;
  const vote = readU64(bytes, at + RECORD_HEADER_BYTES);
  if (vote > Number.MAX_SAFE_INTEGER) return null;
  return { term: recordTerm(bytes, at), vote };
}
