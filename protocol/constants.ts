/**
 * Numbers of the wire. PROTOCOL.md explains them; both change together or not at all.
 *
 * Every integer is little-endian. A `u64` is written as two `u32`, low word first, and must stay below 2^53.
 */

/** First bytes of a client connection: 0xF5 is no first byte of HTTP, of TLS or of UTF-8 text. */
export const CLIENT_MAGIC: Uint8Array = Uint8Array.of(0xf5, 0x43, 0x57, 0x44);
/** First bytes of a peer connection. */
export const PEER_MAGIC: Uint8Array = Uint8Array.of(0xf6, 0x43, 0x57, 0x44);
/** Magic (4), lowest version spoken (1), highest version spoken (1), reserved (2). */
export const PREAMBLE_BYTES = 8;
export const PROTOCOL_VERSION = 1;

/** Versions that one side of a connection speaks. */
export interface VersionRange {
  readonly lowest: number;
  readonly highest: number;
}

/** What this package speaks. */
export const spokenVersions: VersionRange = { lowest: PROTOCOL_VERSION, highest: PROTOCOL_VERSION };

/**
 * ```
 * offset  0        4     5       6         8          12
 *         | length | kind| flags | reserved| requestId | …
 * bytes   4        1     1       2         4
 * ```
 * `length` counts what follows it.
 */
export const FRAME_HEADER_BYTES = 12;

/**
 * A write frame, as it comes from a client, lies in the log and reaches every replica, byte for byte:
 * ```
 * 0        12       16        24    32
 * | header | window | session | seq | body …
 * bytes 12 4        8         8
 * ```
 * `window` = seq − lowest sequence number whose answer the client still waits for.
 */
export const WRITE_HEADER_BYTES = 32;

/** Kinds of frame a client sends. 0x10 … 0x1f are writes: they are replicated verbatim. */
export const Kind = {
  /** A command for the machine. */
  command: 0x10,
  /** Opens a session; body: msgpack {ttlMs?}. `session` and `seq` are 0; answered with the session's number. */
  openSession: 0x11,
  /** Ends a session at once. */
  closeSession: 0x12,
  /** Keeps an idle session alive. */
  keepAlive: 0x13,
  /** A command that runs once per idempotency key; body: u16 key bytes, key, command body. */
  keyedCommand: 0x14,
  /** A read; `flags` is the consistency level. */
  query: 0x20,
  ping: 0x21,
  /** Status of the node and its view of the cluster, as a msgpack map. */
  status: 0x22,
  /** Members, changes of membership, leadership, explanations; body: msgpack map {op, …}. */
  admin: 0x23,
  /** Server to client. */
  welcome: 0x80,
  response: 0x90,
  /** Unsolicited: the leader changed; body: msgpack {leader: {id, address} | nil}. */
  leader: 0x91,
  /** Connection-level error: msgpack {code, message}; the connection closes after it. */
  error: 0x9f,
} as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

/** Consistency levels of a query (`flags`). */
export const ReadLevel = { linearizable: 0, lease: 1, bounded: 2, local: 3 } as const;
export type ReadLevel = (typeof ReadLevel)[keyof typeof ReadLevel];

/**
 * `flags` of a response. 0 … 63 come from the machine (see the stack machine's own), 64 … 127 from the session
 * layer (both are replicated: every node gives the same), 128 … from the node that was asked.
 */
export const Status = {
  ok: 0,
  /** Stack machine: the stack has nothing on it. */
  empty: 1,
  /** Stack machine: no stack of that name. */
  notFound: 2,
  /** Stack machine: create found the stack there already. */
  exists: 3,
  /** Machine: the command's bytes are not a command. Nothing was changed. */
  badCommand: 4,
  /** Machine: a limit of the machine forbids it. Nothing was changed. */
  limit: 5,

  /** The session is unknown or has expired: not executed now; an earlier try may have been. */
  sessionExpired: 64,
  /** The client said itself that it had this answer already: not executed again. */
  alreadyAcked: 65,
  /** The session holds too many unfetched answers: not executed, and never will be under this seq. */
  sessionFull: 66,
  /** The idempotency key was used for another command: not executed. */
  keyReused: 67,

  /** Not applied: this node knows no leader. */
  noLeader: 128,
  /** Not applied: queues are full; try again. */
  busy: 129,
  /** It may have been applied, now or later. */
  unknown: 130,
  /** Not applied: larger than the limit the welcome announced. */
  tooLarge: 131,
  /** Not applied: the frame's fields are wrong. */
  malformed: 132,
  /** Not applied: no room on disk. */
  diskFull: 133,
  /** Not applied: the node is stopping. */
  shuttingDown: 134,
  /** Not applied: not allowed. */
  unauthorized: 135,
  /** Not applied: a kind or level this node does not know. */
  unsupported: 136,
  /** Admin: the leader refused; the body's code says why. Nothing was changed. */
  refused: 137,
} as const;
export type Status = (typeof Status)[keyof typeof Status];

