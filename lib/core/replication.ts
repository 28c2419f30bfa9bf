/** Log replication: Raft 5.3, pipelined, with flow control in bytes and conflict back-off by terms. */
import { advanceCommit, maybeCommit } from './commit.ts';
import { becomeFollower, heardFromLeader, syncProgress } from './election.ts';
import { invariant } from './invariant.ts';
import { markUnwritten, voidFrom } from './persistence.ts';
import type { Progress } from './progress.ts';
import { agreesWithLeader, reportLoss } from './quarantine.ts';
import { failReads, maybeConfirmReads } from './reads.ts';
import type { CoreState } from './state.ts';
import { maybeHandOver } from './transfer.ts';
import type {
  Append,
  AppendAck,
  Config,
  EntryKind,
  Heartbeat,
  HeartbeatAck,
  Index,
  NodeId,
} from './types.ts';

// --- leader ---------------------------------------------------------------------------------------------------------

/** Appends an entry that the core itself decided on. */
export function appendOwn(s: CoreState, kind: EntryKind, config: Config | null, sizeBytes: number): Index {
  const index = s.log.append(s.term, sizeBytes);
  s.created.push({ index, term: s.term, kind, config });
  markUnwritten(s, index);
  if (config) {
    s.configs.push(index, config);
    syncProgress(s);
  }
  return index;
}

/** See `RaftCore.settled`. */
export function isSettled(s: CoreState): boolean {
  const { lastIndex } = s.log;
  if (s.role !== 'leader' || s.commitIndex < lastIndex || s.transfer !== null) return false;
  if (s.outbox.length > 0 || s.reads.length > 0 || s.confirmedReads.length > 0) return false;
  if (s.hardStateDirty || s.snapshotsWanted.length > 0 || s.failedReads.length > 0) return false;
  for (const pr of s.progress.values()) if (pr.state !== 'replicate' || pr.next <= lastIndex) return false;
  return true;
}

/** Sends every follower what it lacks, as far as its window allows. */
export function sendAllAppends(s: CoreState): void {
  for (const pr of s.progress.values()) sendAppends(s, pr);
}

function sendAppends(s: CoreState, pr: Progress): void {
  const { maxMessageBytes } = s.options;
  while (pr.canSend(s.options)) {
    // A probe may be empty: it asks where the logs agree. A follower that is known to agree is sent entries only.
    if (pr.next > s.log.lastIndex && pr.state !== 'probe') return;
    if (pr.next - 1 < s.log.prevIndex) {
      pr.becomeSnapshot(s.log.prevIndex);
      s.snapshotsWanted.push(pr.id);
      return;
    }
    let last = pr.next - 1;
    let bytes = 0;
    while (last < s.log.lastIndex) {
      const size = s.log.sizeAt(last + 1);
      if (bytes > 0 && bytes + size > maxMessageBytes) break;
      bytes += size;
      last++;
    }
    sendAppend(s, pr, last);
    pr.sent(last, bytes);
  }
}

function sendAppend(s: CoreState, pr: Progress, last: Index): void {
  const prevIndex = pr.next - 1;
  s.send(pr.id, {
    kind: 'append',
    term: s.term,
    prevIndex,
    prevTerm: s.log.termAt(prevIndex),
    commit: s.commitIndex,
    last,
    entries: [],
  });
  pr.sentCommit = s.commitIndex;
}

export function sendHeartbeats(s: CoreState): void {
  for (const pr of s.progress.values()) sendHeartbeat(s, pr);
  const { heartbeatMs, idleHeartbeatMs = heartbeatMs } = s.options;
  s.heartbeatDeadlineMs = s.nowMs + (isIdle(s) ? idleHeartbeatMs : heartbeatMs);
}

/**
 * Whether every member has every entry and has been told that it is committed: by the round of heartbeats before this
 * one, if that found them complete already.
 */
function isIdle(s: CoreState): boolean {
  const { lastIndex } = s.log;
  let complete = s.commitIndex === lastIndex && s.reads.length === 0;
  for (const pr of s.progress.values()) complete &&= pr.match === lastIndex;
  const told = complete && s.quietIndex === lastIndex;
  s.quietIndex = complete ? lastIndex : 0;
  return told;
}

export function sendHeartbeat(s: CoreState, pr: Progress): void {
  s.send(pr.id, {
    kind: 'heartbeat',
    term: s.term,
    commit: Math.min(s.commitIndex, pr.match),
    readSeq: s.readRound,
    sentAtMs: s.nowMs,
  });
}

export function handleAppendAck(s: CoreState, from: NodeId, m: AppendAck): void {
  const pr = s.progress.get(from);
  if (s.role !== 'leader' || !pr) return;
  pr.lastActiveMs = s.nowMs;
  if (m.rejected) {
    // A rejection is news only if it answers the probe that is out, or contradicts what was sent ahead.
    const stale = pr.state === 'probe' ? m.prevIndex !== pr.next - 1 : m.prevIndex <= pr.match;
    if (stale || pr.state === 'snapshot') return;
    // It lacks what it has acknowledged in this term: its disk has gone back to an older state without a word.
    if (pr.state === 'probe' && pr.match > 0 && m.prevIndex === pr.match) reportLoss(s, from, pr.match);
    const agree = s.log.lastWithTermAtMost(m.hintIndex, m.hintTerm);
    pr.rejected(Math.min(agree + 1, m.prevIndex));
    return;
  }
  // No follower can have verified more than we ever sent it; whoever claims so is not heard.
  if (m.match > s.log.lastIndex) return;
  if (pr.acked(m.match)) maybeCommit(s);
  // No news is some to a leader that waits to hear where its successor stands.
  maybeHandOver(s);
}

