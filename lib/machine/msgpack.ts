import type { ByteWriter } from '../../protocol/byte-writer.ts';
import { writeArrayHeader } from '../../protocol/msgpack-header.ts';
import { bigEndian, INVALID, msgpackEnd, TRUNCATED } from '../../protocol/msgpack-scan.ts';

/**
 * The little of msgpack that the hot path needs: where a value ends, and the few values results are made of.
 * Nothing here builds objects; whoever wants objects uses a decoder.
 */

export { INVALID, msgpackEnd, TRUNCATED, writeArrayHeader };

/** Bytes of the header of a str, array or map whose first byte is `tag` (which must be one of those). */
export function headerBytes(tag: number): number {
  if (tag < 0xc0) return 1;
  if (tag === 0xd9) return 2;
  return tag === 0xda || tag === 0xdc || tag === 0xde ? 3 : 5;
}

/** Text bytes of the str at `at` in any of its forms; negative: no str, or cut off. */
export function strLength(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end) return TRUNCATED;
  const tag = bytes[at]!;
  if ((tag & 0xe0) !== 0xa0 && (tag < 0xd9 || tag > 0xdb)) return INVALID;
  return sized(bytes, at, end, tag & 0x1f, 1);
}

/** Elements of the array at `at` in any of its forms; negative: no array, or cut off. */
export function arrayLength(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end) return TRUNCATED;
  const tag = bytes[at]!;
  if ((tag & 0xf0) !== 0x90 && tag !== 0xdc && tag !== 0xdd) return INVALID;
  return sized(bytes, at, end, tag & 0x0f, 0);
}

/** Pairs of the map at `at` in any of its forms; negative: no map, or cut off. */
export function mapLength(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end) return TRUNCATED;
  const tag = bytes[at]!;
  if ((tag & 0xf0) !== 0x80 && tag !== 0xde && tag !== 0xdf) return INVALID;
  return sized(bytes, at, end, tag & 0x0f, 0);
}

/** The length a header announces; `unit` 1: in bytes that must be there, 0: in values. */
function sized(bytes: Uint8Array, at: number, end: number, fixed: number, unit: number): number {
  const header = headerBytes(bytes[at]!);
  if (at + header > end) return TRUNCATED;
  const length = header === 1 ? fixed : bigEndian(bytes, at + 1, header - 1);
  return unit === 1 && at + header + length > end ? TRUNCATED : length;
}

/** The integer at `at` if it is a whole number from 0 to 2^53 − 1 in any of its forms; otherwise negative. */
export function readUint(bytes: Uint8Array, at: number, end: number): number {
  const after = msgpackEnd(bytes, at, end, 0);
  if (after < 0) return after;
  const tag = bytes[at]!;
  if (tag < 0x80) return tag;
  if (tag >= 0xcc && tag <= 0xce) return bigEndian(bytes, at + 1, after - at - 1);
  if (tag >= 0xd0 && tag <= 0xd2)
    return bytes[at + 1]! < 0x80 ? bigEndian(bytes, at + 1, after - at - 1) : INVALID;
  if (tag !== 0xcf && tag !== 0xd3) return INVALID;
  const value = bigEndian(bytes, at + 1, 4) * 4294967296 + bigEndian(bytes, at + 5, 4);
  return value <= Number.MAX_SAFE_INTEGER ? value : INVALID;
}

export function writeNil(out: ByteWriter): void {
  out.u8(0xc0);
}

export function writeBool(out: ByteWriter, value: boolean): void {
  out.u8(value ? 0xc3 : 0xc2);
}

/** A safe integer >= 0 in its shortest form. */
export function writeUint(out: ByteWriter, value: number): void {
  out.ensure(9);
  const b = out.buffer;
  let at = out.position;
  if (value < 0x80) b[at++] = value;
  else if (value < 0x100) {
    b[at++] = 0xcc;
    b[at++] = value;
  } else if (value < 0x10000) {
    b[at++] = 0xcd;
    b[at++] = value >>> 8;
    b[at++] = value;
  } else if (value < 0x100000000) {
    b[at++] = 0xce;
    at = writeBigEndian32(b, at, value);
  } else {
    b[at++] = 0xcf;
    at = writeBigEndian32(b, at, Math.floor(value / 4294967296));
    at = writeBigEndian32(b, at, value >>> 0);
  }
  out.position = at;
}

function writeBigEndian32(b: Uint8Array, at: number, value: number): number {
  b[at] = value >>> 24;
  b[at + 1] = value >>> 16;
  b[at + 2] = value >>> 8;
  b[at + 3] = value;
  return at + 4;
}

/** A str of the UTF-8 bytes `source[start, end)`, with the shortest header. */
export function writeStrBytes(out: ByteWriter, source: Uint8Array, start: number, end: number): void {
  const length = end - start;
  if (length < 32) out.u8(0xa0 | length);
  else if (length < 0x100) out.u8(0xd9).u8(length);
  else if (length < 0x10000)
    out
      .u8(0xda)
      .u8(length >>> 8)
      .u8(length);
  else {
    out.u8(0xdb).ensure(4);
    out.position = writeBigEndian32(out.buffer, out.position, length);
  }
  out.bytes(source, start, end);
}

/** A str of `text`. */
export function writeText(out: ByteWriter, text: string): void {
  const bytes = Buffer.from(text, 'utf8');
  writeStrBytes(out, bytes, 0, bytes.length);
}

/** An array header in its five-byte form, for counts that are patched in afterwards with `patchWideArrayHeader`. */
export function writeWideArrayHeader(out: ByteWriter, length: number): void {
  out.u8(0xdd).ensure(4);
  out.position = writeBigEndian32(out.buffer, out.position, length);
}

export function patchWideArrayHeader(out: ByteWriter, at: number, length: number): void {
  writeBigEndian32(out.buffer, at + 1, length);
}
