import { Lane, spokenVersions, type VersionRange } from '../../protocol/constants.ts';
import type { Hello, PeerIntroduction, Refusal } from '../../protocol/peer-handshake.ts';
import type { PeerIdentity, PeerPolicy, TransportEvents } from './transport.ts';

export interface TcpTransportOptions {
  readonly identity: PeerIdentity;
  /** Where to listen for peers; port 0 takes a free one. */
  readonly listen: { readonly host: string; readonly port: number };
  readonly events: TransportEvents;
  /** Asked about every dialler that passed the transport's own checks; a refusal is sent to it. */
  readonly checkPeer?: (hello: Hello) => Refusal | null;
  /** The node's say about its peers. Without it exactly those named by `setPeers` are welcome. */
  readonly policy?: PeerPolicy;
  readonly limits?: Partial<TransportLimits>;
  /** Default: what this package speaks. */
  readonly versions?: VersionRange;
  /** Default: `setTimeout`. Returns the way to cancel. */
  readonly setTimer?: SetTimer;
  /** Spreads redials; default `Math.random`. */
  readonly random?: () => number;
}

export type SetTimer = (delayMs: number, callback: () => void) => () => void;

export interface TransportLimits {
  /** An accepted connection must have introduced itself by then. */
  readonly acceptTimeoutMs: number;
  /** A dialled connection must be open and answered by then. */
  readonly dialTimeoutMs: number;
  readonly minRedialMs: number;
  readonly maxRedialMs: number;
  /** A connection whose peer takes no bytes for so long is given up. */
  readonly stallTimeoutMs: number;
  /** A connection younger than this is not given up because the peer has dialled anew. */
  readonly minRenewedAgeMs: number;
  /** The bulk lane is closed after so long without use. */
  readonly bulkIdleMs: number;
  /** Largest frame taken, and announced to peers. */
  readonly maxFrameBytes: number;
  /** Bytes queued on one lane to one peer. */
  readonly maxQueuedBytes: readonly [control: number, data: number, bulk: number];
  /** Accepted connections that have not introduced themselves. */
  readonly maxStrangers: number;
}

/** Frames of the control lane are small; a larger one would hold up heartbeats. */
const MAX_CONTROL_FRAME_BYTES: number = 1 << 20;

const defaults: TransportLimits = {
  acceptTimeoutMs: 5_000,
  dialTimeoutMs: 2_000,
  minRedialMs: 50,
  maxRedialMs: 1_000,
  stallTimeoutMs: 10_000,
  minRenewedAgeMs: 1_000,
  bulkIdleMs: 30_000,
  maxFrameBytes: (16 << 20) + (64 << 10),
  maxQueuedBytes: [1 << 20, 64 << 20, 8 << 20],
  maxStrangers: 64,
};

/** Options with every default filled in: what the parts of the transport share. */
export interface TransportContext {
  readonly identity: PeerIdentity;
  readonly policy: PeerPolicy | null;
  readonly limits: TransportLimits;
  readonly versions: VersionRange;
  readonly setTimer: SetTimer;
  readonly random: () => number;
}

export function transportContext(options: TcpTransportOptions): TransportContext {
  return {
    identity: options.identity,
    policy: options.policy ?? null,
    limits: { ...defaults, ...options.limits },
    versions: options.versions ?? spokenVersions,
    setTimer: options.setTimer ?? systemTimer,
    random: options.random ?? Math.random,
  };
}

/** What this node says of itself to the node `to`. */
export function introductionTo(context: TransportContext, to: number): PeerIntroduction {
  const { identity, limits, policy } = context;
  return {
    clusterId: identity.clusterId,
    from: identity.nodeId,
    to,
    incarnation: identity.incarnation,
    clientAddress: identity.clientAddress,
    maxFrameBytes: limits.maxFrameBytes,
    features: [],
    ...(identity.peerAddress === undefined ? {} : { peerAddress: identity.peerAddress }),
    ...(policy === null ? {} : { configIndex: policy.configIndex }),
    ...(identity.leaseMs === undefined ? {} : { leaseMs: identity.leaseMs }),
    ...(identity.priority === undefined ? {} : { priority: identity.priority }),
  };
}

/** Largest frame taken on a lane. */
export function maxFrameBytesOf(limits: TransportLimits, lane: Lane): number {
  return lane === Lane.control
    ? Math.min(MAX_CONTROL_FRAME_BYTES, limits.maxFrameBytes)
    : limits.maxFrameBytes;
}

const systemTimer: SetTimer = (delayMs, callback) => {
  const handle = setTimeout(callback, delayMs);
  return () => {
    clearTimeout(handle);
  };
};
