import { crc32 } from 'node:zlib';

/** Up to here a loop is done before a call into zlib has returned (measured: the call costs about 160 ns). */
const LOOP_CRC_BYTES = 64;

const table = makeTable();

/**
 * CRC-32 (IEEE, as zlib computes it) of `bytes[start, end)`. `previous` continues a checksum over bytes that came
 * before.
 */
export function crcOf(bytes: Uint8Array, start: number, end: number, previous = 0): number {
  if (end - start > LOOP_CRC_BYTES) {
    return crc32(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end), previous);
  }
  let crc = previous ^ -1;
  for (let i = start; i < end; i++) crc = (crc >>> 8) ^ table[(crc ^ bytes[i]!) & 0xff]!;
  return (crc ^ -1) >>> 0;
}

function makeTable(): Int32Array {
  const result = new Int32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    result[byte] = crc;
  }
  return result;
}
