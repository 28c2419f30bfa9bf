import { randomFillSync, randomUUID } from 'node:crypto';
import path from 'node:path';
import { CordwoodError } from '../../protocol/errors.ts';
import type { Member, NodeId } from '../core/types.ts';
import { lockDirectory } from './directory-lock.ts';
import type { DirectoryLock } from './directory-lock.ts';
import { diskError, diskErrorCode, PATH_FAULTS } from './disk-error.ts';
import type { Disk } from './disk.ts';
import { IDENTITY_FILE, readIdentity, writeIdentity } from './identity.ts';
import type { Identity } from './identity.ts';
import { PEER_FILE, PeerFile } from './peer-file.ts';
import { LogEngine } from './log-engine.ts';
import { defaultLogSizes } from './log-options.ts';
import type { LogSizes } from './log-options.ts';
import { recoverLog } from './log-recovery.ts';
import { NodeDisk } from './node-disk.ts';
import { LOG_DIRECTORY, SNAPSHOT_DIRECTORY, ownerOf } from './open-log-files.ts';
import { makeDirectory } from './make-directory.ts';
import { SEGMENT_HEADER_BYTES, segmentSequence } from './segment-format.ts';
import { SegmentReader } from './segment-reader.ts';
import { VoteFile } from './vote-file.ts';

export interface DataDirectoryOptions {
  /** Made if it is missing, readable by its owner only. */
  readonly path: string;
  readonly clusterId: string;
  readonly nodeId: NodeId;
  /** Members to start with; kept in the identity of a new directory, ignored for one that exists. */
  readonly members: readonly Member[];
  /**
   * Asked, instead of `clusterId` and `members`, for a directory that is new: which cluster the node is going to join.
   * Fails as this fails, and leaves nothing behind.
   */
  readonly join?: () => Promise<Pick<Identity, 'clusterId' | 'members'>>;
  /** What an existing directory says of its cluster counts, not `clusterId`. */
  readonly trustIdentity?: boolean;
  readonly sizes?: Partial<LogSizes>;
}

/**
 * A node's directory, held by this process and known to be this node's.
 *
 * @example
 * const directory = await DataDirectory.open({ path: 'data/1', clusterId: 'wood', nodeId: 1, members });
 * const log = await openLogStore({ directory, events });
 * // …
 * await log.close();
 * await directory.close();
 */
export class DataDirectory {
  /** Absolute. */
  readonly path: string;
  readonly identity: Identity;
  /** Stands in every segment and snapshot. */
  readonly owner: number;
  /** Which data directories the node has met under the other ids. */
  readonly peers: PeerFile;
  /** The directory was made by this call. */
  readonly isNew: boolean;
  readonly #lock: DirectoryLock;

  /**
   * Locks and opens a directory. Fails with `DIRECTORY_LOCKED`, `WRONG_CLUSTER`, `WRONG_NODE`, `LOG_DAMAGED` (the
   * identity is missing or unreadable), `INCOMPATIBLE_VERSION`, `BAD_OPTION` (it cannot be made or written to),
   * `DISK_FULL` or `LOG_FAILED`.
   */
  static async open(options: DataDirectoryOptions): Promise<DataDirectory> {
    const directory = path.resolve(options.path);
    try {
      return await DataDirectory.#open(directory, options);
    } catch (error) {
      throw unusable(error, directory);
    }
  }

