import type { Introduction } from '../../protocol/introduction.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import type { Member, NodeId } from '../core/types.ts';
import type { Environment } from './bootstrap.ts';
import type { MembershipPlan } from './membership-plan.ts';
import type { PeerRegistry } from './peer-registry.ts';

const PROBE_TIMEOUT_MS = 3_000;

/** What to do with a node that is not what `member add` takes. Its number may be one that others know already. */
const AS_NEWCOMER = 'start it with --join, an empty directory and a number that was never used';

export interface ProbeParts {
  readonly id: NodeId;
  readonly clusterId: string;
  /** This node's data directory. */
  readonly incarnation: string;
  readonly registry: PeerRegistry;
  readonly introduce: Environment['introduce'];
}

interface ProbeOptions {
  readonly force?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Asks those of a plan who are new, or have moved, who they are. Returns the members with what they said. */
export async function probeMembers(
  parts: ProbeParts,
  plan: MembershipPlan,
  options: ProbeOptions,
): Promise<Member[]> {
  const incarnations = new Map<NodeId, string>();
  await Promise.all(
    plan.probe.map(async (member) => {
      try {
        incarnations.set(member.id, await probeOne(parts, member, plan, options.signal));
      } catch (error) {
        // A newcomer must say which directory it has: nobody else may come under its number afterwards.
        if (options.force !== true || plan.newcomers.includes(member.id)) throw error;
        if (!CordwoodError.is(error) || error.code !== 'UNREACHABLE') throw error;
      }
    }),
  );
  return plan.members.map((member) => {
    const incarnation = incarnations.get(member.id) ?? member.incarnation ?? incarnationOf(parts, member.id);
    return incarnation === undefined ? member : { ...member, incarnation };
  });
}

/**
 * Of a member from the cluster's first days, whom newcomers have never met: should it lose its directory, they must
 * be able to tell it from the one that voted.
 */
function incarnationOf({ id: own, registry, incarnation }: ProbeParts, id: NodeId): string | undefined {
  return id === own ? incarnation : registry.incarnationOf(id);
}

async function probeOne(
  parts: ProbeParts,
  member: Member,
  plan: MembershipPlan,
  signal: AbortSignal | undefined,
): Promise<string> {
  const { clusterId, registry, introduce } = parts;
  const where = `at ${member.peerAddress}`;
  let who: Introduction;
  try {
    who = await introduce(member.peerAddress, PROBE_TIMEOUT_MS, signal);
  } catch (error) {
    if (!CordwoodError.is(error) || error.code !== 'PROTOCOL_ERROR') throw error;
    const message = `node ${member.id} needs its peer address; ${error.message}`;
    throw new CordwoodError('BAD_OPTION', message, { cause: error });
  }
  if (who.clusterId !== clusterId) {
    const message = `the node ${where} belongs to cluster ${who.clusterId}, this is ${clusterId}`;
    const advice = plan.newcomers.includes(member.id) ? `: ${AS_NEWCOMER}` : '';
    throw new CordwoodError('WRONG_CLUSTER', message + advice);
  }
  if (who.nodeId !== member.id) {
    throw new CordwoodError('WRONG_NODE', `node ${who.nodeId} answers ${where}, not node ${member.id}`);
  }
  const objection = registry.objectionTo(member.id, who.incarnation);
  if (objection !== null) throw objection;
  // What it has it may have from a leader of this cluster that was lost before its addition was committed.
  const isKnown = registry.incarnationOf(member.id) === who.incarnation;
  if (plan.newcomers.includes(member.id) && !who.empty && !isKnown) {
    throw new CordwoodError('NOT_EMPTY', `node ${member.id} ${where} has data: ${AS_NEWCOMER}`);
  }
  return who.incarnation;
}
