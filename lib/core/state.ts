import { ConfigStack, type ConfigAt } from './config-stack.ts';
import type { CreatedEntry, ConfirmedRead, Outgoing } from './effects.ts';
import { invariant } from './invariant.ts';
import { LogView, type TermRun } from './log-view.ts';
import type { Progress } from './progress.ts';
import type { Quarantine } from './quarantine.ts';
import { Random } from './random.ts';
import { isVoter } from './quorum.ts';
import type {
  Config,
  HardState,
  Index,
  Message,
  NodeId,
  Role,
  SnapshotMeta,
  Term,
  VoteRequest,
} from './types.ts';

export interface CoreOptions {
  readonly id: NodeId;
  readonly heartbeatMs: number;
  /** Between heartbeats of a leader that has had nothing to say for a while. Default `heartbeatMs`. */
  readonly idleHeartbeatMs?: number;
  /** Election timeouts are drawn from [t, 2t). */
  readonly electionTimeoutMs: number;
  /** First delay before a pre-vote once the leader's process is known to be gone, drawn from [0, t). */
  readonly lostLeaderDelayMs: number;
  readonly maxMessageBytes: number;
  readonly maxInflightMessages: number;
  readonly maxInflightBytes: number;
  /** Size of the record of an entry without a body. */
  readonly emptyEntryBytes: number;
  /** Leader leases: voters keep their promises over restarts (lease.ts). Default false. */
  readonly leases?: boolean;
  /** Seed of the core's dice. */
  readonly seed: number;
}

/** What recovery found. */
export interface CoreInit {
  readonly hardState: HardState;
  /** Newest durable snapshot; commit and apply start behind it. */
  readonly snapshot: SnapshotMeta | null;
  readonly prevIndex: Index;
  readonly prevTerm: Term;
  readonly termRuns: readonly TermRun[];
  readonly lastIndex: Index;
  readonly sizes: ArrayLike<number>;
  readonly configs: readonly ConfigAt[];
  /** In force where neither snapshot nor log has a configuration. */
  readonly bootstrap: Config;
  readonly nowMs: number;
}

export interface PendingRead {
  readonly token: number;
  /** Who asked: this node or a follower. */
  readonly from: NodeId;
  /** Round that confirms it; 0 until one starts. */
  round: number;
  index: Index;
}

/** A message that waits until the write `ticket` is durable. */
export interface GatedMessage extends Outgoing {
  readonly ticket: number;
}

/** A write on its way to the disk. */
export interface PendingPersist {
  readonly ticket: number;
  readonly hardState: HardState | null;
  /** The log on disk starts anew with it. */
  readonly resets: boolean;
  /** Last index that becomes durable with it; lowered when a later overwrite makes part of it void: see `voidFrom`. */
  lastIndex: Index;
}

export interface Transfer {
  readonly target: NodeId;
  readonly deadlineMs: number;
  /** TimeoutNow has left. */
  sent: boolean;
}

/**
 * Everything one core knows. The rules are functions over it, one file each: `election.ts`, `replication.ts`,
 * `commit.ts`, `lease.ts`, `reads.ts`, `transfer.ts`, `snapshot.ts`, `membership.ts`, `quarantine.ts`, `persistence.ts`.
 */
export class CoreState {
  readonly options: CoreOptions;
  readonly id: NodeId;
  readonly random: Random;
  nowMs: number;

  term: Term;
  vote: NodeId;
  role: Role = 'follower';
  leader: NodeId = 0;
  readonly log: LogView;
  readonly configs: ConfigStack;
  commitIndex: Index;

  // elections
  readonly startedMs: number;
  /** Writes of this node take too long: it does not campaign. */
  diskStalled = false;
  electionDeadlineMs = 0;
  /** A stall of this node has put off the deadline in force, of its election or of its quorum. */
  stallExcused = false;
  lastLeaderContactMs: number = -Infinity;
  /** The leader's process is gone for sure: its host refuses connections. */
  leaderLost = false;
  /** Quick campaigns made since the leader was lost. */
  quickAttempts = 0;
  votes: Map<NodeId, boolean> = new Map();
  /** When this node last granted a vote to another, and when it last asked for votes itself. */
  votedAtMs: number = -Infinity;
  campaignedAtMs: number = -Infinity;
  /** Pre-votes asked of this node in the input of this turn. */
  readonly preVotesAsked: { readonly from: NodeId; readonly request: VoteRequest }[] = [];
  /** The campaign under way was ordered by the leader. */
  campaignByTransfer = false;

