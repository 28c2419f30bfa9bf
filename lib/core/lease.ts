/**
 * Leader leases (dissertation 6.4.1), opt-in: reads that need no question to a quorum as long as clocks run at nearly
 * the same speed.
 *
 * A voter that acknowledged a heartbeat votes for nobody else for an election timeout by its own clock. So until that
 * has gone by for a majority, counted from when the heartbeats were *sent*, nobody else can lead. Three things make
 * the promise hold that an ordinary voter breaks: it survives a restart (a voter that has just started keeps quiet for
 * one timeout, since it may have promised something before; of its own: one that is started with a shorter timeout must
 * have been down for the old one, docs/operations.md), it is not void because the leader's port refuses
 * connections (that may be a firewall), nor because a higher term is heard of.
 *
 * Votes that the leader itself asked for (transfer) are exempt; once it has asked it has no lease for the rest of its
 * term: the message may be on its way for long.
 */
import { quorumValue } from './quorum.ts';
import type { CoreState } from './state.ts';
import type { NodeId } from './types.ts';

/** Clocks may differ in speed by so much: a leader counts on this much less than what was promised. */
export const CLOCK_DRIFT = 0.1;

/** Whether this voter may have promised not to vote now. */
export function boundByPromise(s: CoreState): boolean {
  if (s.options.leases !== true) return false;
  const { config } = s;
  // Whoever is the only voter has promised nothing to anyone who could still lead.
  if (config.outgoing.length === 0 && config.voters.length === 1 && config.voters[0] === s.id) return false;
  return s.nowMs < Math.max(s.startedMs, s.lastLeaderContactMs) + s.options.electionTimeoutMs;
}

/**
 * Until when, by this node's clock, nobody else can lead; −Infinity without a lease. `promiseMs`: how long a voter has
 * said it keeps its promise; 0 if it makes none.
 */
export function leaseUntil(s: CoreState, promiseMs: (id: NodeId) => number): number {
  if (s.options.leases !== true || s.role !== 'leader' || s.commitIndex < s.termStartIndex) return -Infinity;
  if (s.transfer !== null || s.leaseVoid) return -Infinity;
  // Counter-example without this: 1 leads {1, 2} and makes it {2}; 2 dies with that on its disk, and restarts. Alone, it
  // is bound to nobody, leads and commits, while 1 counts on what 2 acknowledged before. And while 1 is about to become
  // a voter again, 2 may restart without having heard of that (core seed 332094427).
  if (!s.isVoter || s.configs.currentIndex > s.commitIndex) return -Infinity;
  return quorumValue(s.config, (id) => {
    if (id === s.id) return Infinity;
    const sentMs = s.progress.get(id)?.ackedSentMs ?? -Infinity;
    const promise = promiseMs(id);
    return promise > 0 && sentMs > s.leaseFloorMs ? sentMs + promise * (1 - CLOCK_DRIFT) : -Infinity;
  });
}

/** Nothing that was acknowledged before counts any more. */
export function dropLease(s: CoreState): void {
  s.leaseFloorMs = s.nowMs;
}
