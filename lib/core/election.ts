/**
 * Elections: Raft 5.2 and 5.4.1, with pre-votes (dissertation 9.6), leader stickiness and CheckQuorum (6.2).
 *
 * Departures from the paper, each explained where it is made: a candidate does not lead before its own vote is
 * durable, and a leader whose process is known to be gone is replaced without waiting for a timeout.
 */
import { boundByPromise, dropLease } from './lease.ts';
import { invariant } from './invariant.ts';
import { Progress } from './progress.ts';
import { hasQuorum, isVoter, memberIds, voteResult } from './quorum.ts';
import { failReads } from './reads.ts';
import type { CoreState } from './state.ts';
import { appendOwn } from './replication.ts';
import { EntryKind, type NodeId, type Term, type VoteRequest, type VoteResponse } from './types.ts';

/** Quick campaigns double their pause; after this many the ordinary timeout takes over. */
const MAX_QUICK_ATTEMPTS = 8;

export function resetElectionTimer(s: CoreState): void {
  const t = s.options.electionTimeoutMs;
  s.electionDeadlineMs = s.nowMs + s.random.between(t, 2 * t);
  s.stallExcused = false;
}

/** Something came from the leader of this term. */
export function heardFromLeader(s: CoreState): void {
  s.lastLeaderContactMs = s.nowMs;
  s.leaderLost = false;
  s.quickAttempts = 0;
  resetElectionTimer(s);
}

/**
 * Whether a leader is believed to be at work, so that others are refused a vote: without this a node that comes
 * back from a partition deposes a leader everyone else is content with.
 */
function leaderAlive(s: CoreState): boolean {
  if (s.role === 'leader') return true;
  return s.leader !== 0 && !s.leaderLost && s.nowMs - s.lastLeaderContactMs < s.options.electionTimeoutMs;
}

/** Steps down, or learns who leads. `leader` 0: not known. */
export function becomeFollower(s: CoreState, term: Term, leader: NodeId): void {
  invariant(term >= s.term, 'TERM_REGRESSED', 'asked to follow in %, at %', term, s.term);
  if (term > s.term) {
    s.term = term;
    s.vote = 0;
    s.hardStateDirty = true;
    s.verifiedIndex = 0;
    s.lastAckedMatch = 0;
    // Also where the same node leads again: it has forgotten what was asked of it in the term before.
    failReads(s);
  } else {
    const same = leader === 0 || s.leader === 0 || s.leader === leader;
    invariant(same, 'TWO_LEADERS_IN_TERM', '% and % in %', s.leader, leader, term);
  }
  if (s.role === 'leader' || s.leader !== leader) failReads(s);
  if (s.role !== 'follower' || s.leader !== leader) resetElectionTimer(s);
  // What was verified stays so for the whole term: it has one leader, however often we lose sight of it.
  s.role = 'follower';
  s.leader = leader;
  s.leaderLost = false;
  s.votes.clear();
  s.progress.clear();
  s.transfer = null;
  s.heartbeatDeadlineMs = Infinity;
  s.quorumDeadlineMs = Infinity;
  s.ackDue = false;
}

/** A loss that was noticed counts at once: what came in with that message may ask for votes (quarantine.ts). */
export function hasLost(s: CoreState): boolean {
  return s.quarantine !== null || s.lossNoticed !== 0;
}

/**
 * Whether this node may ask for votes now. One that is no voter in its newest configuration still may while that is
 * uncommitted (dissertation 4.2.2): it may be the only one that has the entry, and the voters need it to get it. Its
 * own vote does not count then.
 */
export function mayCampaign(s: CoreState): boolean {
  if (hasLost(s) || s.diskStalled) return false;
  if (s.role === 'leader' || s.installing !== null) return false;
  if (s.isVoter) return true;
  const { currentIndex } = s.configs;
  return currentIndex > s.commitIndex && isVoter(s.configs.at(currentIndex - 1).config, s.id);
}

/** Asks whether an election could be won, without disturbing anyone. */
export function startPreVote(s: CoreState): void {
  armCampaignTimer(s);
  s.role = 'preCandidate';
  // Without a leader of its own it can grant the pre-vote of another.
  if (s.leader !== 0) failReads(s);
  s.leader = 0;
  s.votes.clear();
  s.votes.set(s.id, true);
  s.campaignByTransfer = false;
  if (voteResult(s.config, s.votes) === 'won') {
    startElection(s, false);
    return;
  }
  requestVotes(s, true, s.term + 1);
}

/** Raft 5.2: a real candidacy in the next term. */
export function startElection(s: CoreState, byTransfer: boolean): void {
  armCampaignTimer(s);
  s.role = 'candidate';
  s.campaignedAtMs = s.nowMs;
  failReads(s);
  s.leader = 0;
  s.term++;
  s.vote = s.id;
  s.hardStateDirty = true;
  s.verifiedIndex = 0;
  s.lastAckedMatch = 0;
  s.votes.clear();
  s.campaignByTransfer = byTransfer;
  // These wait, as everything of this term does, until term and vote are durable; our own vote counts from then on.
  requestVotes(s, false, s.term);
}

