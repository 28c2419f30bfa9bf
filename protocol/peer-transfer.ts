import type { SnapshotMeta } from '../lib/core/types.ts';
import type { ByteWriter } from './byte-writer.ts';
import { readU32 } from './byte-writer.ts';
import { encodeConfig } from './config-codec.ts';
import { PEER_HEADER_BYTES, PeerKind, SnapshotStatus } from './constants.ts';
import { decodeFields, writeValue } from './msgpack.ts';
import { configIn } from './peer-codec.ts';
import { beginPeerFrame, checkPeerFrame, peerError, readField, sealPeerFrame } from './peer-frame.ts';

/*
 * Frames between nodes that the core does not see: forwarded requests and snapshots.
 */

/** Where the run of a forward or forwardReply begins, counted from the frame's length field. */
export const FORWARD_HEADER_BYTES: number = PEER_HEADER_BYTES + 8;
/** Where the bytes of a snapshotChunk begin. */
export const CHUNK_HEADER_BYTES: number = PEER_HEADER_BYTES + 32;
const ACK_BYTES = PEER_HEADER_BYTES + 32;

/** A run of write frames for the leader. `token` comes back with the replies. */
export function encodeForward(
  out: ByteWriter,
  token: number,
  run: Uint8Array,
  start = 0,
  end: number = run.length,
): void {
  encodeRun(out, PeerKind.forward, token, false, run, start, end);
}

/** An admin frame of a client for the leader. `token` comes back with the answer. */
export function encodeAdmin(out: ByteWriter, token: number, frame: Uint8Array): void {
  encodeRun(out, PeerKind.admin, token, false, frame, 0, frame.length);
}

/** The answer to an admin frame, for the node that passed it on under `token`. */
export function encodeAdminReply(out: ByteWriter, token: number, frame: Uint8Array): void {
  encodeRun(out, PeerKind.adminReply, token, false, frame, 0, frame.length);
}

/**
 * A run of response frames for the node that forwarded under `token`. Answers can be far larger than what they answer:
 * with `more` set, further frames with the rest of them follow.
 */
export function encodeForwardReply(
  out: ByteWriter,
  token: number,
  run: Uint8Array,
  start = 0,
  end: number = run.length,
  more = false,
): void {
  encodeRun(out, PeerKind.forwardReply, token, more, run, start, end);
}

function encodeRun(
  out: ByteWriter,
  kind: PeerKind,
  token: number,
  more: boolean,
  run: Uint8Array,
  start: number,
  end: number,
): void {
  const frame = beginPeerFrame(out, kind);
  out
    .u32(token)
    .u32(more ? 1 : 0)
    .bytes(run, start, end);
  sealPeerFrame(out, frame);
}

/**
 * Verifies the whole frame of a forward or forwardReply and returns its token. The run lies in
 * `bytes[start + FORWARD_HEADER_BYTES, end)`; its frames are not looked at.
 *
 * @throws CordwoodError `PROTOCOL_ERROR`
 */
export function decodeForward(bytes: Uint8Array, start: number, end: number): number {
  if (end - start < FORWARD_HEADER_BYTES) throw peerError('forward is cut short');
  checkPlain(bytes, start, end);
  const mostMore = bytes[start + 4] === PeerKind.forwardReply ? 1 : 0;
  if (bytes[start + 5] !== 0 || readU32(bytes, start + PEER_HEADER_BYTES + 4) > mostMore) {
    throw peerError('forward: reserved bytes are not zero');
  }
  return readU32(bytes, start + PEER_HEADER_BYTES);
}

/** Whether the forwardReply at `start`, which `decodeForward` has verified, is not the last one of its token. */
export function moreReplies(bytes: Uint8Array, start: number): boolean {
  return readU32(bytes, start + PEER_HEADER_BYTES + 4) === 1;
}

/** What a leader announces before it sends a snapshot. */
export interface SnapshotManifest {
  /** The sender's term: from a lower one than its own, a receiver takes no snapshot. */
  readonly leaderTerm: number;
  readonly meta: SnapshotMeta;
  readonly sizeBytes: number;
  /** SHA-256 of the content, hex. */
  readonly digest: string;
}

