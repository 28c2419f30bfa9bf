import { decode, encode } from '@msgpack/msgpack';
import { crc32 } from 'node:zlib';
import { copyOf, readU32, readU64, writeU32, writeU64 } from '../../protocol/byte-writer.ts';
import { decodeConfig, encodeConfig } from '../../protocol/config-codec.ts';
import type { SnapshotMeta } from '../core/types.ts';

/**
 * A snapshot file:
 * ```
 * header     0       4         6          8               12    16     20         24
 *            | magic | version | reserved | manifestBytes | crc | owner| chunkBytes | manifest … |
 * chunk      0        4     8
 *            | length | crc | content … |              every chunk but the last holds `chunkBytes`
 * footer     0       4     8            16            24       56         64
 *            | magic | crc | totalBytes | chunkCount  | sha256 | reserved |
 * ```
 * The header's crc covers all of the header but itself, and the manifest; a chunk's covers its content and starts
 * from the chunk's number, so that chunks cannot change places. The footer's SHA-256 is that of all chunk headers: it
 * names the content, and hashing the content itself would be half of what a snapshot costs. The manifest is a msgpack array
 * `[index, term, configIndex, config]`, `config` as `encodeConfig` lays it out.
 *
 * A backup is the same file with a fifth element in the manifest, a map as `SnapshotOrigin` has it. Its owner is 0:
 * it belongs to no directory.
 */
export const SNAPSHOT_HEADER_BYTES = 24;
export const SNAPSHOT_FOOTER_BYTES = 64;
export const CHUNK_HEADER_BYTES = 8;
/** Content of one chunk: large enough for the disk, small enough to be read and sent as one piece. */
export const CHUNK_BYTES: number = 256 << 10;
const MAX_MANIFEST_BYTES = 1 << 20;
const VERSION = 1;
const HEADER_MAGIC = 0x53535743; // "CWSS"
const FOOTER_MAGIC = 0x45535743; // "CWSE"

/** Where a backup comes from. */
export interface SnapshotOrigin {
  readonly clusterId: string;
  /** The node that made it. */
  readonly nodeId: number;
  /** By that node's clock, milliseconds since 1970. */
  readonly createdMs: number;
  /** What the cluster ran, and which format its state has. */
  readonly machine: string;
  readonly machineVersion: number;
}

export interface SnapshotHeader {
  readonly meta: SnapshotMeta;
  readonly origin: SnapshotOrigin | undefined;
  readonly owner: number;
  readonly chunkBytes: number;
  /** Where the first chunk starts. */
  readonly contentOffset: number;
}

export interface SnapshotFooter {
  readonly totalBytes: number;
  readonly chunkCount: number;
  readonly sha256: Uint8Array;
}

export function encodeSnapshotHeader(meta: SnapshotMeta, owner: number, origin?: SnapshotOrigin): Uint8Array {
  const parts = [meta.index, meta.term, meta.configIndex, encodeConfig(meta.config)];
  const manifest = encode(origin === undefined ? parts : [...parts, origin]);
  const b = new Uint8Array(SNAPSHOT_HEADER_BYTES + manifest.length);
  writeU32(b, 0, HEADER_MAGIC);
  b[4] = VERSION;
  writeU32(b, 8, manifest.length);
  writeU32(b, 16, owner);
  writeU32(b, 20, CHUNK_BYTES);
  b.set(manifest, SNAPSHOT_HEADER_BYTES);
  writeU32(b, 12, headerCrc(b));
  return b;
}

/** How many bytes the header at the start of `b` takes, manifest included; 0 if it is none. */
export function snapshotHeaderBytes(b: Uint8Array): number {
  if (b.length < SNAPSHOT_HEADER_BYTES || readU32(b, 0) !== HEADER_MAGIC) return 0;
  const manifest = readU32(b, 8);
  return manifest > MAX_MANIFEST_BYTES ? 0 : SNAPSHOT_HEADER_BYTES + manifest;
}