  static async #open(directory: string, options: DataDirectoryOptions): Promise<DataDirectory> {
    makeDirectory(directory);
    const lock = await lockDirectory(directory);
    try {
      const disk = new NodeDisk();
      const isNew = !disk.exists(`${directory}/${IDENTITY_FILE}`);
      const identity = isNew
        ? createDirectory(disk, directory, options, await options.join?.())
        : readIdentity(disk, directory);
      check(identity, options, directory);
      return new DataDirectory(directory, identity, new PeerFile(disk, directory), isNew, lock);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  private constructor(
    directory: string,
    identity: Identity,
    peers: PeerFile,
    isNew: boolean,
    lock: DirectoryLock,
  ) {
    this.peers = peers;
    this.path = directory;
    this.identity = identity;
    this.owner = ownerOf(identity.clusterId, identity.nodeId, identity.incarnation);
    this.isNew = isNew;
    this.#lock = lock;
  }

  /** Gives the directory back; the log must be closed before. Idempotent. */
  close(): Promise<void> {
    return this.#lock.release();
  }
}

/**
 * Makes a new node's directory. The identity is written last: a directory that has one had a log, and a log that is
 * missing later is damage, not a new node that might vote a second time. What an interrupted call left is begun again.
 */
export function createDirectory(
  disk: Disk,
  directory: string,
  options: Pick<DataDirectoryOptions, 'clusterId' | 'nodeId' | 'members' | 'sizes'>,
  joined?: Pick<Identity, 'clusterId' | 'members'>,
): Identity {
  refuseForeign(disk, directory);
  const { clusterId, members } = joined ?? options;
  const identity: Identity = {
    clusterId,
    nodeId: options.nodeId,
    incarnation: randomUUID(),
    members,
    createdMs: Date.now(),
    ...(joined === undefined ? {} : { joined: true }),
  };
  disk.mkdir(`${directory}/${SNAPSHOT_DIRECTORY}`);
  LogEngine.format(disk, `${directory}/${LOG_DIRECTORY}`, {
    sizes: { ...defaultLogSizes, ...options.sizes },
    owner: ownerOf(identity.clusterId, identity.nodeId, identity.incarnation),
    random: (bytes) => {
      randomFillSync(bytes);
    },
  });
  VoteFile.create(disk, directory, ownerOf(identity.clusterId, identity.nodeId, identity.incarnation), {
    hardState: { term: 0, vote: 0 },
    lastBlock: 0,
    quarantine: null,
  }).close();
  disk.syncDirectory(directory);
  writeIdentity(disk, directory, identity);
  disk.syncDirectory(path.dirname(directory));
  return identity;
}

/** A log without an identity is either the remains of an interrupted `create`, or a node's that lost its name. */
function refuseForeign(disk: Disk, directory: string): void {
  const logDirectory = `${directory}/${LOG_DIRECTORY}`;
  const snapshotDirectory = `${directory}/${SNAPSHOT_DIRECTORY}`;
  const snapshots = disk.exists(snapshotDirectory) ? disk.readdir(snapshotDirectory).length : 0;
  const segments = disk.exists(logDirectory)
    ? disk.readdir(logDirectory).filter((name) => segmentSequence(name) !== undefined)
    : [];
  const untouched = segments.length === 0 || (segments.length === 1 && isPristine(disk, logDirectory));
  // Nobody is met before there is an identity to introduce oneself by.
  if (snapshots === 0 && untouched && !disk.exists(`${directory}/${PEER_FILE}`)) return;
  throw new CordwoodError('LOG_DAMAGED', `${directory} holds a log, but its file 'identity' is missing`);
}

function isPristine(disk: Disk, logDirectory: string): boolean {
  const owner = ownerOfFirstSegment(disk, logDirectory);
  const recovered = owner === undefined ? null : recoverLog(disk, logDirectory, owner);
  if (recovered?.damage !== null) return false;
  return recovered.image.lastIndex === 0 && recovered.hardState.term === 0;
}

function ownerOfFirstSegment(disk: Disk, logDirectory: string): number | undefined {
  const name = disk.readdir(logDirectory).find((candidate) => segmentSequence(candidate) !== undefined);
  if (name === undefined) return undefined;
  const reader = new SegmentReader(disk, `${logDirectory}/${name}`, SEGMENT_HEADER_BYTES);
  try {
    const header = reader.readHeader();
    return typeof header === 'string' ? undefined : header.owner;
  } finally {
    reader.close();
  }
}

function check(identity: Identity, options: DataDirectoryOptions, directory: string): void {
  const known = options.trustIdentity === true || options.join !== undefined;
  if (!known && identity.clusterId !== options.clusterId) {
    const message = `${directory} belongs to cluster ${identity.clusterId}, not to ${options.clusterId}`;
    throw new CordwoodError('WRONG_CLUSTER', message);
  }
  if (identity.nodeId !== options.nodeId) {
    const message = `${directory} belongs to node ${identity.nodeId}, not to node ${options.nodeId}`;
    throw new CordwoodError('WRONG_NODE', message);
  }
}

function unusable(error: unknown, directory: string): unknown {
  const code = diskErrorCode(error);
  if (CordwoodError.is(error) || code === undefined) return error;
  if (!PATH_FAULTS.includes(code)) return diskError(error);
  const message = `the data directory ${directory} cannot be used: ${(error as Error).message}`;
  return new CordwoodError('BAD_OPTION', message, { cause: error });
}
