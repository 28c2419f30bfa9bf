import type { ByteWriter } from './byte-writer.ts';

/** Header of an array of `count` values, which follow, in its shortest form. */
export function writeArrayHeader(out: ByteWriter, count: number): void {
  if (count < 16) out.u8(0x90 | count);
  else if (count < 0x10000)
    out
      .u8(0xdc)
      .u8(count >>> 8)
      .u8(count);
  else
    out
      .u8(0xdd)
      .u8(count >>> 24)
      .u8(count >>> 16)
      .u8(count >>> 8)
      .u8(count);
}
