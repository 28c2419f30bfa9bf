import { CordwoodError } from '../../protocol/errors.ts';
import type { Config, HardState, Index, NodeId, SnapshotMeta, Term } from '../core/types.ts';
import type { Disk } from './disk.ts';
import { IDENTITY_FILE, readIdentity } from './identity.ts';
import type { Identity } from './identity.ts';
import { firstHeader, inspectSegments } from './inspect-segments.ts';
import type { RecordReport, SegmentReport } from './inspect-segments.ts';
import { doubtIn, isWhole, judgeLength, judgeSnapshots } from './judge-files.ts';
import { missingLog, recoverLog } from './log-recovery.ts';
import type { LogDamage, StoredSnapshot } from './log-store.ts';
import { recoverBehind } from './recover-behind.ts';
import { LOG_DIRECTORY, SNAPSHOT_DIRECTORY, ownerOf } from './open-log-files.ts';
import { PeerFile } from './peer-file.ts';
import { inspectSnapshots } from './snapshot-files.ts';
import { VOTE_FILE, VoteFile } from './vote-file.ts';

/** Everything that can be told of a data directory without changing it. Offsets and sizes in bytes. */
export interface DirectoryReport {
  readonly path: string;
  /** Null: it is missing or does not verify, see `problems`. */
  readonly identity: Identity | null;
  readonly hardState: HardState;
  /** Null: the file is missing, or neither of its copies verifies. */
  readonly votes: {
    readonly lastBlock: number;
    readonly quarantine: string | null;
  } | null;
  readonly log: {
    /** The log holds `prevIndex + 1 … lastIndex`, as far as it is whole. */
    readonly prevIndex: Index;
    readonly lastIndex: Index;
    readonly lastTerm: Term;
    /** The leader's clock in the last entries, milliseconds since 1970; 0: there are none. */
    readonly lastTimeMs: number;
    /** The last thing written was the mark of an orderly stop. */
    readonly clean: boolean;
    readonly segments: readonly SegmentReport[];
  };
  /** Newest first. */
  readonly snapshots: readonly SnapshotReport[];
  /** The newest configuration found, and the entry it came from. Null: that of the identity is in force. */
  readonly config: { readonly index: Index; readonly config: Config } | null;
  /** Which data directories the node has met under the other ids. */
  readonly peers: readonly (readonly [id: NodeId, incarnation: string])[];
  /** What does not verify, or lacks something it once had. Empty: the directory is whole. */
  readonly problems: readonly LogDamage[];
}

export interface SnapshotReport {
  readonly file: string;
  readonly fileBytes: number;
  /** Null: it cannot be read. */
  readonly snapshot: StoredSnapshot | null;
  readonly problem: string | null;
}

/**
 * Reads the data directory of a node that does not run, verifies every checksum in it, and judges it as a start would.
 * Changes nothing. `visit` sees every record of the log.
 *
 * @throws CordwoodError `BAD_OPTION` if `path` is no data directory
 */
export function inspectDirectory(
  disk: Disk,
  path: string,
  visit?: (record: RecordReport) => void,
): DirectoryReport {
  const problems: LogDamage[] = [];
  const logDirectory = `${path}/${LOG_DIRECTORY}`;
  if (!disk.exists(`${path}/${IDENTITY_FILE}`) && !disk.exists(logDirectory)) {
    throw new CordwoodError('BAD_OPTION', `${path} is no data directory: there is neither identity nor log`);
  }
  const identity = attempt(problems, `${path}/${IDENTITY_FILE}`, () => readIdentity(disk, path));
  const hasLog = disk.exists(logDirectory);
  // Whose the files say they are, where nobody else says it: their checksums can be judged all the same.
  const owner =
    identity === null
      ? ((hasLog ? firstHeader(disk, logDirectory)?.owner : undefined) ?? 0)
      : ownerOf(identity.clusterId, identity.nodeId, identity.incarnation);

  const snapshots = inspectSnapshots(disk, `${path}/${SNAPSHOT_DIRECTORY}`, owner);
  const latest = snapshots.find(({ snapshot }) => snapshot !== null)?.snapshot ?? null;
  const unreadable = snapshots.flatMap(({ file, problem, index }) =>
    problem === null ? [] : [{ path: file, reason: problem, index }],
  );
  const votes = attempt(problems, `${path}/${VOTE_FILE}`, () => VoteFile.open(disk, path, owner)) ?? '';

  const found = (hasLog ? recoverLog(disk, logDirectory, owner) : null) ?? missingLog(logDirectory);
  const rest = recoverBehind(disk, logDirectory, owner, latest?.meta ?? null, found);
  const recovered = rest !== null && isWhole(rest, { latest, unreadable }, votes) ? rest : found;
  const { image, hardState, nextBlock, covered } = recovered;
  const end = { image, hardState, lastBlock: nextBlock - 1 };
  const log = recovered.damage ?? judgeSnapshots(end, { latest, unreadable }) ?? judgeLength(end, votes);
  if (log !== null) problems.push(log);
  if (covered !== null)
    problems.push({
      ...covered,
      reason: `${covered.reason} (a snapshot covers it: a start removes the file)`,
    });
  for (const { path: file, reason } of unreadable) {
    if (log?.file !== file) problems.push({ file, offset: 0, reason });
  }
  const doubt = votes === '' ? null : (doubtIn(votes, `${path}/${VOTE_FILE}`) ?? rottenCopy(disk, votes));
  if (doubt !== null) problems.push(doubt);
  const met = attempt(problems, `${path}/peers`, () => new PeerFile(disk, path));
  const peers = met?.known ?? [];
  if (typeof met?.damage === 'string') {
    problems.push({ file: `${path}/peers`, offset: 0, reason: met.damage });
  }

  return {
    path,
    identity,
    hardState: typeof votes === 'string' ? hardState : newer(votes.record.hardState, hardState),
    votes: typeof votes === 'string' ? null : votes.record,
    log: {
      prevIndex: image.prevIndex,
      lastIndex: image.lastIndex,
      lastTerm: image.lastTerm,
      lastTimeMs: recovered.lastTimeMs,
      clean: recovered.clean,
      segments: hasLog ? inspectSegments(disk, logDirectory, visit) : [],
    },
    snapshots: snapshots.map(({ index: _, ...report }) => report),
    config: newestConfig(recovered.configs.at(-1) ?? null, latest?.meta ?? null),
    peers,
    problems,
  };
}

function attempt<T>(problems: LogDamage[], file: string, read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    problems.push({ file, offset: 0, reason: error instanceof Error ? error.message : String(error) });
    return null;
  }
}

function rottenCopy(disk: Disk, votes: VoteFile | string): LogDamage | null {
  if (typeof votes === 'string') return null;
  const reason = votes.check(disk);
  return reason === null ? null : { file: votes.path, offset: 0, reason };
}

function newer(a: HardState, b: HardState): HardState {
  return a.term >= b.term ? a : b;
}

function newestConfig(
  inLog: { readonly index: Index; readonly config: Config } | null,
  snapshot: SnapshotMeta | null,
): DirectoryReport['config'] {
  if (inLog !== null && inLog.index > (snapshot?.configIndex ?? 0)) return inLog;
  if (snapshot === null || snapshot.configIndex === 0) return null;
  return { index: snapshot.configIndex, config: snapshot.config };
}
