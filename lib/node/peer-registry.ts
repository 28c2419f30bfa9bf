import { isMember } from '../core/quorum.ts';
import type { Config, Index, Member, NodeId } from '../core/types.ts';
import { CordwoodError, type ErrorCode } from '../../protocol/errors.ts';
import type { PeerIntroduction, Refusal } from '../../protocol/peer-handshake.ts';
import type { Runtime } from './runtime.ts';
import type { Logger } from './types.ts';

/** Which data directory a node has met under each id; survives restarts. */
export interface PeerMemory {
  /** What is wrong with it: who was met before is forgotten. Null or absent: nothing. */
  readonly damage?: string | null;
  /** Everyone met, by id. */
  readonly known: readonly (readonly [id: NodeId, incarnation: string])[];
  incarnationOf(id: NodeId): string | undefined;
  /** Durable when it returns; throws if the disk does. */
  remember(id: NodeId, incarnation: string): void;
}

/** What peers say of themselves and the node goes by. */
export interface PeerFacts {
  readonly leaseMs: number;
  readonly priority: number;
}

export interface RegistryOptions {
  readonly id: NodeId;
  readonly memory: PeerMemory;
  readonly logger: Logger;
  readonly runtime: Runtime;
  /**
   * The node started with an empty log, and the members have not agreed on its directory since: if anyone knows its
   * number by another one, it has forgotten something.
   */
  readonly isFresh: () => boolean;
  /** How long a member that was removed is still talked to, so that it learns of it. */
  readonly graceMs: number;
  /** Whether the configuration in force is known to be committed. */
  readonly isCommitted: () => boolean;
  /** Peers have made clear that this node must not take part. */
  readonly onBarred: () => void;
}

/** No configuration has more members than this: whoever comes beyond is none of a newer one. */
const MAX_GUESTS = 64;

/** A peer that is no member of the configuration here, but may be of the one that counts. */
interface Guest {
  readonly member: Member;
  readonly configIndex: Index;
}

/** Why this node must not take part any more. */
export interface Barred {
  readonly code: ErrorCode;
  readonly message: string;
}

/**
 * Who this node talks to: the members of the configuration in force, those just removed for a little longer, and
 * members of configurations that have not arrived yet. And who it does not talk to: whoever comes with another data
 * directory than the one it is known by.
 *
 * Why: a node that lost its directory has forgotten votes and entries that others counted. Two voters, one of which
 * has forgotten, are a majority of three that may elect a leader without what was committed.
 */
export class PeerRegistry {
  readonly #options: RegistryOptions;
  readonly #facts = new Map<NodeId, PeerFacts>();
  readonly #guests = new Map<NodeId, Guest>();
  readonly #leaving = new Map<NodeId, Member>();
  #config: Config;
  #configIndex: Index;
  #connect: (members: readonly Member[]) => void = () => undefined;
  #barred: Barred | null = null;

  constructor(options: RegistryOptions, config: Config, configIndex: Index) {
    this.#options = options;
    this.#config = config;
    this.#configIndex = configIndex;
  }

  /** Begins to connect; `connect` is told whenever the peers change. */
  open(connect: (members: readonly Member[]) => void): void {
    this.#connect = connect;
    this.#update();
  }

  get configIndex(): Index {
    return this.#configIndex;
  }

  /** Set once peers have made clear that this node must not take part. */
  get barred(): Barred | null {
    return this.#barred;
  }

  /** The data directory this node has met under `id`; undefined if it has met none. */
  incarnationOf(id: NodeId): string | undefined {
    return this.#options.memory.incarnationOf(id);
  }

  factsOf(id: NodeId): PeerFacts | undefined {
    return this.#facts.get(id);
  }

