import { formatAddress, parseAddress } from '../../protocol/address.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { isWellFormed } from '../../protocol/msgpack.ts';
import { majority } from '../core/quorum.ts';
import type { Config, Index, Member, NodeId } from '../core/types.ts';
import { checkOptions, required, type Rule, type Rules } from './check-options.ts';

/** Who shall be a member. */
export interface MembershipTarget {
  readonly voters: readonly NodeId[];
  /** Get the log and have no vote. Default: none. */
  readonly learners?: readonly NodeId[];
  /** Addresses of nodes that are no members yet, or that have moved. */
  readonly members?: readonly Member[];
}

/** What a change will do, worked out before anything is done. */
export interface MembershipPlan {
  /** The configuration it starts from. */
  readonly configIndex: Index;
  readonly voters: readonly NodeId[];
  readonly learners: readonly NodeId[];
  /** Members of the target, with their addresses. */
  readonly members: readonly Member[];
  /** Nodes to be asked who they are: new ones, and members that have moved. */
  readonly probe: readonly Member[];
  /** New nodes: first added as learners. */
  readonly newcomers: readonly NodeId[];
  /** Nodes that get a vote and must have caught up before. */
  readonly promoted: readonly NodeId[];
  /** False: the members are as wanted already. */
  readonly changes: boolean;
  /** The steps, for people. */
  readonly steps: readonly string[];
  /** What the caller should know before it goes on. */
  readonly warnings: readonly string[];
}

const MAX_MEMBERS = 63;
/** As in what nodes say of themselves. A longer one followers refuse to read: the log would stop where it stands. */
const MAX_ADDRESS_LENGTH = 512;

const ids: Rule = { form: 'an array of node ids', fits: Array.isArray };
const members: Rule = {
  form: 'an array of { id, peerAddress }',
  fits: (value) =>
    Array.isArray(value) && value.every((m: Partial<Member> | null) => typeof m?.peerAddress === 'string'),
};
const RULES: Rules<MembershipTarget> = { voters: required(ids), learners: ids, members };

/**
 * Refuses what is no target at all: passed over, a `learner` in place of `learners` would remove them for good.
 *
 * @throws CordwoodError `BAD_OPTION`
 */
export function checkTarget(target: MembershipTarget): void {
  checkOptions(target, RULES);
}

/**
 * Works out how to get from `config` to `target`.
 *
 * @throws CordwoodError `BAD_OPTION`, `ID_RETIRED`
 */
export function planMembership(config: Config, configIndex: Index, target: MembershipTarget): MembershipPlan {
  const voters = idsOf(target.voters, 'voters');
  const learners = idsOf(target.learners ?? [], 'learners');
  if (voters.length === 0) throw bad('voters: a cluster without a voter cannot decide anything');
  if (voters.length + learners.length > MAX_MEMBERS)
    throw bad(`a cluster has at most ${MAX_MEMBERS} members`);
  const both = voters.find((id) => learners.includes(id));
  if (both !== undefined) throw bad(`node ${both} cannot be voter and learner at once`);
  const wanted = [...voters, ...learners];
  for (const id of wanted) {
    if (config.retired?.includes(id) !== true) continue;
    throw new CordwoodError('ID_RETIRED', `node ${id} was removed once: its number is not given out again`);
  }

  const old = new Map(config.members.map((member) => [member.id, member]));
  const members = addressesOf(wanted, old, target.members ?? []);
  const newcomers = wanted.filter((id) => !old.has(id));
  const moved = members.filter((m) => old.has(m.id) && old.get(m.id)!.peerAddress !== m.peerAddress);
  const promoted = voters.filter((id) => !config.voters.includes(id));
  const changes =
    newcomers.length > 0 ||
    moved.length > 0 ||
    !sameIds(voters, config.voters) ||
    !sameIds(learners, config.learners);
  const plan = {
    configIndex,
    voters,
    learners,
    members,
    probe: members.filter((m) => newcomers.includes(m.id) || moved.includes(m)),
    newcomers,
    promoted,
    changes,
  };
  return {
    ...plan,
    steps: changes ? stepsOf(plan, config) : [],
    warnings: changes ? warningsOf(voters, config) : [],
  };
}

/**
 * Refuses a plan that leaves fewer voters that can be counted on than a majority.
 *
 * @throws CordwoodError `WOULD_LOSE_QUORUM`
 */
export function checkQuorum(plan: MembershipPlan, canVote: (id: NodeId) => boolean): void {
  const dead = plan.voters.filter((id) => !canVote(id));
  const needed = majority(plan.voters.length);
  if (plan.voters.length - dead.length >= needed) return;
  throw new CordwoodError(
    'WOULD_LOSE_QUORUM',
    `of the ${plan.voters.length} voters ${needed} must be alive and whole, and ${named(dead)} cannot be reached, or ` +
      `${dead.length === 1 ? 'is' : 'are'} in quarantine: nothing could be decided any more`,
  );
}

