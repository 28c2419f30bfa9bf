import type { ByteWriter } from './byte-writer.ts';
import { readU32, readU64, writeU32 } from './byte-writer.ts';
import { PEER_HEADER_BYTES, type PeerKind } from './constants.ts';
import { crcOf } from './crc.ts';
import { CordwoodError } from './errors.ts';

/** Begins a frame to a peer; `sealPeerFrame` completes it. Returns its start. */
export function beginPeerFrame(out: ByteWriter, kind: PeerKind, flags = 0, extra = 0): number {
  const start = out.position;
  out.ensure(PEER_HEADER_BYTES);
  const b = out.buffer;
  b[start + 4] = kind;
  b[start + 5] = flags;
  b[start + 6] = 0;
  b[start + 7] = 0;
  writeU32(b, start + 12, extra);
  out.position = start + PEER_HEADER_BYTES;
  return start;
}

/**
 * Fills in length and checksum of the frame begun at `start`. `attachedBytes` more follow that are not written to
 * `out` and not covered by the checksum.
 */
export function sealPeerFrame(out: ByteWriter, start: number, attachedBytes = 0): void {
  writeU32(out.buffer, start, out.position - start - 4 + attachedBytes);
  writeU32(out.buffer, start + 8, peerFrameCrc(out.buffer, start, out.position));
}

/**
 * Checks header and checksum of the frame `bytes[start, end)`, of which the checksum covers up to `coveredEnd`.
 *
 * @throws CordwoodError `PROTOCOL_ERROR`
 */
export function checkPeerFrame(bytes: Uint8Array, start: number, end: number, coveredEnd: number): void {
  if (coveredEnd > end || coveredEnd - start < PEER_HEADER_BYTES) throw peerError('frame is cut short');
  if (readU32(bytes, start) !== end - start - 4) throw peerError('frame length does not match');
  if (readU32(bytes, start + 8) !== peerFrameCrc(bytes, start, coveredEnd))
    throw peerError('frame checksum does not match');
  if (bytes[start + 6] !== 0 || bytes[start + 7] !== 0) throw peerError('reserved bytes are not zero');
}

export function peerFrameKind(bytes: Uint8Array, start: number): number {
  return bytes[start + 4]!;
}

export function peerError(message: string): CordwoodError {
  return new CordwoodError('PROTOCOL_ERROR', `peer: ${message}`);
}

/** A u64 field, refused above 2^53 − 1. */
export function readField(bytes: Uint8Array, at: number): number {
  const value = readU64(bytes, at);
  if (value > Number.MAX_SAFE_INTEGER) throw peerError('a number is above 2^53 − 1');
  return value;
}

const float = new Float64Array(1);
const floatBytes = new Uint8Array(float.buffer);
const bigEndianHost = new Uint8Array(Uint16Array.of(1).buffer)[0] === 0;

/** Milliseconds with fractions, as a little-endian IEEE double. */
export function writeFloat(out: ByteWriter, value: number): void {
  float[0] = value;
  out.ensure(8);
  for (let i = 0; i < 8; i++) out.buffer[out.position++] = floatBytes[bigEndianHost ? 7 - i : i]!;
}

export function readFloat(bytes: Uint8Array, at: number): number {
  for (let i = 0; i < 8; i++) floatBytes[bigEndianHost ? 7 - i : i] = bytes[at + i]!;
  const value = float[0]!;
  if (!Number.isFinite(value)) throw peerError('a time is not a number');
  return value;
}

function peerFrameCrc(bytes: Uint8Array, start: number, coveredEnd: number): number {
  return crcOf(bytes, start + 12, coveredEnd, crcOf(bytes, start, start + 8));
}
