import { crc32 } from 'node:zlib';
import type { NodeId } from '../core/types.ts';
import type { Disk } from './disk.ts';
import { LogEngine } from './log-engine.ts';
import type { EngineOptions } from './log-engine.ts';
import { doubtIn, isWhole, judgeLength, judgeSnapshots } from './judge-files.ts';
import type { Recovery, StoredSnapshot } from './log-store.ts';
import { recoverSnapshots } from './snapshot-files.ts';
import type { RecoveredSnapshots } from './snapshot-files.ts';
import type { RecoveredLog } from './log-recovery.ts';
import { recoverBehind } from './recover-behind.ts';
import { VOTE_FILE, VoteFile } from './vote-file.ts';

/** The two directories of a node's data directory that this layer fills. */
export const LOG_DIRECTORY = 'log';
export const SNAPSHOT_DIRECTORY = 'snapshots';

/** What stands in every file of a node, so that files of another are noticed. */
export function ownerOf(clusterId: string, nodeId: NodeId, incarnation: string): number {
  return crc32(`${clusterId}\n${nodeId}\n${incarnation}`);
}

export interface OpenedLogFiles {
  readonly engine: LogEngine;
  readonly recovery: Recovery;
  readonly latest: StoredSnapshot | null;
  readonly snapshotBytes: number;
}

/**
 * Recovers log, snapshots and vote file of `path` together: each alone may be whole and yet not fit the others.
 * With `create`, a directory without a log gets an empty one; without, it is an error. `onSnapshots` hears of the
 * snapshots before the log is read: whatever that finds, the newest snapshot that is whole stays what it is.
 */
export function openLogFiles(
  disk: Disk,
  path: string,
  options: EngineOptions,
  create: boolean,
  onSnapshots: (found: RecoveredSnapshots) => void = () => undefined,
): OpenedLogFiles {
  const snapshotDirectory = `${path}/${SNAPSHOT_DIRECTORY}`;
  disk.mkdir(path);
  disk.mkdir(snapshotDirectory);
  const snapshots = recoverSnapshots(disk, snapshotDirectory, options.owner);
  onSnapshots(snapshots);
  const votes = VoteFile.open(disk, path, options.owner);
  const logDirectory = `${path}/${LOG_DIRECTORY}`;
  const { engine, recovered } = LogEngine.recover(disk, logDirectory, options, create, (damaged) => {
    const rest = recoverBehind(disk, logDirectory, options.owner, snapshots.latest?.meta ?? null, damaged);
    return rest !== null && isWhole(rest, snapshots, votes) ? rest : null;
  });
  // Of a log in which nothing was ever written the vote file may be missing: the start that made it did not get there.
  const isNew = create && recovered.image.lastIndex === 0 && engine.hardState.term === 0;
  const damage = recovered.damage ?? judgeSnapshots(engine, snapshots) ?? judgeLength(engine, votes);
  if (damage === null) {
    dropUnreadable(disk, snapshotDirectory, snapshots);
    finishInstall(engine, snapshots.latest);
  } else {
    engine.markDamaged(damage);
  }
  const isDoubtful = damage === null && !(isNew && typeof votes === 'string');
  const doubt = isDoubtful ? doubtIn(votes, `${path}/${VOTE_FILE}`) : null;
  if (typeof votes !== 'string') {
    engine.keepVotes(votes);
  } else if (recovered.damage === null) {
    const { hardState, lastBlock } = engine;
    const quarantine = (damage ?? doubt)?.reason ?? null;
    engine.keepVotes(VoteFile.create(disk, path, options.owner, { hardState, lastBlock, quarantine }));
  }
  return {
    engine,
    recovery: {
      ...describe(engine, recovered, snapshots.latest),
      damage,
      doubt,
      hardStateKnown: recovered.damage === null || typeof votes !== 'string',
    },
    latest: snapshots.latest,
    snapshotBytes: snapshots.bytes,
  };
}

/** Snapshots that cannot be read and are not needed: the log reaches back far enough. */
function dropUnreadable(disk: Disk, directory: string, snapshots: RecoveredSnapshots): void {
  if (snapshots.unreadable.length === 0) return;
  for (const { path } of snapshots.unreadable) disk.unlink(path);
  disk.syncDirectory(directory);
}

/** A snapshot was received and made durable, but the log was not yet restarted behind it: do that now. */
function finishInstall(engine: LogEngine, latest: StoredSnapshot | null): void {
  if (latest === null) return;
  const { index, term } = latest.meta;
  const { image } = engine;
  if (index <= image.lastIndex && image.termAt(index) === term) return;
  engine.write([{ ticket: 0, hardState: null, resetTo: { index, term }, first: 0, last: 0, records: [] }]);
}

function describe(
  engine: LogEngine,
  recovered: RecoveredLog,
  latest: StoredSnapshot | null,
): Omit<Recovery, 'damage' | 'doubt' | 'hardStateKnown'> {
  const { image } = engine;
  return {
    hardState: engine.hardState,
    snapshot: latest?.meta ?? null,
    prevIndex: image.prevIndex,
    prevTerm: image.prevTerm,
    lastIndex: image.lastIndex,
    termRuns: [...image.runs.list],
    sizes: image.sizes(),
    configs: recovered.configs.filter(({ index }) => index > image.prevIndex && index <= image.lastIndex),
    lastTimeMs: recovered.lastTimeMs,
    covered: recovered.covered,
  };
}