/**
 * Refuses a plan after which the disks of too many voters are nearly full for a write to be taken, if that is not so before
 * it.
 *
 * @throws CordwoodError `WOULD_LOSE_QUORUM`
 */
export function checkRoom(plan: MembershipPlan, config: Config, hasRoom: (id: NodeId) => boolean): void {
  const isEnough = (voters: readonly NodeId[]): boolean =>
    voters.filter(hasRoom).length >= majority(voters.length);
  if (isEnough(plan.voters) || !isEnough(config.voters)) return;
  const full = plan.voters.filter((id) => !hasRoom(id));
  const disks = `the disk${full.length === 1 ? '' : 's'} of ${named(full)} ${full.length === 1 ? 'is' : 'are'}`;
  throw new CordwoodError(
    'WOULD_LOSE_QUORUM',
    `of the ${plan.voters.length} voters ${majority(plan.voters.length)} must have room, and ${disks} nearly full: no ` +
      'write would be taken any more',
  );
}

function addressesOf(
  wanted: readonly NodeId[],
  old: ReadonlyMap<NodeId, Member>,
  given: readonly Member[],
): Member[] {
  const addresses = new Map(given.map((member) => [member.id, normal(member.peerAddress)]));
  const members = wanted.map((id): Member => {
    const before = old.get(id);
    const address = addresses.get(id) ?? before?.peerAddress;
    if (address === undefined) throw bad(`node ${id} is no member yet: its peer address is needed`);
    return before === undefined ? { id, peerAddress: address } : { ...before, peerAddress: address };
  });
  for (const [i, member] of members.entries()) {
    const other = members.findIndex(({ peerAddress }) => peerAddress === member.peerAddress);
    if (other !== i) throw bad(`nodes ${members[other]!.id} and ${member.id} have the same address`);
  }
  return members;
}

function normal(address: string): string {
  // What has no form in UTF-8 could not even be written into the log.
  if (address.length > MAX_ADDRESS_LENGTH || !isWellFormed(address))
    throw bad(`an address is Unicode text of at most ${MAX_ADDRESS_LENGTH} characters`);
  try {
    const { host, port } = parseAddress(address);
    return formatAddress(host, port);
  } catch (cause) {
    throw bad((cause as Error).message);
  }
}

function stepsOf(plan: Omit<MembershipPlan, 'steps' | 'warnings'>, config: Config): string[] {
  const { probe, newcomers, promoted, voters, learners } = plan;
  const steps = probe.map(({ id, peerAddress }) => `ask node ${id} at ${peerAddress} who it is`);
  for (const { id, peerAddress } of probe)
    if (!newcomers.includes(id)) steps.push(`note that node ${id} is at ${peerAddress} from now on`);
  if (newcomers.length > 0)
    steps.push(`add ${named(newcomers)} as learner${newcomers.length > 1 ? 's' : ''}`);
  if (promoted.length > 0) steps.push(`wait until ${named(promoted)} caught up`);
  if (!sameIds(voters, config.voters)) {
    steps.push(`change the voters from ${list(config.voters)} to ${list(voters)}, by joint consensus`);
  }
  const gone = config.members.filter(({ id }) => !voters.includes(id) && !learners.includes(id));
  if (gone.length > 0) steps.push(`remove ${named(gone.map(({ id }) => id))} for good`);
  steps.push('verify that the new configuration is committed');
  return steps;
}

function warningsOf(voters: readonly NodeId[], config: Config): string[] {
  const warnings: string[] = [];
  const survives = voters.length - majority(voters.length);
  if (survives === 0 && config.voters.length > voters.length) {
    const many = voters.length === 1 ? 'one voter' : `${voters.length} voters`;
    warnings.push(`a cluster of ${many} does not survive the loss of any`);
  } else if (voters.length % 2 === 0) {
    warnings.push(
      `${voters.length} voters survive the loss of ${survives}, no more than ${voters.length - 1} would`,
    );
  }
  return warnings;
}

function idsOf(ids: readonly NodeId[], what: string): NodeId[] {
  if (!ids.every((id) => Number.isSafeInteger(id) && id >= 1))
    throw bad(`${what}: ids are positive integers`);
  if (new Set(ids).size !== ids.length) throw bad(`${what} names a node twice`);
  return [...ids].sort((a, b) => a - b);
}

function sameIds(a: readonly NodeId[], b: readonly NodeId[]): boolean {
  return a.length === b.length && a.every((id) => b.includes(id));
}

function list(ids: readonly NodeId[]): string {
  return ids.join(', ');
}

function named(ids: readonly NodeId[]): string {
  return ids.length === 1 ? `node ${ids[0]!}` : `nodes ${list(ids)}`;
}

function bad(message: string): CordwoodError {
  return new CordwoodError('BAD_OPTION', message);
}