export function handleHeartbeatAck(s: CoreState, from: NodeId, m: HeartbeatAck): void {
  const pr = s.progress.get(from);
  if (s.role !== 'leader' || !pr) return;
  pr.lastActiveMs = s.nowMs;
  if (m.sentAtMs > pr.ackedSentMs && m.sentAtMs <= s.nowMs) pr.ackedSentMs = m.sentAtMs;
  if (m.readSeq > pr.readSeq && m.readSeq <= s.readRound) {
    pr.readSeq = m.readSeq;
    maybeConfirmReads(s);
  }
  pr.paused = false;
  // A lost append or ack shows in nothing else: prompt the follower to say where it stands.
  if (pr.state !== 'replicate' || pr.match >= s.log.lastIndex) return;
  // What it should have is compacted away, and its term with it: nothing to ask by. The probe finds what it needs.
  if (pr.next - 1 < s.log.prevIndex) pr.becomeProbe(pr.match + 1);
  else sendAppend(s, pr, pr.next - 1);
}

// --- follower -------------------------------------------------------------------------------------------------------

/**
 * Takes an append. Returns the index of the first entry that is new here (the driver keeps the records from there
 * on, replacing what it has), or 0.
 */
export function handleAppend(s: CoreState, from: NodeId, m: Append): Index {
  followLeader(s, from);
  if (s.installing || !agreesWithLeader(s, from)) return 0;
  const { log } = s;
  if (m.last <= s.commitIndex) {
    // All of it is committed here, hence equal to the leader's (leader completeness).
    s.verifiedIndex = Math.max(s.verifiedIndex, s.commitIndex);
    s.ackDue = true;
    return 0;
  }
  // Beyond the end of the log nothing agrees, whatever term the message names.
  if (
    m.prevIndex > log.lastIndex ||
    (m.prevIndex > s.commitIndex && log.termAt(m.prevIndex) !== m.prevTerm)
  ) {
    reject(s, from, m);
    return 0;
  }
  const first = firstNew(s, m);
  if (first !== 0) {
    if (first <= log.lastIndex) {
      log.truncateFrom(first);
      s.configs.truncateFrom(first);
      voidFrom(s, first);
    }
    for (let index = first; index <= m.last; index++) {
      const entry = m.entries[index - m.prevIndex - 1]!;
      log.append(entry.term, entry.sizeBytes);
      if (entry.config) s.configs.push(index, entry.config);
    }
    markUnwritten(s, first);
  } else {
    s.ackDue = true;
  }
  s.verifiedIndex = Math.max(s.verifiedIndex, m.last);
  advanceCommit(s, Math.max(s.commitIndex, Math.min(m.commit, s.verifiedIndex)));
  return first;
}

/**
 * The first entry of `m` that is not here or differs. Entries are dropped only for a real conflict of terms: a short
 * append that was delayed says nothing about what stands behind it.
 */
function firstNew(s: CoreState, m: Append): Index {
  const { log } = s;
  for (let index = Math.max(m.prevIndex, log.prevIndex) + 1; index <= m.last; index++) {
    if (index > log.lastIndex) return index;
    if (log.termAt(index) !== m.entries[index - m.prevIndex - 1]!.term) {
      invariant(index > s.commitIndex, 'COMMITTED_ENTRY_CONFLICT', 'at %, committed %', index, s.commitIndex);
      return index;
    }
  }
  return 0;
}

function reject(s: CoreState, to: NodeId, m: Append): void {
  const hintIndex = s.log.lastWithTermAtMost(Math.min(m.prevIndex - 1, s.log.lastIndex), m.prevTerm);
  s.send(to, {
    kind: 'appendAck',
    term: s.term,
    match: 0,
    rejected: true,
    prevIndex: m.prevIndex,
    hintIndex,
    hintTerm: Math.max(s.log.termAt(hintIndex), 0),
  });
}

/** One cumulative ack for everything of this turn, of what is durable only. */
export function sendDueAck(s: CoreState): void {
  if (!s.ackDue) return;
  s.ackDue = false;
  if (s.role !== 'follower' || s.leader === 0 || s.installing) return;
  const match = Math.min(s.durableIndex, s.verifiedIndex);
  s.lastAckedMatch = match;
  s.send(s.leader, {
    kind: 'appendAck',
    term: s.term,
    match,
    rejected: false,
    prevIndex: 0,
    hintIndex: 0,
    hintTerm: 0,
  });
}

export function handleHeartbeat(s: CoreState, from: NodeId, m: Heartbeat): void {
  followLeader(s, from);
  agreesWithLeader(s, from);
  const commit = Math.min(m.commit, s.verifiedIndex);
  if (commit > s.commitIndex) advanceCommit(s, commit);
  s.send(from, { kind: 'heartbeatAck', term: s.term, readSeq: m.readSeq, sentAtMs: m.sentAtMs });
}

function followLeader(s: CoreState, from: NodeId): void {
  if (s.role !== 'follower' || s.leader !== from) becomeFollower(s, s.term, from);
  heardFromLeader(s);
}

// --- connections ----------------------------------------------------------------------------------------------------

/** A connection to `id` was lost: what was sent ahead, or asked, may be lost with it. */
export function peerLost(s: CoreState, id: NodeId): void {
  if (s.leader === id) failReads(s);
  const pr = s.progress.get(id);
  if (s.role !== 'leader' || !pr) return;
  if (pr.state === 'replicate') pr.becomeProbe(pr.match + 1);
  else pr.paused = false;
}

/** A snapshot transfer to `id` ended. After a failure the peer is probed again, which may ask for another. */
export function snapshotFinished(s: CoreState, id: NodeId): void {
  const pr = s.progress.get(id);
  if (s.role !== 'leader' || pr?.state !== 'snapshot') return;
  pr.becomeProbe(Math.max(pr.match + 1, s.log.prevIndex + 1));
}