  // follower
  /** Up to here the log is known to be that of this term's leader: acks and the commit index go no further. */
  verifiedIndex: Index = 0;
  lastAckedMatch: Index = 0;
  ackDue = false;
  installing: SnapshotMeta | null = null;
  /** Tokens of our own reads that wait for an answer of the leader. */
  readonly askedReads: Set<number> = new Set();
  /** The log is not what this node once acknowledged. */
  quarantine: Quarantine | null = null;
  /** The leader has noticed that this node lost an acknowledged entry: its index, for the driver. */
  lossNoticed: Index = 0;

  // leader
  readonly progress: Map<NodeId, Progress> = new Map();
  /** Heartbeats sent up to then count for no lease. */
  leaseFloorMs: number = -Infinity;
  /** This leader has told another to campaign: no lease any more in this term. */
  leaseVoid = false;
  heartbeatDeadlineMs: number = Infinity;
  /** Last index when all members had all entries at a round of heartbeats; 0: they had not. */
  quietIndex: Index = 0;
  quorumDeadlineMs: number = Infinity;
  /** Index of the no-op that opened this leader's term. */
  termStartIndex: Index = 0;
  transfer: Transfer | null = null;
  reads: PendingRead[] = [];
  readRound = 0;
  confirmedRound = 0;

  // persistence
  hardStateDirty = false;
  /** First entry appended since the last drain; 0: none. */
  unwrittenFirst: Index = 0;
  resetTo: SnapshotMeta | null = null;
  nextTicket = 1;
  readonly pendingPersists: PendingPersist[] = [];
  durableTerm: Term;
  durableVote: NodeId;
  durableIndex: Index;

  // outputs of the current turn
  outbox: Outgoing[] = [];
  readonly gated: GatedMessage[] = [];
  readonly created: CreatedEntry[] = [];
  readonly confirmedReads: ConfirmedRead[] = [];
  readonly failedReads: number[] = [];
  readonly snapshotsWanted: NodeId[] = [];

  constructor(options: CoreOptions, init: CoreInit) {
    this.options = options;
    this.id = options.id;
    this.random = new Random(options.seed);
    this.nowMs = init.nowMs;
    this.startedMs = init.nowMs;
    this.term = this.durableTerm = init.hardState.term;
    this.vote = this.durableVote = init.hardState.vote;
    this.log = new LogView(init.prevIndex, init.prevTerm);
    let run = 0;
    for (let index = init.prevIndex + 1, i = 0; index <= init.lastIndex; index++, i++) {
      while (run + 1 < init.termRuns.length && init.termRuns[run + 1]!.first <= index) run++;
      this.log.append(init.termRuns[run]!.term, init.sizes[i]!);
    }
    const snapshot = init.snapshot;
    const base: ConfigAt = snapshot
      ? { index: snapshot.configIndex, config: snapshot.config }
      : { index: 0, config: init.bootstrap };
    this.configs = new ConfigStack(
      base,
      init.configs.filter((c) => c.index > base.index),
    );
    this.commitIndex = snapshot?.index ?? init.prevIndex;
    invariant(
      this.commitIndex >= init.prevIndex && this.commitIndex <= this.log.lastIndex,
      'COMMIT_BEYOND_LOG',
      'snapshot at %, log %…%',
      this.commitIndex,
      init.prevIndex + 1,
      this.log.lastIndex,
    );
    // A snapshot does not go through the log's lane: it can be durable before the term in which it came. Nothing was
    // said in a term that is not durable, so entering it without a vote is safe.
    if (snapshot && snapshot.term > this.term) {
      this.term = snapshot.term;
      this.vote = 0;
      this.hardStateDirty = true;
    }
    invariant(
      this.term >= this.log.lastTerm,
      'TERM_REGRESSED',
      'term %, log at %',
      this.term,
      this.log.lastTerm,
    );
    this.durableIndex = this.log.lastIndex;
  }

  get config(): Config {
    return this.configs.current;
  }

  get isVoter(): boolean {
    return isVoter(this.config, this.id);
  }

  send(to: NodeId, message: Message): void {
    this.outbox.push({ to, message });
  }

  /** Term and vote as decided are what the disk holds. */
  get hardStateDurable(): boolean {
    return !this.hardStateDirty && this.durableTerm === this.term && this.durableVote === this.vote;
  }
}