/**
 * Who may not campaign forgets a silent leader all the same, or it would name a dead node, and send clients there, for
 * ever. Not while a snapshot is being installed, of which that leader is to be told.
 */
export function waitOn(s: CoreState): void {
  resetElectionTimer(s);
  if (s.leader === 0 || s.installing !== null) return;
  failReads(s);
  s.leader = 0;
}

function requestVotes(s: CoreState, pre: boolean, term: Term): void {
  const message: VoteRequest = {
    kind: 'voteRequest',
    term,
    pre,
    lastIndex: s.log.lastIndex,
    lastTerm: s.log.lastTerm,
    transfer: !pre && s.campaignByTransfer,
  };
  for (const id of memberIds(s.config)) {
    if (id !== s.id && isVoter(s.config, id)) s.send(id, message);
  }
}

/** While the loss of the leader is fresh, failed campaigns are repeated after short, growing, random pauses. */
function armCampaignTimer(s: CoreState): void {
  resetElectionTimer(s);
  if (s.leaderLost && s.quickAttempts < MAX_QUICK_ATTEMPTS) {
    const pauseMs = s.options.lostLeaderDelayMs * 2 ** s.quickAttempts++;
    s.electionDeadlineMs = Math.min(s.electionDeadlineMs, s.nowMs + s.random.between(pauseMs, 2 * pauseMs));
  }
}

/** The leader's connection ended and its host refuses new ones: nobody needs to wait for a timeout to believe it. */
export function leaderRefused(s: CoreState, id: NodeId): void {
  if (s.role === 'leader' || s.leader !== id || s.leaderLost) return;
  // A firewall may refuse connections for a leader that is alive and counts on its lease.
  if (s.options.leases === true) return;
  missLeader(s, s.options.lostLeaderDelayMs);
}

/** There is no leader, as far as this node can tell: it asks for votes soon, and again after short pauses. */
export function missLeader(s: CoreState, delayMs: number): void {
  s.leaderLost = true;
  s.quickAttempts = 0;
  campaignWithin(s, delayMs);
}

/** Whether this node may have a say at all. A log that was longer once must not be compared with (quarantine.ts). */
function mayVote(s: CoreState, request: VoteRequest): boolean {
  return !hasLost(s) && (request.transfer || !boundByPromise(s));
}

export function handleVoteRequest(s: CoreState, from: NodeId, m: VoteRequest): void {
  if (m.pre) {
    s.preVotesAsked.push({ from, request: m });
    return;
  }
  if (!mayVote(s, m)) {
    refuse(s, from, false);
    return;
  }
  // Stickiness comes before the term: adopting it would depose the leader just as well as a vote.
  if (!m.transfer && m.term > s.term && leaderAlive(s)) {
    refuse(s, from, false);
    return;
  }
  if (m.term < s.term) {
    refuse(s, from, false);
    return;
  }
  if (m.term > s.term) becomeFollower(s, m.term, 0);
  const canVote = s.vote === from || (s.vote === 0 && s.leader === 0);
  // A learner answers too: it may have been promoted without knowing it yet. The candidate's configuration decides.
  if (!canVote || s.role === 'leader' || !s.log.isUpToDate(m.lastIndex, m.lastTerm)) {
    refuse(s, from, false);
    return;
  }
  if (s.vote === 0) {
    s.vote = from;
    s.hardStateDirty = true;
  }
  s.votedAtMs = s.nowMs;
  resetElectionTimer(s);
  s.send(from, { kind: 'voteResponse', term: m.term, pre: false, granted: true });
}

/** Whom this node has just voted for most likely leads by now, and has not been heard of yet. */
export function justVoted(s: CoreState): boolean {
  return s.leader === 0 && s.nowMs - s.votedAtMs < s.options.heartbeatMs;
}

/**
 * A candidate whose votes may be under way. Counter-example without this: 1 and 2 ask for votes in term 1 at once and
 * refuse each other; 2 asks 1 whether it could win term 2, and 1 says yes; then 3's vote makes 1 the leader of term 1,
 * and 2 deposes it. Two that have split the votes still get on: the first to try again is none of these any more, and
 * grants the other's pre-vote.
 */
function justCampaigned(s: CoreState): boolean {
  return s.role === 'candidate' && s.nowMs - s.campaignedAtMs < s.options.heartbeatMs;
}

/**
 * Decides what pre-votes are asked for and about, once everything that came in with them has been heard. A process
 * that stood still finds the question of one and the heartbeats of the leader in different sockets, and may read the
 * question first; and one that was cut off finds a vote of long ago before the heartbeats that followed it. To go by
 * either would depose a leader that everyone hears.
 */
export function settlePreVotes(s: CoreState): void {
  if (s.preVotesAsked.length > 0) {
    for (const { from, request } of s.preVotesAsked.splice(0)) answerPreVote(s, from, request);
  }
  if (s.role === 'preCandidate' && voteResult(s.config, s.votes) === 'won') startElection(s, false);
}

