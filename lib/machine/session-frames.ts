/** Write frames beside the commands of a session: those that open and keep one, and commands with a key. */
import { createHash } from 'node:crypto';
import { type ByteWriter, readU16, readU32, readU64 } from '../../protocol/byte-writer.ts';
import { Kind, Limits, Status, WRITE_HEADER_BYTES } from '../../protocol/constants.ts';
import type { KeyedAnswers } from './keyed-answers.ts';
import { writeNil, writeUint } from './msgpack.ts';
import { readOpenRequest } from './open-request.ts';
import { malformed } from './response-frame.ts';
import type { SessionLimits } from './session-limits.ts';
import type { SessionTable } from './session-table.ts';
import { roundTtl, type Session } from './session.ts';

/** What these frames work on. */
export interface SessionState {
  readonly sessions: SessionTable;
  readonly keyed: KeyedAnswers;
  readonly limits: SessionLimits;
  /** The cluster's clock. */
  readonly timeMs: number;
  /** Has the machine run the command in `[start, end)` and returns its status. */
  readonly run: (start: number, end: number) => number;
}

/** A frame that is neither a session's command nor keeps one. Returns the status. */
export function otherFrame(
  state: SessionState,
  kind: number,
  bytes: Uint8Array,
  at: number,
  end: number,
  out: ByteWriter,
): number {
  const id = readU64(bytes, at + 16);
  const start = at + WRITE_HEADER_BYTES;
  if (kind === Kind.closeSession) return closeSession(state, id, out);
  if (kind === Kind.keepAlive) return malformed(out, 'keepAlive needs a session');
  if (id !== 0) return malformed(out, 'this kind of frame has session 0');
  if (kind === Kind.openSession) return openSession(state, bytes, start, end, out);
  if (kind === Kind.keyedCommand) return keyedCommand(state, bytes, start, end, out);
  return malformed(out, 'unknown kind of frame');
}

function closeSession({ sessions }: SessionState, id: number, out: ByteWriter): number {
  const session = sessions.get(id);
  writeNil(out);
  if (session === undefined) return Status.sessionExpired;
  sessions.remove(session);
  return Status.ok;
}

/** Opens a session, or finds the one that was opened with the same nonce. Answers with its number. */
function openSession(
  { sessions, limits, timeMs }: SessionState,
  bytes: Uint8Array,
  start: number,
  end: number,
  out: ByteWriter,
): number {
  const request = readOpenRequest(bytes, start, end);
  if (request === undefined) return malformed(out, 'openSession takes a map of ttlMs and nonce');
  let session = request.nonce === '' ? undefined : sessions.byNonce(request.nonce);
  if (session !== undefined) sessions.use(session, timeMs);
  else {
    if (sessions.count >= limits.maxSessions) sessions.evictOldest();
    session = sessions.open(roundTtl(request.ttlMs ?? limits.defaultTtlMs), request.nonce, timeMs);
  }
  writeUint(out, session.id);
  return Status.ok;
}

/** Besides keeping the session, says which answers the client has: all below seq − window. */
export function keepAlive(session: Session, bytes: Uint8Array, at: number, out: ByteWriter): number {
  const seq = readU64(bytes, at + 24);
  if (seq > Number.MAX_SAFE_INTEGER - 1) return malformed(out, 'seq is too large');
  session.acknowledge(seq - readU32(bytes, at + 12));
  session.trim();
  writeNil(out);
  return Status.ok;
}

/** Runs a command once for all frames that carry its key. */
function keyedCommand(
  { keyed, limits, timeMs, run }: SessionState,
  bytes: Uint8Array,
  start: number,
  end: number,
  out: ByteWriter,
): number {
  const keyBytes = end - start < 2 ? 0 : readU16(bytes, start);
  const body = start + 2 + keyBytes;
  if (keyBytes === 0 || keyBytes > Limits.maxIdempotencyKeyBytes || body > end) {
    return malformed(out, 'an idempotency key has 1 to 255 bytes');
  }
  const key = Buffer.from(bytes.subarray(start + 2, body)).toString('latin1');
  const digest = createHash('sha256').update(bytes.subarray(body, end)).digest('binary');
  const known = keyed.get(key);
  if (known !== undefined) {
    if (known.digest !== digest) {
      writeNil(out);
      return Status.keyReused;
    }
    out.bytes(known.body);
    return known.status;
  }
  const bodyStart = out.position;
  const status = run(body, end);
  const answer = Buffer.from(out.buffer.subarray(bodyStart, out.position));
  keyed.makeRoom(key.length + answer.length, limits.maxKeys, limits.maxKeyBytes);
  keyed.add(key, digest, status, answer, timeMs);
  return status;
}
