import { crc32 } from 'node:zlib';
import type { NodeId } from '../core/types.ts';
import type { Disk } from './disk.ts';
import { LogEngine } from './log-engine.ts';
import type { EngineOptions } from './log-engine.ts';
import type { LogDamage, Recovery, StoredSnapshot } from './log-store.ts';
import { recoverSnapshots } from './snapshot-files.ts';
import type { RecoveredSnapshots } from './snapshot-files.ts';
import type { RecoveredLog } from './log-recovery.ts';

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
 * Recovers log and snapshots of `path` together: each alone may be whole and yet not fit the other.
 * With `create`, a directory without a log gets an empty one; without, it is an error.
 */
export function openLogFiles(
  disk: Disk,
  path: string,
  options: EngineOptions,
  create: boolean,
): OpenedLogFiles {
  const snapshotDirectory = `${path}/${SNAPSHOT_DIRECTORY}`;
  disk.mkdir(path);
  disk.mkdir(snapshotDirectory);
  const { engine, recovered } = LogEngine.recover(disk, `${path}/${LOG_DIRECTORY}`, options, create);
  const snapshots = recoverSnapshots(disk, snapshotDirectory, options.owner);
  const damage = recovered.damage ?? judge(engine, snapshots);
  if (damage === null) {
    dropUnreadable(disk, snapshotDirectory, snapshots);
    finishInstall(engine, snapshots.latest);
  } else {
    engine.quarantine(damage);
  }
  return {
    engine,
    recovery: describe(engine, recovered, snapshots.latest, damage),
    latest: snapshots.latest,
    snapshotBytes: snapshots.bytes,
  };
}

/** Whether snapshot and log together hold everything they once held. */
function judge(engine: LogEngine, snapshots: RecoveredSnapshots): LogDamage | null {
  const { prevIndex, lastIndex, segments } = engine.image;
  const covered = snapshots.latest?.meta.index ?? 0;
  const newest = snapshots.unreadable[0];
  if (newest !== undefined && (prevIndex > covered || lastIndex < newest.index)) {
    return { file: newest.path, offset: 0, reason: newest.reason };
  }
  if (prevIndex > covered) {
    const reason = `entries ${covered + 1} to ${prevIndex} are neither in a snapshot nor in the log`;
    return { file: segments[0]!.path, offset: 32, reason };
  }
  return null;
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
  damage: LogDamage | null,
): Recovery {
  const { image } = engine;
  return {
    damage,
    hardState: engine.hardState,
    snapshot: latest?.meta ?? null,
    prevIndex: image.prevIndex,
    prevTerm: image.prevTerm,
    lastIndex: image.lastIndex,
    termRuns: [...image.runs.list],
    sizes: image.sizes(),
    configs: recovered.configs.filter(({ index }) => index > image.prevIndex && index <= image.lastIndex),
    lastTimeMs: recovered.lastTimeMs,
  };
}