function answerPreVote(s: CoreState, from: NodeId, m: VoteRequest): void {
  if (!mayVote(s, m)) {
    refuse(s, from, true);
    return;
  }
  const possible =
    m.term > s.term || (m.term === s.term && s.leader === 0 && (s.vote === 0 || s.vote === from));
  const taken = (justVoted(s) && s.vote !== from) || justCampaigned(s);
  const open = possible && !taken && !leaderAlive(s);
  if (open && s.log.isUpToDate(m.lastIndex, m.lastTerm)) {
    s.send(from, { kind: 'voteResponse', term: m.term, pre: true, granted: true });
    return;
  }
  refuse(s, from, true);
  // Two miss a leader now, and the one that asked cannot win. A leader that freezes under load leaves followers of
  // different lengths behind: to wait for the longer one's own timer, too, cost half an election timeout on average.
  if (open) campaignWithin(s, s.options.lostLeaderDelayMs);
}

/** Asks for votes soon, if nothing is heard of a leader until then. */
function campaignWithin(s: CoreState, delayMs: number): void {
  s.electionDeadlineMs = Math.min(s.electionDeadlineMs, s.nowMs + s.random.between(0, delayMs));
}

function refuse(s: CoreState, to: NodeId, pre: boolean): void {
  s.send(to, { kind: 'voteResponse', term: s.term, pre, granted: false });
}

export function handleVoteResponse(s: CoreState, from: NodeId, m: VoteResponse): void {
  if (m.pre) {
    if (m.granted) {
      if (s.role !== 'preCandidate' || m.term !== s.term + 1) return;
    } else {
      if (m.term > s.term) {
        const lost = s.leaderLost;
        becomeFollower(s, m.term, 0);
        // The loss of the old leader is no less certain for a newer term being about.
        s.leaderLost = lost;
        if (lost) armCampaignTimer(s);
        return;
      }
      if (s.role !== 'preCandidate') return;
    }
  } else {
    if (m.term > s.term) {
      becomeFollower(s, m.term, 0);
      return;
    }
    if (s.role !== 'candidate' || m.term !== s.term) return;
  }
  if (!s.votes.has(from)) s.votes.set(from, m.granted);
  if (!m.pre) countVotes(s);
}

/** Our own term and vote became durable. */
export function ownVoteDurable(s: CoreState): void {
  if (s.role !== 'candidate' || !s.hardStateDurable || s.vote !== s.id) return;
  s.votes.set(s.id, true);
  countVotes(s);
}

function countVotes(s: CoreState): void {
  if (voteResult(s.config, s.votes) !== 'won') return;
  // Nobody leads before its own term and vote are durable. Counter-example: elected by others' votes, replicates
  // (T, i, x) to one node, crashes before its own fsync, restarts at T − 1, campaigns for T again, is granted the same
  // votes again (repeating a grant is legal) and appends a different (T, i, y).
  if (s.hardStateDurable) becomeLeader(s);
}

function becomeLeader(s: CoreState): void {
  invariant(s.hardStateDurable, 'LEADER_NOT_DURABLE', 'term %', s.term);
  s.role = 'leader';
  s.leader = s.id;
  s.leaderLost = false;
  s.quickAttempts = 0;
  s.votes.clear();
  s.progress.clear();
  s.transfer = null;
  s.leaseVoid = false;
  dropLease(s);
  s.ackDue = false;
  syncProgress(s);
  s.quorumDeadlineMs = s.nowMs + s.options.electionTimeoutMs;
  s.stallExcused = false;
  // Heartbeats at once: every follower should know before its own timer runs out.
  s.heartbeatDeadlineMs = s.nowMs;
  s.quietIndex = 0;
  s.termStartIndex = appendOwn(s, EntryKind.noop, null, s.options.emptyEntryBytes);
}

/** Makes the progress table match the configuration in force. */
export function syncProgress(s: CoreState): void {
  const members = memberIds(s.config);
  for (const id of members) {
    if (id !== s.id && !s.progress.has(id)) {
      s.progress.set(id, new Progress(id, s.log.lastIndex + 1, s.nowMs));
    }
  }
}

/** CheckQuorum: a leader that cannot reach a quorum gives up, and with it its heartbeats. Whether it still leads. */
export function checkQuorum(s: CoreState): boolean {
  if (renewQuorum(s)) return true;
  becomeFollower(s, s.term, 0);
  return false;
}

/**
 * Puts the next check off if a quorum has been heard of lately. Each round of heartbeats does so too: a check between
 * two of them would wake an idle leader once more, and see nothing new.
 */
export function renewQuorum(s: CoreState): boolean {
  const { electionTimeoutMs } = s.options;
  const since = s.nowMs - electionTimeoutMs;
  const alive = hasQuorum(s.config, (id) => id === s.id || (s.progress.get(id)?.lastActiveMs ?? -1) > since);
  if (alive) {
    s.quorumDeadlineMs = Math.max(s.quorumDeadlineMs, s.heartbeatDeadlineMs, s.nowMs + electionTimeoutMs / 2);
    s.stallExcused = false;
  }
  return alive;
}
