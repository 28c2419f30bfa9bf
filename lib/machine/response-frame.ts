import type { ByteWriter } from '../../protocol/byte-writer.ts';
import { endFrame, setFrameHeader } from '../../protocol/client-codec.ts';
import { FRAME_HEADER_BYTES, Kind, Status } from '../../protocol/constants.ts';
import { writeNil, writeText } from './msgpack.ts';

/** A stretch of a batch whose answers go to one place. */
export interface ReplyRun {
  /** Offset in the batch (counted from its start) at which the stretch ends. */
  readonly end: number;
  /** Where its response frames go; null: nobody waits any more. */
  readonly out: ByteWriter | null;
}

/** Fills in the header of the response whose body ends at `out.position`. */
export function finishResponse(out: ByteWriter, header: number, status: number, requestId: number): void {
  setFrameHeader(out.view, header, Kind.response, status, requestId);
  endFrame(out, header);
}

/** Answers the frames from offset `from` on with `status` and nothing else; `start` is where the batch begins. */
export function answerRest(
  view: DataView,
  start: number,
  from: number,
  runs: readonly ReplyRun[],
  status: number,
): void {
  let at = from;
  for (const { end, out } of runs) {
    for (; at < start + end; at += 4 + view.getUint32(at, true)) {
      if (out === null) continue;
      const header = out.position;
      out.ensure(FRAME_HEADER_BYTES);
      out.position = header + FRAME_HEADER_BYTES;
      writeNil(out);
      finishResponse(out, header, status, view.getUint32(at + 8, true));
    }
  }
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