export function encodeSnapshotBegin(out: ByteWriter, manifest: SnapshotManifest): void {
  const { meta } = manifest;
  const frame = beginPeerFrame(out, PeerKind.snapshotBegin);
  writeValue(out, {
    leaderTerm: manifest.leaderTerm,
    index: meta.index,
    term: meta.term,
    config: encodeConfig(meta.config),
    configIndex: meta.configIndex,
    sizeBytes: manifest.sizeBytes,
    digest: manifest.digest,
  });
  sealPeerFrame(out, frame);
}

/** @throws CordwoodError `PROTOCOL_ERROR` */
export function decodeSnapshotBegin(bytes: Uint8Array, start: number, end: number): SnapshotManifest {
  if (end - start < PEER_HEADER_BYTES) throw peerError('snapshotBegin is cut short');
  checkPlain(bytes, start, end);
  const fields = decodeFields(bytes, start + PEER_HEADER_BYTES, end, 'snapshotBegin');
  const config = fields.get('config');
  if (!(config instanceof Uint8Array)) throw peerError('snapshotBegin: no configuration');
  const digest = fields.string('digest', 64);
  if (!/^[0-9a-f]{64}$/.test(digest)) throw peerError('snapshotBegin: the digest is malformed');
  const meta: SnapshotMeta = {
    index: fields.integer('index'),
    term: fields.integer('term'),
    config: configIn(config, 0, config.length),
    configIndex: fields.integer('configIndex'),
  };
  if (meta.index === 0 || meta.configIndex > meta.index) throw peerError('snapshotBegin: indexes are wrong');
  return { leaderTerm: fields.integer('leaderTerm'), meta, sizeBytes: fields.integer('sizeBytes'), digest };
}

/** Fields of a snapshotChunk; the content lies in `bytes[start + CHUNK_HEADER_BYTES, end)` of its frame. */
export interface SnapshotChunk {
  readonly leaderTerm: number;
  /** Index and term of the snapshot. */
  readonly index: number;
  readonly term: number;
  /** Place of the chunk in the snapshot's content. */
  readonly offset: number;
}

export function encodeSnapshotChunk(out: ByteWriter, chunk: SnapshotChunk, content: Uint8Array): void {
  const frame = beginPeerFrame(out, PeerKind.snapshotChunk);
  out.u64(chunk.leaderTerm).u64(chunk.index).u64(chunk.term).u64(chunk.offset).bytes(content);
  sealPeerFrame(out, frame);
}

/** @throws CordwoodError `PROTOCOL_ERROR` */
export function decodeSnapshotChunk(bytes: Uint8Array, start: number, end: number): SnapshotChunk {
  if (end - start < CHUNK_HEADER_BYTES) throw peerError('snapshotChunk is cut short');
  checkPlain(bytes, start, end);
  if (bytes[start + 5] !== 0) throw peerError('unknown flags');
  return {
    leaderTerm: readField(bytes, start + 16),
    index: readField(bytes, start + 24),
    term: readField(bytes, start + 32),
    offset: readField(bytes, start + 40),
  };
}

export interface SnapshotAck {
  /** The receiver's term. */
  readonly currentTerm: number;
  readonly index: number;
  readonly term: number;
  /** Content up to here has arrived whole. */
  readonly nextOffset: number;
  readonly status: SnapshotStatus;
}

export function encodeSnapshotAck(out: ByteWriter, ack: SnapshotAck): void {
  const frame = beginPeerFrame(out, PeerKind.snapshotAck, ack.status);
  out.u64(ack.currentTerm).u64(ack.index).u64(ack.term).u64(ack.nextOffset);
  sealPeerFrame(out, frame);
}

/** @throws CordwoodError `PROTOCOL_ERROR` */
export function decodeSnapshotAck(bytes: Uint8Array, start: number, end: number): SnapshotAck {
  if (end - start !== ACK_BYTES) throw peerError('snapshotAck has a wrong length');
  checkPlain(bytes, start, end);
  const status = bytes[start + 5]!;
  if (status > SnapshotStatus.busy) throw peerError('snapshotAck: unknown status');
  return {
    currentTerm: readField(bytes, start + 16),
    index: readField(bytes, start + 24),
    term: readField(bytes, start + 32),
    nextOffset: readField(bytes, start + 40),
    status: status as SnapshotStatus,
  };
}

/** Header, checksum over all of the frame, no `extra`. */
function checkPlain(bytes: Uint8Array, start: number, end: number): void {
  checkPeerFrame(bytes, start, end, end);
  if (readU32(bytes, start + 12) !== 0) throw peerError('reserved bytes are not zero');
}
