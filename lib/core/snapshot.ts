/** Snapshots, seen from the log: compaction behind one's own, installation of a leader's (Raft 7). */
import { advanceCommit } from './commit.ts';
import { becomeFollower, heardFromLeader } from './election.ts';
import { invariant } from './invariant.ts';
import { dropCreated } from './persistence.ts';
import type { CoreState } from './state.ts';
import type { Index, NodeId, SnapshotMeta, Term } from './types.ts';

/** Entries up to `index` are covered by a durable snapshot and need not be kept. */
export function compact(s: CoreState, index: Index): void {
  invariant(index <= s.commitIndex, 'LOG_RANGE', 'compaction to %, committed %', index, s.commitIndex);
  if (index <= s.log.prevIndex) return;
  s.log.compactTo(index);
  s.configs.compactTo(index);
}

/**
 * Chunks of a snapshot are a sign of life of the leader, and may be the only one for a while. They may also be the
 * first: the snapshot must not be installed in an older term, whose leader need not have what it holds.
 */
export function snapshotTraffic(s: CoreState, from: NodeId, term: Term): void {
  if (term < s.term) return;
  if (term > s.term || s.leader !== from || s.role !== 'follower') becomeFollower(s, term, from);
  heardFromLeader(s);
}

/**
 * A whole snapshot has come in and is durable. Returns whether it shall be installed: `snapshotInstalled` then ends
 * what this begins. An older or equal one is of no use.
 */
export function beginInstall(s: CoreState, meta: SnapshotMeta): boolean {
  if (s.installing || meta.index <= s.commitIndex || s.role === 'leader') return false;
  // A candidate that won meanwhile would lead with a log that is about to be replaced.
  if (s.role !== 'follower' || meta.term > s.term) becomeFollower(s, Math.max(s.term, meta.term), 0);
  s.installing = meta;
  return true;
}

/** The machine holds the snapshot's state. */
export function snapshotInstalled(s: CoreState): void {
  const meta = s.installing;
  invariant(meta !== null, 'LOG_RANGE', 'no snapshot is being installed');
  s.installing = null;
  if (s.log.termAt(meta.index) === meta.term) {
    // What stands behind it may be entries of this very leader: keep them.
    s.durableIndex = Math.max(s.durableIndex, meta.index);
    s.log.compactTo(meta.index);
    s.configs.compactTo(meta.index);
  } else {
    dropCreated(s, 0);
    for (const p of s.pendingPersists) p.lastIndex = 0;
    s.log.reset(meta.index, meta.term);
    s.configs.reset({ index: meta.configIndex, config: meta.config });
    s.unwrittenFirst = 0;
    s.resetTo = meta;
    s.durableIndex = meta.index;
  }
  if (meta.index > s.commitIndex) advanceCommit(s, meta.index);
  s.verifiedIndex = Math.max(s.verifiedIndex, meta.index);
  s.ackDue = true;
}
