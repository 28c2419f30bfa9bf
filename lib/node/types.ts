import type { ErrorCode } from '../../protocol/errors.ts';
import type { Config, Index, NodeId, Role, Term } from '../core/types.ts';
import type { RecoveryProgress } from '../log/recovery-progress.ts';
import type { StateMachine } from '../machine/state-machine.ts';
import type { Backup, BackupOptions } from './backup.ts';
import type { NodeMetrics } from './metrics.ts';
import type { Runtime } from './runtime.ts';
import type { Sink } from './sink.ts';

/**
 * A subset of pino's interface: pass a pino logger, or anything of this shape. Silent by default. What it throws stops
 * nothing here: it is reported as uncaught.
 */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface NodeOptions {
  /** This node's number: its place in `cluster`, counted from 1. */
  readonly id: NodeId;
  /**
   * Peer addresses (`host:port`, a scheme is ignored); the Nth belongs to node N. The same list on every node and at every
   * start, or the start fails with `WRONG_CLUSTER`, until the members have been changed: from then on the configuration
   * in the log counts, and only this node's own address is read here.
   */
  readonly cluster: readonly string[];
  /** Created if missing. One process at a time. */
  readonly dataDir: string;
  /** What is replicated. It holds the state: a new one for each start. */
  readonly machine: StateMachine;
  /** `host:port` where clients reach this node, told to peers and to clients looking for the leader. */
  readonly clientAddress?: string;
  /** Address to listen on for peers, where it differs from the one in `cluster`. */
  readonly peerListen?: string;
  /** Separates clusters that happen to use the same addresses. */
  readonly clusterName?: string;
  /**
   * Join a running cluster: with a new directory the node asks the other addresses in `cluster` which cluster it is,
   * starts empty, without a vote, and waits to be added (`cordwood member add`). No effect on a directory that exists.
   * `cluster` then names some members and this node's own address: the Nth if `id` is a place in it, otherwise the
   * last.
   */
  readonly join?: boolean;
  /** How long a joining node waits for a member to answer. Default 60,000. */
  readonly joinTimeoutMs?: number;
  /** Ends that wait; the start then fails with `ABORTED`. */
  readonly joinSignal?: AbortSignal;
  /**
   * Among voters that are caught up, the one with the highest priority should lead: others hand leadership over to it.
   * A whole number from 0 to 1,000,000. Default 0.
   */
  readonly priority?: number;
  /**
   * Serve `lease` reads without asking a quorum. Set it on all nodes or on none (docs/operations.md, "Reads", says how to
   * switch it): followers that acknowledge a heartbeat then vote for nobody else for an election timeout, not even after
   * a restart or if the leader's process is gone, so a failed leader is replaced after a timeout and not within
   * milliseconds. Default false.
   */
  readonly leaseReads?: boolean;
  /** Default 100. A leader with nothing to say sends one every seven tenths of `electionTimeoutMs`, if that is longer. */
  readonly heartbeatMs?: number;
  /**
   * Base of the randomised election timeout [t, 2t). Default 1000. With `leaseReads` a node must have been down for the old
   * one before it starts with a shorter one.
   */
  readonly electionTimeoutMs?: number;
  /** A batch is sealed at this size at the latest. Default 1 MiB, at most 8 MiB. */
  readonly maxBatchBytes?: number;
  /** Commands taken in and not yet committed; beyond it the node is `saturated`. Default 32 MiB. */
  readonly maxUncommittedBytes?: number;
  /**
   * Log bytes after which a snapshot is due (or twice the size of the last one, if that is more). Each node adds up
   * to half as much again, so that they do not all write at once. Default 256 MiB.
   */
  readonly snapshotLogBytes?: number;
  /**
   * Room on the disk that the log makes ready while it rests, so that it overwrites instead of growing under load: a
   * fifth more throughput with many calls under way. Once the log has been compacted it writes over its own files
   * anyway. Default, and the least: 1 MiB, and the file that comes next (4 to 64 MiB) once the current one is half full.
   */
  readonly logAheadBytes?: number;
  /** With less free on the disk, no writes are taken (`DISK_FULL`). Default: a tenth of it, at most 256 MiB. */
  readonly minFreeBytes?: number;
  /** Told now and then while the node reads its directory, which takes a while if there is much in it. */
  readonly onProgress?: (progress: RecoveryProgress) => void;
  readonly logger?: Logger;
  /** For tests and the simulator. */
  readonly runtime?: Runtime;
}

