/** Commitment: Raft 5.3 and 5.4.2. */
import { invariant } from './invariant.ts';
import { configCommitted } from './membership.ts';
import { quorumValue } from './quorum.ts';
import { termCommitted } from './reads.ts';
import type { CoreState } from './state.ts';
import type { Index } from './types.ts';

/** Advances the leader's commit index to what a quorum holds durably. */
export function maybeCommit(s: CoreState): void {
  // The leader counts itself at what is durable, never at what it appended. A one-node cluster is no exception.
  const index = quorumIndex(s, s.durableIndex);
  if (index === Infinity || index <= s.commitIndex) return;
  // Only entries of the current term are committed by counting; older ones go with them (figure 8 shows why).
  if (s.log.termAt(index) !== s.term) return;
  const before = s.commitIndex;
  advanceCommit(s, index);
  // Followers hear of it soon, though the leader was about to sleep for longer.
  s.heartbeatDeadlineMs = Math.min(s.heartbeatDeadlineMs, s.nowMs + s.options.heartbeatMs);
  const termNews = before < s.termStartIndex && s.commitIndex >= s.termStartIndex;
  if (termNews) termCommitted(s);
  // With the first commit of a term also what was committed before it: the last leader may have died between the
  // commitment of a joint configuration and its end, and nobody else would ever finish it.
  const configNews = termNews || s.configs.currentIndex > before;
  if (configNews && s.configs.currentIndex <= s.commitIndex) configCommitted(s);
}

/**
 * Whether the end of this node's own writes may decide anything: what waits for them here, or would be committed with
 * them. A leader whose followers have not answered yet need not hear of its disk: they are heard later.
 */
export function awaitsDisk(s: CoreState): boolean {
  if (s.role !== 'leader' || s.gated.length > 0 || !s.hardStateDurable) return true;
  return quorumIndex(s, s.log.lastIndex) > s.commitIndex;
}

/** What a quorum holds, if the leader itself holds the log up to `own`. */
function quorumIndex(s: CoreState, own: Index): Index {
  return quorumValue(s.config, (id) => (id === s.id ? own : (s.progress.get(id)?.match ?? 0)));
}

export function advanceCommit(s: CoreState, index: Index): void {
  invariant(index >= s.commitIndex, 'COMMIT_REGRESSED', '% to %', s.commitIndex, index);
  invariant(index <= s.log.lastIndex, 'COMMIT_BEYOND_LOG', '%, log ends at %', index, s.log.lastIndex);
  s.commitIndex = index;
}
