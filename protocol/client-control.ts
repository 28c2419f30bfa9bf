import type { ByteWriter } from './byte-writer.ts';
import { readU16 } from './byte-writer.ts';
import { beginFrame, endFrame, frameFlags } from './client-frame.ts';
import {
  CLIENT_MAGIC,
  FRAME_HEADER_BYTES,
  Kind,
  PREAMBLE_BYTES,
  spokenVersions,
  type VersionRange,
} from './constants.ts';
import { CordwoodError, errorCodeOfStatus } from './errors.ts';
import { decodeFields, decodeValue, writeValue } from './msgpack.ts';

/*
 * What a connection begins, goes on and ends with: preamble, welcome, news of the leader, error.
 */

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
  minVersion: number = spokenVersions.lowest,
  maxVersion: number = spokenVersions.highest,
): Uint8Array {
  const bytes = new Uint8Array(PREAMBLE_BYTES);
  bytes.set(magic);
  bytes[4] = minVersion;
  bytes[5] = maxVersion;
  return bytes;
}

/**
 * The highest version that both the preamble at `at` and this side speak.
 *
 * @throws CordwoodError `PROTOCOL_ERROR` if it is no preamble, `INCOMPATIBLE_VERSION` if there is no such version.
 */
export function negotiateVersion(
  bytes: Uint8Array,
  at: number,
  magic: Uint8Array = CLIENT_MAGIC,
  spoken: VersionRange = spokenVersions,
): number {
  for (let i = 0; i < 4; i++) {
    if (bytes[at + i] !== magic[i])
      throw new CordwoodError('PROTOCOL_ERROR', 'the first bytes are not a Cordwood preamble');
  }
  const min = bytes[at + 4]!;
  const max = bytes[at + 5]!;
  if (min === 0 || min > max || readU16(bytes, at + 6) !== 0) {
    throw new CordwoodError('PROTOCOL_ERROR', 'the preamble is malformed');
  }
  if (min > spoken.highest || max < spoken.lowest) {
    throw new CordwoodError(
      'INCOMPATIBLE_VERSION',
      `this node speaks ${rangeText(spoken.lowest, spoken.highest)}, the other side ${rangeText(min, max)}`,
    );
  }
  return Math.min(max, spoken.highest);
}

function rangeText(lowest: number, highest: number): string {
  return lowest === highest ? `version ${lowest}` : `versions ${lowest} to ${highest}`;
}

function leaderOf(
  fields: { integer(name: string): number; string(name: string): string } | null,
): LeaderHint | null {
  return fields === null ? null : { id: fields.integer('id'), address: fields.string('address') };
}
