/** Leadership transfer (dissertation 3.10). The state belongs to one leader in one term and dies with it. */
import { becomeFollower, mayCampaign, startElection } from './election.ts';
import { isVoter } from './quorum.ts';
import type { CoreState } from './state.ts';
import type { NodeId, TimeoutNow } from './types.ts';

/**
 * Starts handing leadership to `target`, or to the voter that is furthest along (0). Proposals are refused until it
 * is over. Returns the target, 0 if there is none.
 */
export function startTransfer(s: CoreState, target: NodeId): NodeId {
  if (s.role !== 'leader') return 0;
  const to = target === 0 ? furthestVoter(s) : target;
  if (to === 0 || to === s.id || !isVoter(s.config, to) || !s.progress.has(to)) return 0;
  s.transfer = { target: to, deadlineMs: s.nowMs + s.options.electionTimeoutMs, sent: false };
  maybeHandOver(s);
  return to;
}

/**
 * Sends TimeoutNow once the target has the whole log, by its own word since it was last out of reach: it may have come
 * back with older files, and would be elected by those who lack the same entries.
 */
export function maybeHandOver(s: CoreState): void {
  const t = s.transfer;
  if (!t || t.sent) return;
  const pr = s.progress.get(t.target);
  if (pr?.state !== 'replicate' || pr.match !== s.log.lastIndex) return;
  t.sent = true;
  s.leaseVoid = true;
  s.send(t.target, { kind: 'timeoutNow', term: s.term });
}

export function expireTransfer(s: CoreState): void {
  if (!s.transfer || s.nowMs < s.transfer.deadlineMs) return;
  s.transfer = null;
  // If nobody took over, let them elect.
  if (isRemoved(s)) becomeFollower(s, s.term, 0);
}

/** The target cannot take over any more. Whether this node still leads. */
export function loseTarget(s: CoreState): boolean {
  s.transfer = null;
  if (isRemoved(s)) leaveOffice(s);
  return s.role === 'leader';
}

/** The leader is no voter any more, and has managed its own removal: it hands over rather than fall silent. */
export function leaveOffice(s: CoreState): void {
  if (startTransfer(s, 0) === 0) becomeFollower(s, s.term, 0);
}

/** Whether it is settled that this node does not vote: as a leader it has no business of its own left. */
function isRemoved(s: CoreState): boolean {
  return !s.isVoter && s.configs.currentIndex <= s.commitIndex;
}

export function handleTimeoutNow(s: CoreState, m: TimeoutNow): void {
  if (m.term === s.term && mayCampaign(s)) startElection(s, true);
}

/** Gives leadership up without naming a successor. */
export function stepDown(s: CoreState): void {
  if (s.role === 'leader') becomeFollower(s, s.term, 0);
}

function furthestVoter(s: CoreState): NodeId {
  let best: NodeId = 0;
  let bestMatch = -1;
  const since = s.nowMs - s.options.electionTimeoutMs;
  for (const pr of s.progress.values()) {
    if (!isVoter(s.config, pr.id) || pr.lastActiveMs < since || pr.match <= bestMatch) continue;
    // In quarantine (quarantine.ts): it does not campaign, whatever it is told.
    if (pr.match < pr.neededIndex) continue;
    best = pr.id;
    bestMatch = pr.match;
  }
  return best;
}
