import { crc32 } from 'node:zlib';
import { CordwoodError } from '../../protocol/errors.ts';
import type { Member, NodeId } from '../core/types.ts';
import type { Disk } from './disk.ts';
import { readSmallFile, replaceSmallFile } from './disk.ts';

/** Whose directory this is. Written once, when the directory is made. */
export interface Identity {
  readonly clusterId: string;
  readonly nodeId: NodeId;
  /** Random: tells this directory from one that was wiped and made anew under the same node id. */
  readonly incarnation: string;
  /** The members the node was first started with; the log's configuration counts once there is one. */
  readonly members: readonly Member[];
  readonly createdMs: number;
  /** The node joined a running cluster: it belongs to no configuration but those that come with the log. */
  readonly joined?: boolean;
  /** What the directory was made from, for people: a backup, or what was left of another cluster. */
  readonly origin?: string;
}

export const IDENTITY_FILE = 'identity';
export const IDENTITY_VERSION = 1;
const MAX_IDENTITY_BYTES = 1 << 20;

/** Lays out the file: one line of JSON, then the CRC-32 of that line in hex. */
export function encodeIdentity(identity: Identity): Uint8Array {
  const line = JSON.stringify({ format: IDENTITY_VERSION, ...identity });
  return Buffer.from(`${line}\n${crc32(line).toString(16).padStart(8, '0')}\n`);
}

/** Reads what `encodeIdentity` laid out; throws `LOG_DAMAGED` or `INCOMPATIBLE_VERSION`. */
export function decodeIdentity(bytes: Uint8Array, file: string): Identity {
  const [line = '', sum = '', ...rest] = Buffer.from(bytes).toString('utf8').split('\n');
  if (crc32(line).toString(16).padStart(8, '0') !== sum || rest.join('') !== '') {
    throw new CordwoodError('LOG_DAMAGED', `${file} does not verify`);
  }
  const value = JSON.parse(line) as Identity & { readonly format: unknown };
  if (value.format !== IDENTITY_VERSION) {
    throw new CordwoodError(
      'INCOMPATIBLE_VERSION',
      `${file} has format ${String(value.format)}, not known here`,
    );
  }
  const { clusterId, nodeId, incarnation, members, createdMs, joined, origin } = value;
  return {
    clusterId,
    nodeId,
    incarnation,
    members,
    createdMs,
    ...(joined === true ? { joined } : {}),
    ...(typeof origin === 'string' ? { origin } : {}),
  };
}

export function readIdentity(disk: Disk, path: string): Identity {
  const file = `${path}/${IDENTITY_FILE}`;
  return decodeIdentity(readSmallFile(disk, file, MAX_IDENTITY_BYTES), file);
}

/** Makes the identity durable: the last step of making a directory. */
export function writeIdentity(disk: Disk, path: string, identity: Identity): void {
  replaceSmallFile(disk, path, IDENTITY_FILE, encodeIdentity(identity));
}