export interface PeerStatus {
  readonly id: NodeId;
  readonly peerAddress: string;
  readonly clientAddress: string | null;
  readonly connected: boolean;
  /** On the leader only: highest index known to be durable there. */
  readonly match: Index | null;
  readonly voter: boolean;
}

export interface NodeStatus {
  readonly id: NodeId;
  readonly clusterId: string;
  readonly role: Role;
  readonly term: Term;
  readonly leader: NodeId | null;
  /** Client address of the leader, where known. */
  readonly leaderAddress: string | null;
  readonly clientAddress: string;
  readonly lastIndex: Index;
  readonly commitIndex: Index;
  readonly appliedIndex: Index;
  readonly durableIndex: Index;
  readonly firstIndex: Index;
  readonly snapshotIndex: Index;
  readonly logBytes: number;
  readonly sessions: number;
  readonly config: Config;
  readonly peers: readonly PeerStatus[];
  readonly machine: string;
  readonly version: string;
  readonly uptimeMs: number;
  /** Set while the node may neither vote nor serve: its log is damaged, its place was taken, or it was removed. */
  readonly quarantine: string | null;
  /** Of that, for programs: `LOG_DAMAGED`, `INCARNATION_CHANGED`, `NODE_REMOVED`. */
  readonly quarantineCode: ErrorCode | null;
  /** Room on the disk of the data directory in bytes; 0 while it is not known. */
  readonly diskFreeBytes: number;
  /** So little that this node takes no writes and had better not lead. */
  readonly diskLow: boolean;
  /** So little that as a follower it takes no more entries: what is asked of it may wait until there is room. */
  readonly diskFull: boolean;
}

/**
 * What the front door and in-process clients need of a node. `RaftNode` implements it; tests may stand in.
 */
export interface Requests {
  /**
   * Takes a run of whole write frames, `bytes[start, end)`, already checked by `Intake`. The bytes are copied
   * before the call returns. Each frame is answered with one response frame through `sink`, in any order among
   * different runs, in order within one.
   */
  submit(bytes: Uint8Array, start: number, end: number, sink: Sink): void;
  /** Takes one whole query frame; copied before the call returns; answered through `sink`. */
  query(bytes: Uint8Array, start: number, end: number, sink: Sink): void;
  /** The sink is gone: its outstanding answers are dropped. What was submitted may still be applied. */
  detach(sink: Sink): void;
  /** Too much is in flight: read no more requests until `onRoom` calls. */
  readonly saturated: boolean;
  /** Calls `callback` once, when there is room again (at once if there is). What it throws later is reported as uncaught. */
  onRoom(callback: () => void): void;
  /** Calls `listener` whenever the leader changes (also with null). Returns the way to stop it. */
  onLeader(listener: (leader: LeaderInfo | null) => void): () => void;
  readonly leader: LeaderInfo | null;
  status(): NodeStatus;
  /** See `RaftNode.metrics`. Absent: nothing is counted here. */
  metrics?(): NodeMetrics;
  /** See `RaftNode.backup`. Absent: there is nothing to back up here. */
  backup?(options: BackupOptions): Promise<Backup>;
  /** Resolves when this takes no requests any more, for whatever reason. Absent: it never ends by itself. */
  readonly closed?: Promise<void>;
  readonly clusterId: string;
  readonly id: NodeId;
  readonly maxFrameBytes: number;
}

export interface MemberView {
  readonly id: NodeId;
  readonly kind: 'voter' | 'learner';
  readonly peerAddress: string;
  /** As the member has announced it; null: not heard of yet. */
  readonly clientAddress: string | null;
  /** Its data directory, where the configuration names it. */
  readonly incarnation: string | null;
  readonly leader: boolean;
  /** Whether it answers, as the asked node sees it. */
  readonly live: boolean;
  /** Asked of the leader: highest index that is durable there. */
  readonly match: Index | null;
}

/** The configuration in force at the asked node. */
export interface MembersView {
  readonly clusterId: string;
  readonly leader: NodeId | null;
  /** For `expectedConfigIndex`. */
  readonly configIndex: Index;
  /** A change is under way. */
  readonly changing: boolean;
  readonly members: readonly MemberView[];
  /** Ids that were members once. */
  readonly retired: readonly NodeId[];
}

export interface LeaderInfo {
  readonly id: NodeId;
  /** Client address, empty if not known (yet). */
  readonly address: string;
}
