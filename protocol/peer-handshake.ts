import { ByteWriter } from './byte-writer.ts';
import { encodePreamble } from './client-codec.ts';
import {
  Lane,
  PEER_HEADER_BYTES,
  PEER_MAGIC,
  PeerKind,
  PREAMBLE_BYTES,
  spokenVersions,
  type VersionRange,
} from './constants.ts';
import { decodeFields } from './msgpack.ts';
import type { Fields } from './msgpack.ts';
import { beginPeerFrame, checkPeerFrame, peerError, peerFrameKind, sealPeerFrame } from './peer-frame.ts';
import { writeValue } from './msgpack.ts';

/** Largest frame of a handshake: nothing larger is kept of a connection that has not said who it is. */
export const MAX_HANDSHAKE_BYTES = 4096;

/** No promise of a vote is longer than this. */
const MAX_LEASE_MS = 3_600_000;
export const MAX_PRIORITY = 1_000_000;

/** What each side of a connection between nodes says of itself. */
export interface PeerIntroduction {
  readonly clusterId: string;
  /** Who speaks. */
  readonly from: number;
  /** Whom it means to speak to. */
  readonly to: number;
  readonly incarnation: string;
  /** `host:port` where clients reach the speaker. */
  readonly clientAddress: string;
  /** Largest frame the speaker takes. */
  readonly maxFrameBytes: number;
  /** Names of what the speaker can beyond its version; unknown ones are ignored. */
  readonly features: readonly string[];
  /** Where peers reach the speaker: one that does not know it (yet) can answer. */
  readonly peerAddress?: string;
  /** Index of the configuration in force at the speaker. */
  readonly configIndex?: number;
  /**
   * The speaker's promise: having acknowledged a heartbeat it votes for nobody else for so long, not even after a
   * restart. 0 or absent: no promise.
   */
  readonly leaseMs?: number;
  /** Among caught-up voters the one with the highest should lead. Absent: 0. */
  readonly priority?: number;
}

/** First frame of a connection, from the side that dialled. */
export interface Hello extends PeerIntroduction {
  readonly lane: Lane;
}

/** The answer of the side that accepted. */
export interface PeerWelcome extends PeerIntroduction {
  readonly version: number;
}

/** The answer instead of a welcome; the connection closes behind it. */
export interface Refusal {
  readonly code: string;
  readonly message: string;
}

/** Preamble and hello, as they are written first on a new connection. */
export function encodeHello(hello: Hello, spoken: VersionRange = spokenVersions): Uint8Array {
  const out = new ByteWriter(512);
  out.bytes(encodePreamble(PEER_MAGIC, spoken.lowest, spoken.highest));
  encodeMap(out, PeerKind.hello, { ...hello });
  return out.take();
}

export function encodePeerWelcome(welcome: PeerWelcome): Uint8Array {
  const out = new ByteWriter(512);
  encodeMap(out, PeerKind.welcome, { ...welcome });
  return out.take();
}

export function encodeRefused(refusal: Refusal): Uint8Array {
  const out = new ByteWriter(256);
  encodeMap(out, PeerKind.refused, { code: refusal.code, message: refusal.message });
  return out.take();
}

/**
 * The hello in the whole frame `bytes[start, end)`, which comes behind the preamble.
 *
 * @throws CordwoodError `PROTOCOL_ERROR`
 */
export function decodeHello(bytes: Uint8Array, start: number, end: number): Hello {
  const fields = decodeMap(bytes, start, end, PeerKind.hello, 'hello');
  return { ...introductionOf(fields), lane: fields.integer('lane', Lane.bulk) as Lane };
}

/** @throws CordwoodError `PROTOCOL_ERROR` */
export function decodePeerWelcome(bytes: Uint8Array, start: number, end: number): PeerWelcome {
  const fields = decodeMap(bytes, start, end, PeerKind.welcome, 'welcome');
  return { ...introductionOf(fields), version: fields.integer('version', 255) };
}

/** @throws CordwoodError `PROTOCOL_ERROR` */
export function decodeRefused(bytes: Uint8Array, start: number, end: number): Refusal {
  const fields = decodeMap(bytes, start, end, PeerKind.refused, 'refused');
  return { code: fields.string('code', 64), message: fields.string('message', 2048) };
}

/** Where the hello begins, counted from the first byte of the connection. */
export const HELLO_OFFSET: number = PREAMBLE_BYTES;

function encodeMap(out: ByteWriter, kind: PeerKind, map: Record<string, unknown>): void {
  const frame = beginPeerFrame(out, kind);
  writeValue(out, map);
  sealPeerFrame(out, frame);
}

function decodeMap(bytes: Uint8Array, start: number, end: number, kind: PeerKind, what: string): Fields {
  if (end - start < PEER_HEADER_BYTES || peerFrameKind(bytes, start) !== kind)
    throw peerError(`no ${what} frame`);
  checkPeerFrame(bytes, start, end, end);
  return decodeFields(bytes, start + PEER_HEADER_BYTES, end, what);
}

function introductionOf(fields: Fields): PeerIntroduction {
  return {
    clusterId: fields.string('clusterId', 128),
    from: fields.integer('from'),
    to: fields.integer('to'),
    incarnation: fields.string('incarnation', 128),
    clientAddress: fields.string('clientAddress', 512),
    maxFrameBytes: fields.integer('maxFrameBytes'),
    features: fields.strings('features'),
    ...(fields.has('peerAddress') ? { peerAddress: fields.string('peerAddress', 512) } : {}),
    ...(fields.has('configIndex') ? { configIndex: fields.integer('configIndex') } : {}),
    ...(fields.has('leaseMs') ? { leaseMs: fields.integer('leaseMs', MAX_LEASE_MS) } : {}),
    ...(fields.has('priority') ? { priority: fields.integer('priority', MAX_PRIORITY) } : {}),
  };
}
