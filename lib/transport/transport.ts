import type { Lane } from '../../protocol/constants.ts';
import type { Introduction } from '../../protocol/introduction.ts';
import type { PeerIntroduction, Refusal } from '../../protocol/peer-handshake.ts';
import type { Member, NodeId } from '../core/types.ts';

/** Carries frames to peers, in order on each lane while a connection lasts; frames are lost with their connection. */
export interface Transport {
  /**
   * Queues one frame (its parts are laid one behind the other on the wire). Parts of less than 32 KiB are copied at
   * once, longer ones must not change until they have left; `false`: dropped, because the lane is down or its queue
   * is full.
   */
  send(peer: NodeId, lane: Lane, parts: readonly Uint8Array[]): boolean;
  /** Writes what was queued since the last flush: one write for each connection. */
  flush(): void;
  /** Connects to exactly these peers from now on. */
  setPeers(members: readonly Member[]): void;
  /**
   * Gives up the connection of a lane for a new one. Nothing tells its ends that the network has lost what was sent on
   * it, and TCP tries again after pauses of up to two minutes.
   */
  renew(peer: NodeId, lane: Lane): void;
  /** Bytes queued for `peer` on `lane` that the kernel has not taken yet. */
  queuedBytes(peer: NodeId, lane: Lane): number;
  /** Client address (`host:port`) a peer announced in its handshake. */
  clientAddress(peer: NodeId): string | undefined;
  /** What this node and `peer` have against each other: one of them has refused the other just now. */
  refusalOf?(peer: NodeId): Refusal | undefined;
  close(): Promise<void>;
}

export interface TransportEvents {
  /**
   * A frame of `peer`: `bytes[start, end)` begins at its length field. Valid only during the call. Throwing a
   * `CordwoodError` closes that connection.
   */
  onFrame(peer: NodeId, lane: Lane, bytes: Uint8Array, start: number, end: number): void;
  /** A lane to `peer` is usable. */
  onUp(peer: NodeId, lane: Lane): void;
  /** A lane to `peer` was lost; what was queued on it may not have arrived. */
  onDown(peer: NodeId, lane: Lane): void;
  /** The peer's process is gone: its connection ended and its port refuses a new one at once. */
  onRefused(peer: NodeId): void;
  /** Another cluster, another node id, another incarnation …: said once for each cause, for the operator. */
  onRejected(peer: NodeId, code: string, message: string): void;
  /** As `onRejected`, where it was `peer` that refused this node. Without it `onRejected` is told. */
  onTurnedAway?(peer: NodeId, code: string, message: string): void;
}

/** What a transport asks the node about its peers. */
export interface PeerPolicy {
  /**
   * Asked about every peer that passed the transport's own checks, whoever dialled; a refusal is sent to it. Whom this
   * lets pass must be known to `setPeers` when it returns.
   */
  judge(other: PeerIntroduction): Refusal | null;
  /** Index of the configuration in force. */
  readonly configIndex: number;
  /** For whoever asks who this is. */
  introduction(): Introduction;
}

/** Who this node is, as peers are told in the handshake. */
export interface PeerIdentity {
  readonly clusterId: string;
  readonly nodeId: NodeId;
  /** Random, made with the data directory: tells a wiped node from the one it replaces. */
  readonly incarnation: string;
  /** `host:port` where clients reach this node. */
  readonly clientAddress: string;
  /** `host:port` where peers reach it, and what else of `PeerIntroduction` it tells them. */
  readonly peerAddress?: string;
  readonly leaseMs?: number;
  readonly priority?: number;
}
