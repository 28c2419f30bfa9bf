import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { writeU32 } from '../../protocol/byte-writer.ts';
import { ChunkReader, damaged } from './chunk-reader.ts';
import type { SnapshotView } from './state-machine.ts';

/**
 * A snapshot's bytes are cut into blocks, so that no byte is looked at before its checksum was:
 * ```
 * | payloadBytes u32 | crc u32 | payload … |   …   | 0 u32 | crc u32 |
 * ```
 * Each crc (CRC-32, IEEE) goes on from the one before, so blocks that are missing, swapped or from another snapshot
 * are found; the empty block says that nothing is missing at the end.
 */
const BLOCK_HEADER_BYTES = 8;
/** A whole block: what the bulk lane carries as one chunk. */
export const BLOCK_BYTES: number = 256 * 1024;
const PAYLOAD_BYTES = BLOCK_BYTES - BLOCK_HEADER_BYTES;

/** Cuts `pieces` into blocks. A block is valid until the next is asked for. */
export function* writeBlocks(pieces: Iterable<Uint8Array>): Generator<Uint8Array, void, undefined> {
  const block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  let end = BLOCK_HEADER_BYTES;
  let crc = 0;
  const seal = (): Uint8Array => {
    const payload = block.subarray(BLOCK_HEADER_BYTES, end);
    crc = crc32(payload, crc);
    writeU32(block, 0, payload.length);
    writeU32(block, 4, crc);
    const sealed = block.subarray(0, end);
    end = BLOCK_HEADER_BYTES;
    return sealed;
  };
  for (const piece of pieces) {
    let at = 0;
    while (at < piece.length) {
      const count = Math.min(piece.length - at, BLOCK_BYTES - end);
      block.set(piece.subarray(at, at + count), end);
      end += count;
      at += count;
      if (end === BLOCK_BYTES) yield seal();
    }
  }
  if (end > BLOCK_HEADER_BYTES) yield seal();
  yield seal();
}

/** The payload of blocks that come in chunks of any sizes. Throws `SNAPSHOT_DAMAGED` if one is not as it was written. */
export async function* readBlocks(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = new ChunkReader(chunks);
  try {
    let crc = 0;
    for (;;) {
      const length = await reader.u32();
      const expected = await reader.u32();
      if (length > PAYLOAD_BYTES) throw damaged('a block is too long');
      await reader.fill(length);
      const payload = reader.buffer.subarray(reader.at, reader.at + length);
      crc = crc32(payload, crc);
      if (crc !== expected) throw damaged('a checksum is wrong');
      reader.at += length;
      if (length === 0) break;
      yield payload;
    }
    if (!(await reader.atEnd())) throw damaged('bytes behind its end');
  } finally {
    await reader.close();
  }
}

/** Record of a snapshot: a length and that many bytes. `maxBytes` bounds what is believed. */
export async function readRecord(
  reader: ChunkReader,
  maxBytes: number,
): Promise<{ start: number; end: number }> {
  const length = await reader.u32();
  if (length > maxBytes) throw damaged('a record is too long');
  await reader.fill(length);
  const start = reader.at;
  reader.at += length;
  return { start, end: reader.at };
}

/** SHA-256 (hex) of a snapshot, which is read to its end and released. Equal states have equal hashes. */
export function hashSnapshot(view: SnapshotView): string {
  const hash = createHash('sha256');
  try {
    for (const chunk of view.chunks()) hash.update(chunk);
    return hash.digest('hex');
  } finally {
    view.release();
  }
}
