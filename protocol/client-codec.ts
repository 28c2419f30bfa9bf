import type { ByteWriter } from './byte-writer.ts';
import { readU16, readU32, readU64 } from './byte-writer.ts';
import {
  CLIENT_MAGIC,
  FRAME_HEADER_BYTES,
  Kind,
  Limits,
  PREAMBLE_BYTES,
  PROTOCOL_VERSION,
  ReadLevel,
  Status,
  WRITE_HEADER_BYTES,
} from './constants.ts';
import { CordwoodError, errorCodeOfStatus } from './errors.ts';
import { decodeFields, decodeValue, writeValue } from './msgpack.ts';

/*
 * Frames between clients and nodes. The hot ones (writes, queries, responses) are read field by field at their
 * offsets, without an object for each; constants.ts draws them, PROTOCOL.md explains them.
 */

const DEFAULT_STALENESS_MS = 1000;

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
  const b = out.buffer;
  b[start + 4] = kind;
  b[start + 5] = flags;
  b[start + 6] = 0;
  b[start + 7] = 0;
  out.position = start + 8;
  out.u32(requestId);
  return start;
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

/** A command with the body `body[start, end)`. `window` = `seq` − lowest sequence number still unanswered. */
export function encodeCommand(
  out: ByteWriter,
  requestId: number,
  session: number,
  seq: number,
  window: number,
  body: Uint8Array,
  start = 0,
  end: number = body.length,
): void {
  const frame = beginWrite(out, Kind.command, requestId, session, seq, window);
  out.bytes(body, start, end);
  endFrame(out, frame);
}

/** A command that runs once for all times its key is used (within the keys' lifetime). */
export function encodeKeyedCommand(
  out: ByteWriter,
  requestId: number,
  key: Uint8Array,
  body: Uint8Array,
): void {
  if (key.length === 0 || key.length > Limits.maxIdempotencyKeyBytes) {
    throw new RangeError(
      `idempotency key of ${key.length} bytes; 1 to ${Limits.maxIdempotencyKeyBytes} are allowed`,
    );
  }
  const frame = beginWrite(out, Kind.keyedCommand, requestId);
  out.u16(key.length).bytes(key).bytes(body);
  endFrame(out, frame);
}

export interface OpenSessionOptions {
  /** The session ends when it has not been used for so long. Rounded up to one of a few lifetimes; default 1 h. */
  readonly ttlMs?: number;
  /** Random; the same nonce sent again within the session's life gives the same session. At most 64 bytes encoded. */
  readonly nonce?: number | string | Uint8Array;
}

export function encodeOpenSession(
  out: ByteWriter,
  requestId: number,
  options: OpenSessionOptions = {},
): void {
  const frame = beginWrite(out, Kind.openSession, requestId);
  writeValue(out, options);
  endFrame(out, frame);
}

export function encodeCloseSession(out: ByteWriter, requestId: number, session: number): void {
  endFrame(out, beginWrite(out, Kind.closeSession, requestId, session));
}

/**
 * Keeps a session alive. With `seq` = the next number the client will use and `window` = `seq` − its lowest
 * unanswered one, the cluster may also forget the answers the client has.
 */
export function encodeKeepAlive(
  out: ByteWriter,
  requestId: number,
  session: number,
  seq = 0,
  window = 0,
): void {
  endFrame(out, beginWrite(out, Kind.keepAlive, requestId, session, seq, window));
}

export function encodeQuery(out: ByteWriter, requestId: number, level: ReadLevel, body: Uint8Array): void {
  const frame = beginFrame(out, Kind.query, level, requestId);
  out.bytes(body);
  endFrame(out, frame);
}

/** As `encodeQuery` at level `bounded`. `maxStalenessMs`: 1 to 65,535; 0 stands for 1000. */
export function encodeBoundedQuery(
  out: ByteWriter,
  requestId: number,
  maxStalenessMs: number,
  body: Uint8Array,
): void {
  const frame = beginFrame(out, Kind.query, ReadLevel.bounded, requestId);
  writeStaleness(out, frame, maxStalenessMs);
  out.bytes(body);
  endFrame(out, frame);
}

/** Puts the bound into the header of the query begun at `frame`. */
export function writeStaleness(out: ByteWriter, frame: number, maxStalenessMs: number): void {
  if (!Number.isInteger(maxStalenessMs) || maxStalenessMs < 0 || maxStalenessMs > 0xffff)
    throw new RangeError(`maxStalenessMs must be a whole number from 0 to 65535, not ${maxStalenessMs}`);
  out.buffer[frame + 6] = maxStalenessMs;
  out.buffer[frame + 7] = maxStalenessMs >>> 8;
}

/** How old the answer to the bounded query at `at` may be, in milliseconds. */
export function queryStalenessMs(bytes: Uint8Array, at: number): number {
  const given = readU16(bytes, at + 6);
  return given === 0 ? DEFAULT_STALENESS_MS : given;
}

export function encodePing(out: ByteWriter, requestId: number): void {
  endFrame(out, beginFrame(out, Kind.ping, 0, requestId));
}

/** A request about the cluster itself: a map with `op`, see PROTOCOL.md. */
export function encodeAdminRequest(out: ByteWriter, requestId: number, request: object): void {
  const frame = beginFrame(out, Kind.admin, 0, requestId);
  writeValue(out, request);
  endFrame(out, frame);
}

export function encodeStatusRequest(out: ByteWriter, requestId: number): void {
  endFrame(out, beginFrame(out, Kind.status, 0, requestId));
}