/** Operations of the stack machine: first element of the msgpack array that is a command's or query's body. */
export const StackOp = {
  create: 1,
  push: 2,
  pop: 3,
  drop: 4,
  pushMany: 5,
  popMany: 6,
  exists: 16,
  top: 17,
  size: 18,
  list: 19,
} as const;
export type StackOp = (typeof StackOp)[keyof typeof StackOp];

/** Limits that are part of the protocol. Sizes in bytes. */
export const Limits = {
  /** Default of the largest frame a node takes from a client; the welcome tells the one in force. */
  maxFrameBytes: 4_194_304,
  maxStackNameBytes: 1024,
  maxIdempotencyKeyBytes: 255,
  /** Largest `window`: commands one session may have outstanding. */
  maxSessionWindow: 65_536,
  /** Arrays and maps of a msgpack value that lie in each other; a scalar has none. */
  maxValueDepth: 64,
} as const;

/** Kinds of frame between nodes. */
export const PeerKind = {
  hello: 0x01,
  welcome: 0x02,
  refused: 0x03,
  /** Instead of a hello: who are you? Answered with an introduction; then the connection closes. */
  introduce: 0x04,
  introduction: 0x05,
  append: 0x10,
  appendAck: 0x11,
  heartbeat: 0x12,
  heartbeatAck: 0x13,
  voteRequest: 0x14,
  voteResponse: 0x15,
  timeoutNow: 0x16,
  readRequest: 0x17,
  readResponse: 0x18,
  /** A follower's log is not what it acknowledged; the leader says what it must fetch. */
  lostLog: 0x19,
  refetch: 0x1a,
  /** A run of client write frames for the leader. */
  forward: 0x20,
  /** A run of response frames for the node that forwarded. */
  forwardReply: 0x21,
  /** One admin frame of a client for the leader, and the answer for the node that passed it on. */
  admin: 0x22,
  adminReply: 0x23,
  /** How a node is doing, for the others. */
  report: 0x24,
  snapshotBegin: 0x30,
  snapshotChunk: 0x31,
  snapshotAck: 0x32,
} as const;
export type PeerKind = (typeof PeerKind)[keyof typeof PeerKind];

/**
 * Header of every frame between nodes:
 * ```
 * 0        4      5       6          8     12      16
 * | length | kind | flags | reserved | crc | extra | fields …
 * ```
 * `length` counts what follows it. `crc` covers the frame except itself and, in an append, except the records, which
 * carry checksums of their own. `extra` is the number of records of an append, otherwise 0.
 */
export const PEER_HEADER_BYTES = 16;

/** `flags` of a snapshotAck. */
export const SnapshotStatus = {
  /** Go on from `nextOffset`. */
  more: 0,
  /** Durable and in force here, or not needed: the log reaches as far. Replication goes on behind it. */
  installed: 1,
  /** The content does not have the digest announced: begin again. */
  damaged: 2,
  /** Not now (another snapshot is being installed, no room): try later. */
  busy: 3,
} as const;
export type SnapshotStatus = (typeof SnapshotStatus)[keyof typeof SnapshotStatus];

/** Connections between two nodes, so that bulk data never delays a heartbeat. */
export const Lane = { control: 0, data: 1, bulk: 2 } as const;
export type Lane = (typeof Lane)[keyof typeof Lane];

/**
 * One entry as it travels in an append frame and lies in a segment (docs/storage.md draws it):
 * ```
 * 0           4          8      9          12        16     24      32       40
 * | bodyBytes | headerCrc| kind | reserved | bodyCrc | term | index | timeMs | body … | zeros to 8 |
 * ```
 * `headerCrc` covers bytes 0–3 and 8–39; `bodyCrc` the body. CRC-32 (IEEE), as zlib computes it.
 */
export const RECORD_HEADER_BYTES = 40;
