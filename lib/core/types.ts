/**
 * The vocabulary of the core: what it is told, what it answers, and the messages between cores.
 *
 * Indexes, terms and node ids are plain numbers. They are safe integers (below 2^53); decoders refuse anything
 * larger, so the core never meets a value that would lose precision.
 */

/** A node's number in its cluster: a positive integer, never reused for another data directory. */
export type NodeId = number;
/** A Raft term. 0 means "no term yet". */
export type Term = number;
/** A position in the replicated log. The first entry has index 1; 0 stands before it. */
export type Index = number;

/** What an entry carries. The core looks inside `config` entries only. */
export const EntryKind = {
  /** Appended by a new leader; commits everything before it (dissertation 3.6.2, 6.4). */
  noop: 0,
  /** A batch of client commands: opaque bytes. */
  batch: 1,
  /** A membership configuration. */
  config: 2,
} as const;
export type EntryKind = (typeof EntryKind)[keyof typeof EntryKind];

/** Where a member is reached. Opaque to the core. */
export interface Member {
  readonly id: NodeId;
  /** `host:port` of the peer listener. */
  readonly peerAddress: string;
  /**
   * Its data directory, once known. Every replica refuses another directory under the same id, also replicas that
   * have never met the first one.
   */
  readonly incarnation?: string;
}

/**
 * A membership configuration. With a non-empty `outgoing` it is joint: every decision needs a majority of
 * `voters` and a majority of `outgoing` (dissertation 4.3).
 */
export interface Config {
  readonly voters: readonly NodeId[];
  readonly outgoing: readonly NodeId[];
  readonly learners: readonly NodeId[];
  /** Voters of `outgoing` that become learners when the joint configuration is left. */
  readonly learnersNext: readonly NodeId[];
  /** Addresses of every node named above. */
  readonly members: readonly Member[];
  /** Ids that were members once: never given to another node again. Absent: none. */
  readonly retired?: readonly NodeId[];
}

/** What the core knows of one entry: never its bytes. */
export interface EntryMeta {
  readonly term: Term;
  readonly kind: EntryKind;
  /** Size in bytes as it travels and is stored (record header, body and padding): the unit of flow control. */
  readonly sizeBytes: number;
  /** Present exactly for `EntryKind.config`. */
  readonly config?: Config;
}

export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader';

export interface VoteRequest {
  readonly kind: 'voteRequest';
  /** The term the sender asks to lead; a pre-vote asks for one it has not entered yet. */
  readonly term: Term;
  readonly pre: boolean;
  readonly lastIndex: Index;
  readonly lastTerm: Term;
  /** Set when the current leader asked for this election: stickiness does not apply (dissertation 3.10). */
  readonly transfer: boolean;
}

export interface VoteResponse {
  readonly kind: 'voteResponse';
  /** The requested term on a grant, the voter's own term on a refusal. */
  readonly term: Term;
  readonly pre: boolean;
  readonly granted: boolean;
}

/** Leader to follower. The driver attaches the records of `prevIndex + 1 … last`. */
export interface Append {
  readonly kind: 'append';
  readonly term: Term;
  readonly prevIndex: Index;
  readonly prevTerm: Term;
  readonly commit: Index;
  /** Last index carried; equals `prevIndex` in an empty append. */
  readonly last: Index;
  /** On receipt: one meta for each carried record. Empty on the sending side. */
  readonly entries: readonly EntryMeta[];
}

export interface AppendAck {
  readonly kind: 'appendAck';
  readonly term: Term;
  /** Highest index that is durable here and verified against the sender's log in this term. */
  readonly match: Index;
  readonly rejected: boolean;
  /** Rejections: the `prevIndex` that did not match. */
  readonly prevIndex: Index;
  /** Rejections: the highest index at which the logs may still agree, and its term (0: unknown). */
  readonly hintIndex: Index;
  readonly hintTerm: Term;
}

export interface Heartbeat {
  readonly kind: 'heartbeat';
  readonly term: Term;
  /** min(leader's commit, the receiver's match): never more than the receiver surely has. */
  readonly commit: Index;
  /** Highest read sequence the sender wants confirmed; 0: none. */
  readonly readSeq: number;
  /** The leader's clock when it was sent; comes back in the ack, means nothing to the receiver. */
  readonly sentAtMs: number;
}

export interface HeartbeatAck {
  readonly kind: 'heartbeatAck';
  readonly term: Term;
  readonly readSeq: number;
  readonly sentAtMs: number;
}

/** Leader to the node that shall lead next: campaign now, without a pre-vote. */
export interface TimeoutNow {
  readonly kind: 'timeoutNow';
  readonly term: Term;
}

/** Follower to leader: which index must I have applied to answer reads that came before this message? */
export interface ReadRequest {
  readonly kind: 'readRequest';
  readonly term: Term;
  readonly token: number;
}

export interface ReadResponse {
  readonly kind: 'readResponse';
  readonly term: Term;
  readonly token: number;
  /** Index to wait for; 0 when the read is refused. */
  readonly index: Index;
  readonly ok: boolean;
}

/** Follower to leader: my log is not what I acknowledged, forget what I said (quarantine.ts). */
export interface LostLog {
  readonly kind: 'lostLog';
  readonly term: Term;
  /** Names the loss; not 0. */
  readonly nonce: number;
}

/** Leader to follower: forgotten. */
export interface Refetch {
  readonly kind: 'refetch';
  readonly term: Term;
  /** That of the `lostLog` it answers; 0: the leader itself has noticed that the follower lost `index`. */
  readonly nonce: number;
  /** Once the follower holds everything up to here, its votes count again. */
  readonly index: Index;
}

export type Message =
  | VoteRequest
  | VoteResponse
  | Append
  | AppendAck
  | Heartbeat
  | HeartbeatAck
  | TimeoutNow
  | ReadRequest
  | ReadResponse
  | LostLog
  | Refetch;

/** Term and vote: durable before anything that depends on them leaves the node (Raft figure 2). */
export interface HardState {
  readonly term: Term;
  /** Whom this node voted for in `term`; 0: nobody. */
  readonly vote: NodeId;
}

/** What a snapshot says of the log it replaces. */
export interface SnapshotMeta {
  readonly index: Index;
  readonly term: Term;
  readonly config: Config;
  /** Index of the entry `config` came from; 0 for the bootstrap configuration. */
  readonly configIndex: Index;
}