/** The header in all of `b`, or why it is none. */
export function decodeSnapshotHeader(b: Uint8Array): SnapshotHeader | string {
  if (snapshotHeaderBytes(b) !== b.length) return 'not a snapshot';
  if (headerCrc(b) !== readU32(b, 12)) return 'checksum of the snapshot header';
  if (b[4] !== VERSION || b[5] !== 0) return `snapshot format ${b[4]! | (b[5]! << 8)} is not known here`;
  const manifest = decodeManifest(b.subarray(SNAPSHOT_HEADER_BYTES));
  if (typeof manifest === 'string') return manifest;
  const chunkBytes = readU32(b, 20);
  if (chunkBytes === 0) return 'chunks of no size';
  return { ...manifest, owner: readU32(b, 16), chunkBytes, contentOffset: b.length };
}

function headerCrc(b: Uint8Array): number {
  return crc32(b.subarray(16), crc32(b.subarray(0, 12)));
}

function decodeManifest(bytes: Uint8Array): Pick<SnapshotHeader, 'meta' | 'origin'> | string {
  const bad = 'manifest of the snapshot';
  try {
    const value: unknown = decode(bytes);
    if (!Array.isArray(value) || value.length < 4 || value.length > 5) return bad;
    const [index, term, configIndex, config, origin] = value as unknown[];
    if (!isCount(index) || !isCount(term) || !isCount(configIndex) || !(config instanceof Uint8Array))
      return bad;
    if (value.length === 5 && !isOrigin(origin)) return bad;
    return {
      meta: { index, term, configIndex, config: decodeConfig(config) },
      origin: value.length === 5 ? (origin as SnapshotOrigin) : undefined,
    };
  } catch {
    return bad;
  }
}

function isOrigin(value: unknown): value is SnapshotOrigin {
  if (typeof value !== 'object' || value === null) return false;
  const { clusterId, nodeId, createdMs, machine, machineVersion } = value as Record<string, unknown>;
  const numbers = isCount(nodeId) && isCount(createdMs) && isCount(machineVersion);
  return numbers && typeof clusterId === 'string' && typeof machine === 'string';
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

export function chunkCrc(number: number, content: Uint8Array): number {
  return crc32(content, number);
}

export function encodeSnapshotFooter(footer: SnapshotFooter): Uint8Array {
  const b = new Uint8Array(SNAPSHOT_FOOTER_BYTES);
  writeU32(b, 0, FOOTER_MAGIC);
  writeU64(b, 8, footer.totalBytes);
  writeU64(b, 16, footer.chunkCount);
  b.set(footer.sha256, 24);
  writeU32(b, 4, crc32(b.subarray(8)));
  return b;
}

export function decodeSnapshotFooter(b: Uint8Array): SnapshotFooter | null {
  if (b.length !== SNAPSHOT_FOOTER_BYTES || readU32(b, 0) !== FOOTER_MAGIC) return null;
  if (crc32(b.subarray(8)) !== readU32(b, 4)) return null;
  const footer: SnapshotFooter = {
    totalBytes: readU64(b, 8),
    chunkCount: readU64(b, 16),
    sha256: copyOf(b, 24, 56),
  };
  if (footer.totalBytes > Number.MAX_SAFE_INTEGER || footer.chunkCount > Number.MAX_SAFE_INTEGER) return null;
  return footer;
}

const NAME = /^(\d{16})-(\d{16})\.snap$/;

/** `<index>-<term>.snap`: the newest sorts last. */
export function snapshotName(index: number, term: number): string {
  return `${String(index).padStart(16, '0')}-${String(term).padStart(16, '0')}.snap`;
}

export function parseSnapshotName(name: string): { index: number; term: number } | undefined {
  const match = NAME.exec(name);
  return match === null ? undefined : { index: Number(match[1]), term: Number(match[2]) };
}
