/**
 * The bare pipeline: what this machine and Node allow at best. Three processes; a leader gathers what clients send
 * into batches, writes each batch to its own file and to two followers at the same time, and answers when two of the
 * three have it durable. No elections, no terms, no sessions, no names, no recovery: nothing a user could rely on,
 * but every byte moved and synced that a replicated log has to move and sync.
 *
 * ```
 * request   | u32 bytes that follow | u32 id | value … |
 * answer    | u32 id | u32 batch |
 * batch     | u32 bytes that follow the header | u32 crc of them | u32 batch | u32 requests | requests …
 * ack       | u32 batch |
 * ```
 */
import { readU32, writeU32 } from '../../protocol/byte-writer.ts';
import { crcOf } from '../../protocol/crc.ts';

export const REQUEST_HEADER_BYTES = 8;
export const ANSWER_BYTES = 8;
export const BATCH_HEADER_BYTES = 16;
export const ACK_BYTES = 4;

export interface BatchHeader {
  readonly bodyBytes: number;
  readonly crc: number;
  readonly batch: number;
  readonly requests: number;
}

export function writeBatchHeader(bytes: Buffer, end: number, batch: number, requests: number): void {
  writeU32(bytes, 0, end - BATCH_HEADER_BYTES);
  writeU32(bytes, 4, crcOf(bytes, BATCH_HEADER_BYTES, end));
  writeU32(bytes, 8, batch);
  writeU32(bytes, 12, requests);
}

export function readBatchHeader(bytes: Uint8Array, at: number): BatchHeader {
  return {
    bodyBytes: readU32(bytes, at),
    crc: readU32(bytes, at + 4),
    batch: readU32(bytes, at + 8),
    requests: readU32(bytes, at + 12),
  };
}
