import type { Config, NodeId } from './types.ts';

/** How many of `count` voters are a majority. */
export function majority(count: number): number {
  return (count >>> 1) + 1;
}

/**
 * The highest value that a majority of `voters` has reached. No voters: `Infinity`, so that the empty half of a
 * configuration that is not joint never decides anything.
 */
export function majorityValue(voters: readonly NodeId[], valueOf: (id: NodeId) => number): number {
  if (voters.length === 0) return Infinity;
  // Kept sorted, the highest first, as they come: a leader asks for each ack, and there are few.
  const values: number[] = [];
  for (const voter of voters) {
    const value = valueOf(voter);
    let at = values.length;
    values.push(value);
    for (; at > 0 && values[at - 1]! < value; at--) values[at] = values[at - 1]!;
    values[at] = value;
  }
  return values[majority(voters.length) - 1]!;
}

/** The highest value reached by a majority of both halves of a configuration (dissertation 4.3). */
export function quorumValue(config: Config, valueOf: (id: NodeId) => number): number {
  return Math.min(majorityValue(config.voters, valueOf), majorityValue(config.outgoing, valueOf));
}

/** Whether those for whom `holds` is true are a majority of both halves. */
export function hasQuorum(config: Config, holds: (id: NodeId) => boolean): boolean {
  return quorumValue(config, (id) => (holds(id) ? 1 : 0)) >= 1;
}

export type VoteResult = 'won' | 'lost' | 'open';

/** Counts votes; a node that has not answered is absent from `votes`. */
export function voteResult(config: Config, votes: ReadonlyMap<NodeId, boolean>): VoteResult {
  if (hasQuorum(config, (id) => votes.get(id) === true)) return 'won';
  // Still winnable if everyone who has not refused grants.
  return hasQuorum(config, (id) => votes.get(id) !== false) ? 'open' : 'lost';
}

export function isVoter(config: Config, id: NodeId): boolean {
  return config.voters.includes(id) || config.outgoing.includes(id);
}

export function isMember(config: Config, id: NodeId): boolean {
  return isVoter(config, id) || config.learners.includes(id);
}

/** Every node that gets the log: voters of both halves and learners, each once. */
export function memberIds(config: Config): NodeId[] {
  return [...new Set([...config.voters, ...config.outgoing, ...config.learners])].sort((a, b) => a - b);
}
