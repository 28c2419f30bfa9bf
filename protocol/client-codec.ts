import type { ByteWriter } from './byte-writer.ts';
import { readU16 } from './byte-writer.ts';
import { beginFrame, beginWrite, endFrame } from './client-frame.ts';
import { Kind, Limits, ReadLevel, type Status } from './constants.ts';
import { writeValue } from './msgpack.ts';

export * from './client-control.ts';
export * from './client-frame.ts';

/*
 * Requests of clients and their answers. The fields of a frame are in client-frame.ts, what concerns the connection as a
 * whole in client-control.ts.
 */

const DEFAULT_STALENESS_MS = 1000;

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
