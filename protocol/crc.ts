import { crc32 } from 'node:zlib';

/** Up to here the loops are done before a call into zlib has returned (measured: the call costs 160 ns and more). */
const LOOP_CRC_BYTES = 256;

/**
 * Eight tables: the n-th says what a byte does to the checksum when n bytes follow it. So eight bytes are taken at a
 * time, whose look-ups do not wait for each other ("slicing by 8").
 */
const tables = makeTables();

/**
 * CRC-32 (IEEE, as zlib computes it) of `bytes[start, end)`. `previous` continues a checksum over bytes that came
 * before.
 */
export function crcOf(bytes: Uint8Array, start: number, end: number, previous = 0): number {
  if (end - start > LOOP_CRC_BYTES) {
    return crc32(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end), previous);
  }
  const t = tables;
  let crc = previous ^ -1;
  let at = start;
  for (; at + 8 <= end; at += 8) {
    crc =
      t[0x700 | ((crc ^ bytes[at]!) & 0xff)]! ^
      t[0x600 | (((crc >>> 8) ^ bytes[at + 1]!) & 0xff)]! ^
      t[0x500 | (((crc >>> 16) ^ bytes[at + 2]!) & 0xff)]! ^
      t[0x400 | ((crc >>> 24) ^ bytes[at + 3]!)]! ^
      t[0x300 | bytes[at + 4]!]! ^
      t[0x200 | bytes[at + 5]!]! ^
      t[0x100 | bytes[at + 6]!]! ^
      t[bytes[at + 7]!]!;
  }
  for (; at < end; at++) crc = (crc >>> 8) ^ t[(crc ^ bytes[at]!) & 0xff]!;
  return (crc ^ -1) >>> 0;
}

function makeTables(): Int32Array {
  const result = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    result[byte] = crc;
  }
  for (let i = 256; i < result.length; i++) {
    const shorter = result[i - 256]!;
    result[i] = (shorter >>> 8) ^ result[shorter & 0xff]!;
  }
  return result;
}
