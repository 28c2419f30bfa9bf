import { readU32 } from './byte-writer.ts';
import { Limits } from './constants.ts';

/** What a scan met, for decoders that must prepare for it. */
export const Scan = {
  /** A 64-bit integer beyond ±(2^53 − 1). */
  wideInteger: 1,
  /** A bin or ext value: libraries decode those as views on the input. */
  binary: 2,
  /** A str of a size that libraries leave to the runtime, which drops the byte order mark at its beginning. */
  byteOrderMark: 4,
} as const;

/** `msgpackEnd`: the bytes stop before the value does. */
export const TRUNCATED = -1;
/** `msgpackEnd`: no msgpack value starts like this, or it is nested too deeply. */
export const INVALID = -2;

/** Deeper by one than values may be: what popMany takes off comes in an array. */
export const MAX_ANSWER_DEPTH: number = Limits.maxValueDepth + 1;

const MAX_DEPTH = 1024;
/**
 * Values still to come on each open level. Float64 because a map32 announces up to 2^33. One scan runs at a time and
 * never yields, so one array serves all.
 */
const open = new Float64Array(MAX_DEPTH);

let found = 0;

/** `Scan` bits of the last value whose end was found. */
export function lastScan(): number {
  return found;
}

/**
 * End of the msgpack value that begins at `at`, or -1 if the bytes are no whole value, or more than
 * `Limits.maxValueDepth` + 1 arrays and maps lie in each other.
 */
export function skipValue(bytes: Uint8Array, at: number, end: number): number {
  const after = msgpackEnd(bytes, at, end, MAX_ANSWER_DEPTH);
  return after < 0 ? -1 : after;
}

/**
 * Where the msgpack value that starts at `at` ends, or `TRUNCATED` or `INVALID`. Looks at structure only (the text
 * of a str need not be UTF-8), allocates nothing and never reads at or behind `end`. A length or count larger than the
 * bytes that are there is `TRUNCATED`, so whatever decodes a value that passed allocates no more than a small multiple
 * of its bytes. A value that is no array or map has depth 0; `maxDepth` is at most 1024.
 */
export function msgpackEnd(bytes: Uint8Array, at: number, end: number, maxDepth: number): number {
  found = 0;
  if (at >= end) return TRUNCATED;
  const type = bytes[at]!;
  if (type < 0x80 || type >= 0xe0) return at + 1;
  return isContainer(type) ? containerEnd(bytes, at, end, maxDepth) : scalarEnd(bytes, at, end);
}

function isContainer(type: number): boolean {
  return (type >= 0x80 && type < 0xa0) || (type >= 0xdc && type <= 0xdf);
}

/** For a type byte from 0xa0 to 0xdb. */
function scalarEnd(bytes: Uint8Array, at: number, end: number): number {
  const type = bytes[at++]!;
  let after: number;
  if (type < 0xc0) after = at + (type & 0x1f);
  else {
    const size = PAYLOAD_BYTES[type - 0xc0]!;
    if (size >= 0) {
      after = at + size;
      if (type >= 0xd4) found |= Scan.binary;
      else if ((type === 0xcf || type === 0xd3) && after <= end && isWide(bytes, at, type))
        found |= Scan.wideInteger;
    } else if (size === UNUSED) return INVALID;
    else {
      if (at - size > end) return TRUNCATED;
      // An ext value has its type byte behind the length.
      after = at - size + bigEndian(bytes, at, -size) + (type >= 0xc7 && type <= 0xc9 ? 1 : 0);
      at -= size;
      if (type <= 0xc9) found |= Scan.binary;
      else if (after - at > 2 && bytes[at] === 0xef && bytes[at + 1] === 0xbb && bytes[at + 2] === 0xbf) {
        found |= Scan.byteOrderMark;
      }
    }
  }
  return after <= end ? after : TRUNCATED;
}

/** Arrays and maps, with a counter for each open level in place of recursion: hostile nesting costs no stack. */
function containerEnd(bytes: Uint8Array, at: number, end: number, maxDepth: number): number {
  let depth = 0;
  for (;;) {
    if (at >= end) return TRUNCATED;
    const type = bytes[at]!;
    // Most elements are of these; a call for each would cost more than they do.
    if (type < 0x80 || type >= 0xe0) at++;
    else if (type >= 0xa0 && type < 0xc0) {
      at += 1 + (type & 0x1f);
      if (at > end) return TRUNCATED;
    } else if (isContainer(type)) {
      const header = type < 0xa0 ? 1 : type === 0xdc || type === 0xde ? 3 : 5;
      if (at + header > end) return TRUNCATED;
      let values = header === 1 ? type & 0x0f : bigEndian(bytes, at + 1, header - 1);
      if (type < 0x90 || type >= 0xde) values *= 2;
      at += header;
      if (depth >= maxDepth) return INVALID;
      // Every value takes at least one byte, so a count the rest cannot hold needs no walk.
      if (values > end - at) return TRUNCATED;
      if (values > 0) {
        open[depth++] = values;
        continue;
      }
    } else {
      at = scalarEnd(bytes, at, end);
      if (at < 0) return at;
    }
    while (depth > 0 && --open[depth - 1]! === 0) depth--;
    if (depth === 0) return at;
  }
}

/** An unsigned integer of `size` (1 … 4) bytes, most significant first, as msgpack writes all its numbers. */
export function bigEndian(bytes: Uint8Array, at: number, size: number): number {
  let value = 0;
  for (let i = 0; i < size; i++) value = value * 256 + bytes[at + i]!;
  return value;
}

/** Whether the 64-bit integer at `at` is beyond the safe ones. */
function isWide(bytes: Uint8Array, at: number, type: number): boolean {
  const high = ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
  if (type === 0xcf || high < 0x80000000) return high > 0x1fffff;
  // Negative: −2^53 itself is wide, −(2^53 − 1) is not.
  return high < 0xffe00000 || (high === 0xffe00000 && readU32(bytes, at + 4) === 0);
}

const UNUSED = -128;

/**
 * For the type bytes 0xc0 … 0xdb: payload bytes of a fixed-size value; minus the bytes of the length field of a
 * variable one; or UNUSED.
 */
const PAYLOAD_BYTES = Int8Array.of(
  ...[0, UNUSED, 0, 0], // nil, unused, false, true
  ...[-1, -2, -4], // bin
  ...[-1, -2, -4], // ext
  ...[4, 8], // float
  ...[1, 2, 4, 8, 1, 2, 4, 8], // uint, int
  ...[2, 3, 5, 9, 17], // fixext, type byte included
  ...[-1, -2, -4], // str
);
