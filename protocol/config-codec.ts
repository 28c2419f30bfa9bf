import type { Config, Member, NodeId } from '../lib/core/types.ts';
import { CordwoodError } from './errors.ts';
import { decodeValue, encodeValue } from './msgpack.ts';

/** More members than this are taken for damage. */
const MAX_MEMBERS = 1024;
const MAX_ADDRESS_LENGTH = 1024;
const MAX_INCARNATION_LENGTH = 128;
/** Ids that were members once; removing more than this takes somebody who means harm. */
const MAX_RETIRED = 65_536;

/**
 * A configuration as it lies in config entries and snapshots: a msgpack array
 * `[voters, outgoing, learners, learnersNext, [[id, peerAddress, incarnation?], …], retired?]`.
 */
export function encodeConfig(config: Config): Uint8Array {
  const members = config.members.map(({ id, peerAddress, incarnation }) =>
    incarnation === undefined ? [id, peerAddress] : [id, peerAddress, incarnation],
  );
  const parts: unknown[] = [config.voters, config.outgoing, config.learners, config.learnersNext, members];
  if (config.retired !== undefined) parts.push(config.retired);
  return encodeValue(parts);
}

/**
 * The configuration in exactly `bytes[start, end)`.
 *
 * @throws CordwoodError `PROTOCOL_ERROR` for anything `encodeConfig` would not have written.
 */
export function decodeConfig(bytes: Uint8Array, start = 0, end: number = bytes.length): Config {
  const parts = decodeValue(bytes, start, end);
  if (!Array.isArray(parts) || parts.length < 5 || parts.length > 6) throw bad('not an array of five or six');
  const [voters, outgoing, learners, learnersNext, members, retired] = parts as unknown[];
  return {
    voters: idsOf(voters, 'voters'),
    outgoing: idsOf(outgoing, 'outgoing'),
    learners: idsOf(learners, 'learners'),
    learnersNext: idsOf(learnersNext, 'learnersNext'),
    members: membersOf(members),
    ...(parts.length === 5 ? {} : { retired: idsOf(retired, 'retired', MAX_RETIRED) }),
  };
}

function idsOf(value: unknown, what: string, max: number = MAX_MEMBERS): NodeId[] {
  if (!Array.isArray(value) || value.length > max) throw bad(`${what} is no list`);
  const ids = value.map((id) => idOf(id, what));
  if (new Set(ids).size !== ids.length) throw bad(`${what} names a node twice`);
  return ids;
}

function membersOf(value: unknown): Member[] {
  if (!Array.isArray(value) || value.length > MAX_MEMBERS) throw bad('members is no list');
  const members = (value as unknown[]).map((pair): Member => {
    if (!Array.isArray(pair) || pair.length < 2 || pair.length > 3)
      throw bad('a member is no pair or triple');
    const address: unknown = pair[1];
    if (typeof address !== 'string' || address.length > MAX_ADDRESS_LENGTH)
      throw bad('a member has no address');
    const id = idOf(pair[0], 'members');
    if (pair.length === 2) return { id, peerAddress: address };
    const incarnation: unknown = pair[2];
    if (typeof incarnation !== 'string' || incarnation.length > MAX_INCARNATION_LENGTH)
      throw bad('a member has no incarnation');
    return { id, peerAddress: address, incarnation };
  });
  if (new Set(members.map((member) => member.id)).size !== members.length)
    throw bad('members names a node twice');
  return members;
}

function idOf(value: unknown, what: string): NodeId {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1)
    throw bad(`${what} holds no node id`);
  return value;
}

function bad(reason: string): CordwoodError {
  return new CordwoodError('PROTOCOL_ERROR', `configuration: ${reason}`);
}
