import { hasQuorum, isVoter, majority, memberIds } from '../core/quorum.ts';
import type { Config, NodeId, Term } from '../core/types.ts';
import type { SurvivingLog } from '../log/surviving-log.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { bootstrapOf } from './options.ts';

/** What is to be made of the directories that are left of a cluster that lost its quorum for good. */
export interface RecoveryPlan {
  readonly clusterId: string;
  /** Who would win an election first: by the term of the last entry, then by its index. */
  readonly ranked: readonly SurvivingLog[];
  /** The configuration in force, as far as the best of them knows. */
  readonly config: Config;
  /** Voters of that configuration whose directories are not here. */
  readonly lost: readonly NodeId[];
  /** Nodes whose directory is here, but is not the one the others know them by: what that held is lost as well. */
  readonly replaced: readonly NodeId[];
  /** Enough voters are here, and whole, to go on as they are. */
  readonly quorumLeft: boolean;
  /** Something that was acknowledged may have been on the lost or damaged ones only. */
  readonly mayLose: boolean;
  /** Above every term that any of them has seen. */
  readonly term: Term;
}

/**
 * Ranks what is left and says what may be lost.
 *
 * @throws CordwoodError `WRONG_CLUSTER` if they are of different clusters, `BAD_OPTION` if two are of one node
 */
export function planRecovery(survivors: readonly SurvivingLog[]): RecoveryPlan {
  const ranked = [...survivors].sort((a, b) => b.lastTerm - a.lastTerm || b.lastIndex - a.lastIndex);
  const [best] = ranked;
  if (best === undefined) throw new CordwoodError('BAD_OPTION', 'there is no directory to recover from');
  const { clusterId } = best.identity;
  for (const { identity, report } of ranked) {
    if (identity.clusterId !== clusterId) {
      const message = `${report.path} belongs to cluster ${identity.clusterId}, ${best.report.path} to ${clusterId}`;
      throw new CordwoodError('WRONG_CLUSTER', message);
    }
    const twin = ranked.find((other) => other.identity.nodeId === identity.nodeId);
    if (twin !== undefined && twin.identity !== identity)
      throw new CordwoodError(
        'BAD_OPTION',
        `${report.path} and ${twin.report.path} are both of node ${identity.nodeId}`,
      );
  }
  const config = best.config ?? bootstrapOf(best.identity.members);
  const replaced = ranked.filter((one) => isReplaced(one, config, ranked));
  const kept = ranked.filter((one) => !replaced.includes(one));
  const present = kept.map(({ identity }) => identity.nodeId);
  const whole = new Set(
    kept.filter(({ report }) => report.problems.length === 0).map(({ identity }) => identity.nodeId),
  );
  const sets = [config.voters, config.outgoing].filter((voters) => voters.length > 0);
  const missing = (voters: readonly NodeId[]): number => voters.filter((id) => !whole.has(id)).length;
  return {
    clusterId,
    ranked,
    config,
    lost: memberIds(config).filter((id) => isVoter(config, id) && !present.includes(id)),
    replaced: replaced.map(({ identity }) => identity.nodeId),
    quorumLeft: sets.length > 0 && hasQuorum(config, (id) => whole.has(id)),
    // A majority of each set must be here. While both are in force what was committed is on a majority of either; but the
    // change may have ended without the survivors, or never have begun elsewhere, and then one set decides by itself.
    // Counter-example with one of them: 1 and 2 are left of {1, 2, 3} → {3, 4, 5}, switched off when they had acknowledged
    // the change. The new three completed it and went on, and none of that is here.
    mayLose: sets.length === 0 || sets.some((voters) => missing(voters) >= majority(voters.length)),
    term: 1 + Math.max(...ranked.map(({ hardState, lastTerm }) => Math.max(hardState.term, lastTerm))),
  };
}

/**
 * Whether a node came back with an empty directory after it had lost its own. It holds nothing of what it acknowledged
 * before, and the others refuse it: it counts for no majority.
 */
function isReplaced({ identity }: SurvivingLog, config: Config, all: readonly SurvivingLog[]): boolean {
  const { nodeId, incarnation } = identity;
  const settled = config.members.find(({ id }) => id === nodeId)?.incarnation;
  // A leader has looked before it wrote that down.
  if (settled !== undefined) return settled !== incarnation;
  return all.some(({ report }) => report.peers.some(([id, met]) => id === nodeId && met !== incarnation));
}
