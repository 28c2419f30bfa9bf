import { type ByteWriter, writeU32 } from '../../protocol/byte-writer.ts';
import { Kind, Status } from '../../protocol/constants.ts';
import { writeText } from './msgpack.ts';

/** Fills in the header of the response whose body ends at `out.position`. */
export function finishResponse(
  out: ByteWriter,
  header: number,
  status: number,
  request: Uint8Array,
  at: number,
): void {
  const b = out.buffer;
  writeU32(b, header, out.position - header - 4);
  b[header + 4] = Kind.response;
  b[header + 5] = status;
  b[header + 6] = 0;
  b[header + 7] = 0;
  b[header + 8] = request[at + 8]!;
  b[header + 9] = request[at + 9]!;
  b[header + 10] = request[at + 10]!;
  b[header + 11] = request[at + 11]!;
}

/** The answer to a frame that says what it must not. */
export function malformed(out: ByteWriter, message: string): number {
  writeText(out, message);
  return Status.malformed;
}

/** At most this much of an answer is looked at. */
const MAX_FOLDED_BYTES = 24;

/** Adds an answer to a running hash (FNV-1a over its status, its length and its first bytes). */
export function fold(hash: number, status: number, b: Uint8Array, start: number, end: number): number {
  let h = Math.imul(hash ^ status, 0x01000193);
  h = Math.imul(h ^ (end - start), 0x01000193);
  const until = end - start > MAX_FOLDED_BYTES ? start + MAX_FOLDED_BYTES : end;
  for (let i = start; i < until; i++) h = Math.imul(h ^ b[i]!, 0x01000193);
  return h >>> 0;
}