  /** The configuration in force has changed (also back, when its entry was replaced). */
  follow(config: Config, configIndex: Index): void {
    for (const member of this.#config.members) {
      if (!config.members.some(({ id }) => id === member.id)) this.#letGo(member);
    }
    this.#config = config;
    this.#configIndex = configIndex;
    for (const [id, guest] of this.#guests) if (guest.configIndex <= configIndex) this.#guests.delete(id);
    for (const { id } of config.members) this.#leaving.delete(id);
    this.#update();
  }

  /** Whether to talk to a peer that introduced itself. Whom this lets pass is connected when it returns. */
  judge(other: PeerIntroduction): Refusal | null {
    if (this.#barred !== null) {
      // Not with its own reason for a code: whoever hears that takes it for its own.
      return { code: 'UNKNOWN_PEER', message: `node ${this.#options.id} takes no part any more` };
    }
    const refusal = this.#judgeIncarnation(other) ?? this.#judgeMembership(other);
    if (refusal !== null) return refusal;
    try {
      if (this.#options.memory.incarnationOf(other.from) === undefined) {
        this.#options.memory.remember(other.from, other.incarnation);
      }
    } catch (cause) {
      // Whom it cannot remember it cannot recognise: not before the disk works.
      this.#options.logger.error({ err: cause, peer: other.from }, 'cannot note down who a peer is');
      return {
        code: 'DISK_FULL',
        message: `node ${this.#options.id} cannot note down who node ${other.from} is`,
      };
    }
    this.#facts.set(other.from, { leaseMs: other.leaseMs ?? 0, priority: other.priority ?? 0 });
    return null;
  }

  /** A peer has refused this node. Some reasons mean that it must keep quiet for good. */
  turnedAway(peer: NodeId, code: string, message: string): void {
    if (code === 'INCARNATION_CHANGED') {
      const advice =
        `node ${peer} knows node ${this.#options.id} by another data directory: this one has forgotten what the ` +
        'other promised. Start the node with its old directory; if that is lost, remove the member ' +
        '(cordwood member remove) and add this machine under a number never used before, with --join and an empty ' +
        `directory. (${message})`;
      // Others may not have met the old directory, and would take this one's vote. But one mistaken peer must not
      // silence a node that the cluster has worked with.
      if (this.#options.isFresh()) this.bar({ code, message: advice });
      else this.#options.logger.error({ peer, code }, advice);
    } else if (code === 'NODE_REMOVED') {
      this.bar({ code, message: removedMessage(this.#options.id) });
    } else {
      this.#options.logger.warn({ peer, code }, `node ${peer} refuses this node: ${message}`);
    }
  }

  /**
   * Ends all connections: no votes, no appends, no campaigns reach anyone. Nor does the node go on by itself, as one
   * would that takes itself for the whole cluster. Said once.
   */
  bar(barred: Barred): void {
    if (this.#barred !== null) return;
    this.#barred = barred;
    this.#options.onBarred();
    this.#options.logger.error({ code: barred.code }, barred.message);
    this.#update();
  }

  /** Why a node must not be added under `id` with this incarnation; null if nothing is known against it. */
  objectionTo(id: NodeId, incarnation: string): CordwoodError | null {
    if (this.#config.retired?.includes(id) === true) {
      return new CordwoodError(
        'ID_RETIRED',
        `node ${id} was removed once: its number is not given out again`,
      );
    }
    const known = this.#knownIncarnation(id);
    if (known === undefined || known === incarnation) return null;
    return new CordwoodError(
      'INCARNATION_CHANGED',
      `node ${id} is known by another data directory (${known})`,
    );
  }

  #judgeIncarnation(other: PeerIntroduction): Refusal | null {
    const known = this.#knownIncarnation(other.from);
    if (known === undefined || known === other.incarnation) return null;
    return {
      code: 'INCARNATION_CHANGED',
      message:
        `node ${other.from} comes with the data directory ${other.incarnation}, but is known by ${known}: it gets no ` +
        'votes and no entries. Start it with its old directory, or remove it and add it under another number',
    };
  }

  #judgeMembership(other: PeerIntroduction): Refusal | null {
    const { from, peerAddress, configIndex = 0 } = other;
    if (this.#config.members.some(({ id }) => id === from)) return null;
    if (this.#isRemoved(from)) {
      return { code: 'NODE_REMOVED', message: `node ${from} was removed from the cluster` };
    }
    const hasRoom = this.#guests.has(from) || this.#guests.size < MAX_GUESTS;
    if (this.#mayBeMember(from, configIndex) && peerAddress !== undefined && hasRoom) {
      this.#guests.set(from, { member: { id: from, peerAddress }, configIndex });
      this.#update();
      return null;
    }
    return { code: 'UNKNOWN_PEER', message: `node ${from} is not a member of this cluster` };
  }

  /**
   * Whether another configuration than the one here may have `id` as a member: a newer one, or any while this one is
   * uncommitted. Counter-example with indexes alone: 1 leads {1, 2, 3} and is cut off with a long tail of entries, the last of
   * them a configuration. The others replace 3 by 4, at a lower index. 4 leads, 2 dies: 1 would refuse the only node that
   * can tell it that its configuration is void, and 4 needs its vote.
   */
  #mayBeMember(id: NodeId, configIndex: Index): boolean {
    if (configIndex > this.#configIndex) return true;
    return !this.#options.isCommitted() && this.#config.retired?.includes(id) !== true;
  }

  /** The configuration's word counts more: a leader has looked before it wrote that down. */
  #knownIncarnation(id: NodeId): string | undefined {
    const member = this.#config.members.find((m) => m.id === id);
    return member?.incarnation ?? this.#options.memory.incarnationOf(id);
  }

  /** Keeps the connection to a removed member for a moment. It is best effort: nobody depends on it. */
  #letGo(member: Member): void {
    this.#leaving.set(member.id, member);
    this.#options.runtime.timer(this.#options.graceMs, () => {
      if (this.#leaving.get(member.id) !== member) return;
      this.#leaving.delete(member.id);
      if (member.id === this.#options.id) this.#noticeRemoval();
      this.#update();
    });
  }

  /**
   * Whether `id` was removed, and nobody needs it any more. That it will be is certain before that: but until it is
   * committed, those who have not heard of it may need its vote, and it may be the only one that can tell them.
   */
  #isRemoved(id: NodeId): boolean {
    return this.#config.retired?.includes(id) === true && this.#options.isCommitted();
  }

  /** Should it not be settled yet, the others say so when the node comes back to them after it is. */
  #noticeRemoval(): void {
    const { id } = this.#options;
    if (isMember(this.#config, id) || !this.#isRemoved(id)) return;
    this.bar({ code: 'NODE_REMOVED', message: removedMessage(id) });
  }

  #update(): void {
    const wanted = new Map<NodeId, Member>();
    if (this.#barred === null) {
      for (const [id, member] of this.#leaving) wanted.set(id, member);
      for (const [id, { member }] of this.#guests) wanted.set(id, member);
      for (const member of this.#config.members) wanted.set(member.id, member);
      wanted.delete(this.#options.id);
    }
    this.#connect([...wanted.values()]);
  }
}

function removedMessage(id: NodeId): string {
  return (
    `node ${id} was removed from the cluster and takes no part any more. Stop it; to use the machine again, start it ` +
    'with an empty directory, a number never used before, and --join'
  );
}
