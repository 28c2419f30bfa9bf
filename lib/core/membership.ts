/** Membership by joint consensus (dissertation 4.3): any change, in force from the moment it is appended (4.1). */
import { isMember, isVoter } from './quorum.ts';
import { maybeConfirmReads } from './reads.ts';
import { appendOwn, sendHeartbeat } from './replication.ts';
import { leaveOffice } from './transfer.ts';
import type { CoreState } from './state.ts';
import { EntryKind, type Config, type Index, type Member, type NodeId } from './types.ts';

export interface ConfigTarget {
  readonly voters: readonly NodeId[];
  readonly learners: readonly NodeId[];
  readonly members: readonly Member[];
}

export type ConfigRefusal = 'notLeader' | 'changePending' | 'termNotCommitted' | 'indexMismatch' | 'noVoters';

/**
 * Starts a change to `target`. `expectedIndex`: index of the configuration the caller has seen, so that two operators
 * do not overwrite each other's change.
 */
export function proposeConfig(
  s: CoreState,
  target: ConfigTarget,
  expectedIndex: Index,
): Index | ConfigRefusal {
  if (s.role !== 'leader') return 'notLeader';
  if (target.voters.length === 0) return 'noVoters';
  if (s.configs.currentIndex !== expectedIndex) return 'indexMismatch';
  if (s.configs.currentIndex > s.commitIndex || s.config.outgoing.length > 0) return 'changePending';
  // Ongaro's correction of 2015: without a committed entry of its own term a leader may build on a configuration
  // that another leader's uncommitted one has already replaced elsewhere.
  if (s.commitIndex < s.termStartIndex) return 'termNotCommitted';
  const old = s.config;
  // Each once: a voter named twice would count as two, and a majority of them need not meet another majority.
  const voters = [...new Set(target.voters)];
  const others = [...new Set(target.learners)].filter((id) => !voters.includes(id));
  const learnersNext = others.filter((id) => old.voters.includes(id));
  const members = new Map<NodeId, Member>();
  for (const m of [...old.members, ...target.members]) members.set(m.id, m);
  const retired = old.retired ?? [];
  const joint: Config = {
    voters,
    outgoing: [...old.voters],
    // Never voter and learner at once: a demoted voter becomes a learner when the joint phase ends.
    learners: others.filter((id) => !old.voters.includes(id)),
    learnersNext,
    members: [...members.values()],
    ...(retired.length === 0 ? {} : { retired }),
  };
  return appendOwn(s, EntryKind.config, joint, configBytes(s, joint));
}

/** The newest configuration has just been committed; called on the leader. */
export function configCommitted(s: CoreState): void {
  const { config } = s;
  if (config.outgoing.length > 0) {
    leaveJoint(s, config);
    return;
  }
  for (const [id, pr] of s.progress) {
    if (isMember(config, id)) continue;
    // A last word, that its removal is committed: until it hears that, it must be ready to campaign.
    sendHeartbeat(s, pr);
    s.progress.delete(id);
  }
  if (!isVoter(config, s.id)) leaveOffice(s);
}

/** Any leader, also a later one, finishes a joint configuration once it is committed. */
function leaveJoint(s: CoreState, joint: Config): void {
  const learners = [...joint.learners, ...joint.learnersNext];
  const kept = new Set<NodeId>([...joint.voters, ...learners]);
  // Not before: from a joint configuration that is committed there is no way back, so this is final.
  const gone = joint.members.filter((m) => !kept.has(m.id)).map((m) => m.id);
  const retired = [...new Set([...(joint.retired ?? []), ...gone])];
  const next: Config = {
    voters: joint.voters,
    outgoing: [],
    learners,
    learnersNext: [],
    members: joint.members.filter((m) => kept.has(m.id)),
    ...(retired.length === 0 ? {} : { retired }),
  };
  appendOwn(s, EntryKind.config, next, configBytes(s, next));
  // A round of reads may have waited for the half that is gone; those who are left have acknowledged it already.
  maybeConfirmReads(s);
}

/** A fair guess for flow control; the record's true size is the driver's business. */
function configBytes(s: CoreState, config: Config): number {
  return s.options.emptyEntryBytes + 64 * (config.members.length + 1);
}
