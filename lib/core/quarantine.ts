/**
 * A node whose log is not what it once acknowledged: its disk lost or damaged a part of it.
 *
 * Raft counts on what a node said. Two promises would be broken if it simply went on with less:
 * - It acknowledged entries, and the leader may count it among those that hold them. So the leader is told to forget
 *   (`lostLog`), and counts only what is acknowledged from then on.
 * - It refused, or would have refused, its vote to candidates whose log is behind its own. With a shorter log it
 *   would elect one that lacks committed entries. So it votes for nobody, and does not campaign, until its log is
 *   again as long as anything it can have acknowledged.
 *
 * When is that? Its term is known for sure (the disk keeps term and vote twice; without them a node does not even get
 * here), so everything it acknowledged was in terms up to its own. Let a leader L of a term T that is not older answer
 * `lostLog` with `index`, its last index at that moment. What was committed with this node's help in terms before T,
 * L has: L was elected by votes none of which was given with the shorter log. What this node acknowledged to L itself
 * is not beyond `index`, and of what comes later L counts only new acks. So once this node holds L's log up to
 * `index`, durably, every vote it refuses or grants is as good as before.
 *
 * The same node may go through several leaders until it is there: each is asked anew.
 */
import type { CoreState, PendingPersist } from './state.ts';
import { loseTarget } from './transfer.ts';
import type { Index, LostLog, NodeId, Refetch, SnapshotMeta, Term } from './types.ts';

export interface Quarantine {
  /** Random: tells this loss from an earlier one. */
  readonly nonce: number;
  /** The log on disk takes nothing until it has been restarted behind what is left. */
  mustRestart: boolean;
  /** The log starts behind this while nothing was fetched. */
  readonly base: Index;
  /** Term of the leader that said what is needed; 0: nobody yet. */
  agreedTerm: Term;
  /** Entries up to here must be durable again. */
  needed: Index;
}

/** From now on this node neither votes nor campaigns, and asks each leader anew. */
export function enterQuarantine(s: CoreState, nonce: number, mustRestart: boolean): void {
  s.quarantine = { nonce, mustRestart, base: s.log.prevIndex, agreedTerm: 0, needed: 0 };
  s.ackDue = false;
}

/**
 * Whether replication may go on. While the leader of this term has not forgotten what this node said, nothing is taken
 * from it; it is told again with each of its messages.
 *
 * Before the quarantine has begun, which is when the disk has its mark, nothing is said at all. Counter-example: the
 * leader is told and forgets, and the power fails before the mark is on the disk. This node starts without it, the
 * leader knows nothing any more by which to notice the loss, and the short log votes.
 */
export function agreesWithLeader(s: CoreState, leader: NodeId): boolean {
  if (s.lossNoticed !== 0) return false;
  const q = s.quarantine;
  if (q === null || q.agreedTerm === s.term) return true;
  s.send(leader, { kind: 'lostLog', term: s.term, nonce: q.nonce });
  return false;
}

/** Leader: `from` has lost what it acknowledged. */
export function handleLostLog(s: CoreState, from: NodeId, m: LostLog): void {
  const pr = s.progress.get(from);
  if (s.role !== 'leader' || !pr) return;
  pr.lastActiveMs = s.nowMs;
  if (pr.lostNonce !== m.nonce) {
    pr.forget(m.nonce, s.log.lastIndex);
    // A leader that was removed steps down if there is nobody else: then there is nothing to promise.
    if (s.transfer?.target === from && !loseTarget(s)) return;
  }
  s.send(from, { kind: 'refetch', term: s.term, nonce: m.nonce, index: pr.neededIndex });
}

/** Follower: the leader has forgotten, and says what is needed. Or it is the one who noticed: `nonce` 0. */
export function handleRefetch(s: CoreState, from: NodeId, m: Refetch): void {
  if (s.role !== 'follower' || s.leader !== from) return;
  const q = s.quarantine;
  if (q === null) {
    if (m.nonce === 0 && m.index > Math.min(s.durableIndex, s.verifiedIndex)) s.lossNoticed = m.index;
    return;
  }
  if (m.nonce !== q.nonce || q.agreedTerm === s.term) return;
  q.agreedTerm = s.term;
  q.needed = m.index;
  if (!q.mustRestart) return;
  q.mustRestart = false;
  // A snapshot that was installed meanwhile has restarted the log already.
  if (s.log.prevIndex === q.base) s.resetTo = restartPoint(s);
}

function restartPoint(s: CoreState): SnapshotMeta {
  const { prevIndex } = s.log;
  const base = s.configs.at(prevIndex);
  return { index: prevIndex, term: s.log.termAt(prevIndex), config: base.config, configIndex: base.index };
}

/** Whether everything that was lost is durable here again. */
export function isHealed(s: CoreState): boolean {
  const q = s.quarantine;
  // In term 0 too nothing is known before a leader has said what is needed.
  if (q === null || q.agreedTerm === 0 || q.agreedTerm !== s.term || s.installing !== null) return false;
  if (Math.min(s.durableIndex, s.verifiedIndex) < q.needed) return false;
  return s.resetTo === null && !s.pendingPersists.some((p) => mayUndo(p, q.needed));
}

/**
 * Whether a crash before a write under way is durable could leave less on disk than what was just found whole. To wait for
 * every write would be to wait for ever: while clients write there is always one on its way, of entries behind `needed`.
 * Such a write leaves what stands before its first entry alone, whether it adds to the log or replaces its tail: one that
 * replaced more would have lowered `durableIndex` below `needed` (`voidFrom`). The others count:
 * - One that restarts the log, even together with later entries. Counter-example: a snapshot is installed, which makes
 *   `durableIndex` its own at once, and what it replaces is on disk still, the damage with it.
 * - Term and vote: what was agreed on was agreed on in this term.
 * - Entries up to `needed`, where a snapshot stands in for them, or a later write has made the rest void.
 */
function mayUndo(p: PendingPersist, needed: Index): boolean {
  return p.resets || p.hardState !== null || p.lastIndex <= needed;
}

/** Leader: `from` does not have the entry at `match`, which it has acknowledged in this very term. */
export function reportLoss(s: CoreState, from: NodeId, match: Index): void {
  s.send(from, { kind: 'refetch', term: s.term, nonce: 0, index: match });
}
