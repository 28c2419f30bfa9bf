import type { ByteWriter } from './byte-writer.ts';
import { readU16, readU32, readU64 } from './byte-writer.ts';
import { FRAME_HEADER_BYTES, Kind, Limits, ReadLevel, Status, WRITE_HEADER_BYTES } from './constants.ts';

/*
 * The fixed fields of frames between clients and nodes, read and written at their offsets, without an object for each;
 * constants.ts draws them, PROTOCOL.md explains them.
 */

/** Kind of the frame at `at`. */
export function frameKind(bytes: Uint8Array, at: number): number {
  return bytes[at + 4]!;
}

/** Flags of the frame at `at`: a query's level, a response's status. */
export function frameFlags(bytes: Uint8Array, at: number): number {
  return bytes[at + 5]!;
}

export function frameRequestId(bytes: Uint8Array, at: number): number {
  return readU32(bytes, at + 8);
}

/** `window` of the write frame at `at`: commands of its session from the oldest unanswered one up to this. */
export function writeWindow(bytes: Uint8Array, at: number): number {
  return readU32(bytes, at + 12);
}

export function writeSession(bytes: Uint8Array, at: number): number {
  return readU64(bytes, at + 16);
}

export function writeSeq(bytes: Uint8Array, at: number): number {
  return readU64(bytes, at + 24);
}

/** Whether a kind is a write, which is replicated verbatim. */
export function isWriteKind(kind: number): boolean {
  return (kind & 0xf0) === 0x10;
}

/**
 * Judges the fixed fields of the whole write frame `bytes[start, end)`: `Status.ok`, or the status to answer it
 * with. After `ok` every replica can read its fields at their offsets without checking again.
 */
export function checkWriteFrame(bytes: Uint8Array, start: number, end: number): Status {
  if (end - start < WRITE_HEADER_BYTES) return Status.malformed;
  // Flags and the reserved bytes are for later versions, which a node that ignored them would serve wrongly.
  if (bytes[start + 5] !== 0 || bytes[start + 6] !== 0 || bytes[start + 7] !== 0) return Status.malformed;
  const window = readU32(bytes, start + 12);
  const session = readU64(bytes, start + 16);
  const seq = readU64(bytes, start + 24);
  if (session > Number.MAX_SAFE_INTEGER || seq > Number.MAX_SAFE_INTEGER) return Status.malformed;
  switch (bytes[start + 4]) {
    case Kind.command:
      // Without a session a command has no number either: it runs each time it is sent.
      if (session === 0) return seq === 0 && window === 0 ? Status.ok : Status.malformed;
      return seq > window && window <= Limits.maxSessionWindow ? Status.ok : Status.malformed;
    case Kind.openSession:
      return session === 0 && seq === 0 && window === 0 ? Status.ok : Status.malformed;
    case Kind.closeSession:
      return session !== 0 && seq === 0 && window === 0 && end - start === WRITE_HEADER_BYTES
        ? Status.ok
        : Status.malformed;
    case Kind.keepAlive:
      // `seq` is the next number the client will use, so `seq` − `window` is where its unanswered ones begin; both
      // may be 0.
      return session !== 0 &&
        seq >= window &&
        window <= Limits.maxSessionWindow &&
        end - start === WRITE_HEADER_BYTES
        ? Status.ok
        : Status.malformed;
    case Kind.keyedCommand: {
      if (session !== 0 || seq !== 0 || window !== 0) return Status.malformed;
      if (end - start < WRITE_HEADER_BYTES + 2) return Status.malformed;
      const keyBytes = readU16(bytes, start + WRITE_HEADER_BYTES);
      if (keyBytes === 0 || keyBytes > Limits.maxIdempotencyKeyBytes) return Status.malformed;
      return start + WRITE_HEADER_BYTES + 2 + keyBytes <= end ? Status.ok : Status.malformed;
    }
    default:
      return Status.unsupported;
  }
}

/** As `checkWriteFrame`, for queries, pings and status requests. */
export function checkReadFrame(bytes: Uint8Array, start: number, end: number): Status {
  if (end - start < FRAME_HEADER_BYTES) return Status.malformed;
  const kind = bytes[start + 4];
  const bounded = kind === Kind.query && bytes[start + 5] === ReadLevel.bounded;
  if (!bounded && (bytes[start + 6] !== 0 || bytes[start + 7] !== 0)) return Status.malformed;
  switch (kind) {
    case Kind.query:
      return bytes[start + 5]! <= ReadLevel.local ? Status.ok : Status.unsupported;
    case Kind.ping:
    case Kind.status:
    case Kind.admin:
      return bytes[start + 5] === 0 ? Status.ok : Status.malformed;
    default:
      return Status.unsupported;
  }
}

/**
 * Begins a frame; write its body to `out`, then call `endFrame` with what this returned.
 *
 * @example
 * const start = beginFrame(out, Kind.response, Status.ok, requestId);
 * writeValue(out, 42);
 * endFrame(out, start);
 */
export function beginFrame(out: ByteWriter, kind: Kind, flags: number, requestId: number): number {
  const start = out.position;
  out.ensure(FRAME_HEADER_BYTES);
  setFrameHeader(out.view, start, kind, flags, requestId);
  out.position = start + FRAME_HEADER_BYTES;
  return start;
}

/** Writes the header of the frame at `at`, except for its length: `endFrame` knows that. */
export function setFrameHeader(
  view: DataView,
  at: number,
  kind: Kind,
  flags: number,
  requestId: number,
): void {
  // Behind kind and flags are two bytes that are 0.
  view.setUint32(at + 4, kind | (flags << 8), true);
  view.setUint32(at + 8, requestId, true);
}

/** As `beginFrame`, for a write frame. */
export function beginWrite(
  out: ByteWriter,
  kind: Kind,
  requestId: number,
  session = 0,
  seq = 0,
  window = 0,
): number {
  const start = beginFrame(out, kind, 0, requestId);
  out.u32(window).u64(session).u64(seq);
  return start;
}

/** Completes the frame begun at `start`: everything written since is its body. */
export function endFrame(out: ByteWriter, start: number): void {
  out.patchU32(start, out.position - start - 4);
}
