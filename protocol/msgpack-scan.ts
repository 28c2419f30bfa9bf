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

/** Deeper by one than values may be: what popMany takes off comes in an array. */
const MAX_DEPTH = Limits.maxValueDepth + 1;

/** Elements still to come at each depth. One scan runs at a time and never yields, so one array serves all. */
const remaining = new Float64Array(MAX_DEPTH + 2);

let found = 0;

/** `Scan` bits of the last `skipValue` that found a whole value. */
export function lastScan(): number {
  return found;
}

/**
 * End of the msgpack value that begins at `at`, or -1 if the bytes are no whole value: cut short, an unused type
 * byte, more than `Limits.maxValueDepth` + 1 arrays and maps in each other, or a length or count larger than the bytes that are there. So
 * whatever decodes a value that passed allocates no more than a small multiple of its bytes.
 *
 * Big-endian, as msgpack is. Does not look inside strings.
 */
export function skipValue(bytes: Uint8Array, at: number, end: number): number {
  let depth = 1;
  let flags = 0;
  remaining[1] = 1;
  while (depth > 0) {
    if (remaining[depth] === 0) {
      depth--;
      continue;
    }
    remaining[depth]!--;
    if (at >= end) return -1;
    const type = bytes[at++]!;
    let children = -1;
    if (type < 0x80 || type >= 0xe0) continue;
    if (type < 0x90) children = (type & 0x0f) * 2;
    else if (type < 0xa0) children = type & 0x0f;
    else if (type < 0xc0) at += type & 0x1f;
    else {
      const size = FIXED_BYTES[type - 0xc0]!;
      if (size >= 0) {
        if ((type === 0xcf || type === 0xd3) && at + 8 <= end && isWide(bytes, at, type))
          flags |= Scan.wideInteger;
        if (type >= 0xd4) flags |= Scan.binary;
        at += size;
      } else if (size === UNUSED) return -1;
      else {
        const lengthBytes = -size;
        if (at + lengthBytes > end) return -1;
        let length = 0;
        for (let i = 0; i < lengthBytes; i++) length = length * 256 + bytes[at++]!;
        if (type >= 0xdc) children = type >= 0xde ? length * 2 : length;
        else {
          if (type <= 0xc9) flags |= Scan.binary;
          else if (length > 2 && bytes[at] === 0xef && bytes[at + 1] === 0xbb && bytes[at + 2] === 0xbf) {
            flags |= Scan.byteOrderMark;
          }
          // An ext value has its type byte behind the length.
          at += length + (type >= 0xc7 && type <= 0xc9 ? 1 : 0);
        }
      }
    }
    if (at > end) return -1;
    if (children >= 0) {
      // The outermost value stands at depth 1.
      if (children > end - at || depth > MAX_DEPTH) return -1;
      if (children > 0) remaining[++depth] = children;
    }
  }
  found = flags;
  return at;
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
 * For the type bytes 0xc0 … 0xdf: payload bytes of a fixed-size value; minus the bytes of the length field of a
 * variable one; or UNUSED.
 */
const FIXED_BYTES = Int8Array.of(
  ...[0, UNUSED, 0, 0], // nil, unused, false, true
  ...[-1, -2, -4], // bin
  ...[-1, -2, -4], // ext
  ...[4, 8], // float
  ...[1, 2, 4, 8, 1, 2, 4, 8], // uint, int
  ...[2, 3, 5, 9, 17], // fixext, type byte included
  ...[-1, -2, -4], // str
  ...[-2, -4], // array
  ...[-2, -4], // map
);