/** A whole response; a body already encoded, empty for nil. */
export function encodeResponse(out: ByteWriter, requestId: number, status: Status, body?: Uint8Array): void {
  const frame = beginFrame(out, Kind.response, status, requestId);
  if (body !== undefined) out.bytes(body);
  endFrame(out, frame);
}

/** A response with one of the error statuses. */
export function encodeErrorResponse(
  out: ByteWriter,
  requestId: number,
  status: Status,
  code: string,
  message: string,
): void {
  const frame = beginFrame(out, Kind.response, status, requestId);
  writeValue(out, { code, message });
  endFrame(out, frame);
}

/** Where the leader is. `address` is empty when it is not known yet. */
export interface LeaderHint {
  readonly id: number;
  readonly address: string;
}

export interface Welcome {
  /** The version both sides use from now on. */
  readonly version: number;
  readonly clusterId: string;
  readonly nodeId: number;
  readonly leader: LeaderHint | null;
  /** Largest frame the node takes, length field included. */
  readonly maxFrameBytes: number;
  /** Largest `window` it takes. */
  readonly maxWindow: number;
}

export function encodeWelcome(out: ByteWriter, welcome: Welcome): void {
  const frame = beginFrame(out, Kind.welcome, 0, 0);
  writeValue(out, welcome);
  endFrame(out, frame);
}

/** @throws CordwoodError `PROTOCOL_ERROR` */
export function decodeWelcome(bytes: Uint8Array, start: number, end: number): Welcome {
  const fields = decodeFields(bytes, start + FRAME_HEADER_BYTES, end, 'welcome');
  return {
    version: fields.integer('version', 255),
    clusterId: fields.string('clusterId'),
    nodeId: fields.integer('nodeId'),
    leader: leaderOf(fields.fields('leader')),
    maxFrameBytes: fields.integer('maxFrameBytes'),
    maxWindow: fields.integer('maxWindow'),
  };
}

export function encodeLeader(out: ByteWriter, leader: LeaderHint | null): void {
  const frame = beginFrame(out, Kind.leader, 0, 0);
  writeValue(out, { leader });
  endFrame(out, frame);
}

/** @throws CordwoodError `PROTOCOL_ERROR` */
export function decodeLeader(bytes: Uint8Array, start: number, end: number): LeaderHint | null {
  return leaderOf(decodeFields(bytes, start + FRAME_HEADER_BYTES, end, 'leader').fields('leader'));
}

/** Body of error frames and of responses with an error status. */
export interface ErrorBody {
  readonly code: string;
  readonly message: string;
}

/** The last frame before a node closes a connection. */
export function encodeError(out: ByteWriter, code: string, message: string): void {
  const frame = beginFrame(out, Kind.error, 0, 0);
  writeValue(out, { code, message });
  endFrame(out, frame);
}

/**
 * Code and message of an error frame, or of a response whose status is an error: a map {code, message}, only a
 * text, or nothing. Never throws.
 */
export function decodeErrorBody(bytes: Uint8Array, start: number, end: number): ErrorBody {
  const isResponse = bytes[start + 4] === Kind.response;
  const code = (isResponse ? errorCodeOfStatus(frameFlags(bytes, start)) : undefined) ?? 'PROTOCOL_ERROR';
  const at = start + FRAME_HEADER_BYTES;
  if (end <= at || (end === at + 1 && bytes[at] === 0xc0)) return { code, message: '' };
  try {
    const value = decodeValue(bytes, at, end);
    if (typeof value === 'string') return { code, message: value };
    const fields = decodeFields(bytes, at, end, 'error');
    return { code: fields.string('code', 64), message: fields.string('message', 4096) };
  } catch {
    return { code, message: 'an error was reported in a form that cannot be read' };
  }
}

/** The eight bytes a client sends first. */
export function encodePreamble(
  magic: Uint8Array = CLIENT_MAGIC,
  minVersion: number = PROTOCOL_VERSION,
  maxVersion: number = PROTOCOL_VERSION,
): Uint8Array {
  const bytes = new Uint8Array(PREAMBLE_BYTES);
  bytes.set(magic);
  bytes[4] = minVersion;
  bytes[5] = maxVersion;
  return bytes;
}

/**
 * The highest version that both the preamble at `at` and this package speak.
 *
 * @throws CordwoodError `PROTOCOL_ERROR` if it is no preamble, `INCOMPATIBLE_VERSION` if there is no such version.
 */
export function negotiateVersion(bytes: Uint8Array, at: number, magic: Uint8Array = CLIENT_MAGIC): number {
  for (let i = 0; i < 4; i++) {
    if (bytes[at + i] !== magic[i])
      throw new CordwoodError('PROTOCOL_ERROR', 'the first bytes are not a Cordwood preamble');
  }
  const min = bytes[at + 4]!;
  const max = bytes[at + 5]!;
  if (min === 0 || min > max || readU16(bytes, at + 6) !== 0) {
    throw new CordwoodError('PROTOCOL_ERROR', 'the preamble is malformed');
  }
  if (min > PROTOCOL_VERSION || max < PROTOCOL_VERSION) {
    throw new CordwoodError(
      'INCOMPATIBLE_VERSION',
      `this node speaks version ${PROTOCOL_VERSION}, the other side ${min} to ${max}`,
    );
  }
  return PROTOCOL_VERSION;
}

function leaderOf(
  fields: { integer(name: string): number; string(name: string): string } | null,
): LeaderHint | null {
  return fields === null ? null : { id: fields.integer('id'), address: fields.string('address') };
}
