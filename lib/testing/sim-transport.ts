import { encodePreamble, negotiateVersion } from '../../protocol/client-codec.ts';
import { Lane, PEER_MAGIC, type VersionRange } from '../../protocol/constants.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import type { Introduction } from '../../protocol/introduction.ts';
import type { Hello, PeerIntroduction, Refusal } from '../../protocol/peer-handshake.ts';
import type { Member, NodeId } from '../core/types.ts';
import type { PeerPolicy, PeerIdentity, Transport, TransportEvents } from '../transport/transport.ts';
import { OVERWRITTEN, SimPipe, type SimNetwork } from './sim-network.ts';
import type { SimRuntime } from './sim-runtime.ts';

const LANES = [Lane.control, Lane.data, Lane.bulk] as const;

/** Finds the process that listens at a node's place; undefined: its port refuses. */
export type Listener = (id: NodeId) => SimTransport | undefined;

export interface SimTransportParts {
  readonly network: SimNetwork;
  readonly runtime: SimRuntime;
  readonly identity: PeerIdentity;
  readonly events: TransportEvents;
  readonly policy: PeerPolicy;
  /** Of the protocol, as this process speaks it. */
  readonly versions: VersionRange;
  readonly listener: Listener;
  /** Sees each frame that leaves, before it does. */
  readonly onSend: (to: NodeId, frame: Uint8Array) => void;
  /** A connection is open, in this version. */
  readonly onVersion: (version: number) => void;
}

interface LaneState {
  pipe: SimPipe | null;
  queue: Uint8Array[];
  backoffMs: number;
  upSinceMs: number;
}

/** A younger connection is not given up because the peer has dialled anew: as in tcp-transport.ts. */
const MIN_RENEWED_AGE_MS = 200;

/** A `Transport` over the simulated network: connections, handshakes with the node's own judgement, refusals. */
export class SimTransport implements Transport {
  readonly #parts: SimTransportParts;
  readonly #peers = new Map<NodeId, LaneState[]>();
  readonly #addresses = new Map<NodeId, string>();
  #closed = false;

  constructor(parts: SimTransportParts) {
    this.#parts = parts;
  }

  get id(): NodeId {
    return this.#parts.identity.nodeId;
  }

  /** @throws CordwoodError `INCOMPATIBLE_VERSION` */
  introduction(versions: VersionRange): Introduction {
    this.#versionWith(versions);
    return this.#parts.policy.introduction();
  }

  send(peer: NodeId, lane: Lane, parts: readonly Uint8Array[]): boolean {
    const state = this.#peers.get(peer)?.[lane];
    if (this.#closed || !state?.pipe || state.pipe.ended) return false;
    const frame = Buffer.concat(parts);
    this.#parts.onSend(peer, frame);
    state.queue.push(frame);
    return true;
  }

  flush(): void {
    for (const [peer, lanes] of this.#peers) {
      for (const lane of LANES) {
        const state = lanes[lane]!;
        if (state.queue.length === 0 || !state.pipe) continue;
        const frames = state.queue;
        state.queue = [];
        state.pipe.deliver(() => {
          this.#parts.listener(peer)?.arrived(this.id, lane, frames);
        });
      }
    }
  }

  setPeers(members: readonly Member[]): void {
    if (this.#closed) return;
    const wanted = new Set(members.map((m) => m.id));
    for (const [id, lanes] of this.#peers) {
      if (wanted.has(id)) continue;
      this.#peers.delete(id);
      // What was flushed may still arrive.
      for (const lane of lanes) this.#parts.network.events.after(50, () => lane.pipe?.end(true));
    }
    for (const id of wanted) {
      if (id === this.id || this.#peers.has(id)) continue;
      this.#peers.set(
        id,
        LANES.map(() => ({ pipe: null, queue: [], backoffMs: 10, upSinceMs: 0 })),
      );
      for (const lane of LANES) this.#dial(id, lane, 0);
    }
  }

  renew(peer: NodeId, lane: Lane, minAgeMs = 0): void {
    const state = this.#peers.get(peer)?.[lane];
    if (!state?.pipe || this.#parts.network.events.nowMs - state.upSinceMs < minAgeMs) return;
    state.pipe.end(true);
    this.#lost(peer, lane, state, state.pipe);
  }

  queuedBytes(peer: NodeId, lane: Lane): number {
    const lanes = this.#peers.get(peer);
    return lanes ? lanes[lane]!.queue.reduce((sum, frame) => sum + frame.length, 0) : 0;
  }

  clientAddress(peer: NodeId): string | undefined {
    return this.#addresses.get(peer);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#parts.network.breakPipes(this.id);
  }

  // --- the listening side -------------------------------------------------------------------------------------------

  /** Frames of a connection that `from` dialled. */
  arrived(from: NodeId, lane: Lane, frames: readonly Uint8Array[]): void {
    const { runtime, events } = this.#parts;
    runtime.run(() => {
      if (this.#closed) return;
      if (!this.#peers.has(from)) {
        this.#parts.listener(from)?.hungUp(this.id);
        return;
      }
      for (const frame of frames) {
        events.onFrame(from, lane, frame, 0, frame.length);
        // As in a socket's memory, the next bytes take the place of those that were dealt with.
        frame.fill(OVERWRITTEN);
      }
    });
  }

  /** `peer` talks to this node no more: it ends the connections that this one has dialled. */
  hungUp(peer: NodeId): void {
    for (const { pipe } of this.#peers.get(peer) ?? []) pipe?.end();
  }

  /** Why whoever said `hello` is not taken; null if it is. */
  judge(hello: Hello, versions: VersionRange): Refusal | null {
    const { identity, policy } = this.#parts;
    try {
      this.#versionWith(versions);
    } catch (error) {
      if (!CordwoodError.is(error)) throw error;
      return { code: error.code, message: error.message };
    }
    if (hello.clusterId !== identity.clusterId) return { code: 'WRONG_CLUSTER', message: 'another cluster' };
    const refusal = policy.judge(hello);
    if (refusal !== null) return refusal;
    const lanes = this.#peers.get(hello.from);
    if (!lanes) return { code: 'UNKNOWN_PEER', message: `node ${hello.from} is not known here` };
    this.#addresses.set(hello.from, hello.clientAddress);
    // It is alive: no reason to wait with dialling it.
    for (const lane of LANES) if (lanes[lane]!.pipe === null) lanes[lane]!.backoffMs = 10;
    return null;
  }

  // --- the dialling side --------------------------------------------------------------------------------------------

  #dial(peer: NodeId, lane: Lane, inMs: number): void {
    const { runtime, network } = this.#parts;
    runtime.timer(inMs, () => {
      const state = this.#peers.get(peer)?.[lane];
      if (this.#closed || !state || state.pipe) return;
      network.events.after(network.delayMs(), () => {
        this.#knock(peer, lane, state);
      });
    });
  }

  #knock(peer: NodeId, lane: Lane, state: LaneState): void {
    const { runtime, network, listener, events } = this.#parts;
    const again = (): void => {
      state.backoffMs = Math.min(state.backoffMs * 2, 300);
      this.#dial(peer, lane, network.random.between(state.backoffMs / 2, state.backoffMs));
    };
    if (!network.connects(this.id, peer)) {
      again();
      return;
    }
    const other = listener(peer);
    if (!other) {
      runtime.run(() => {
        if (!this.#closed && this.#peers.has(peer)) events.onRefused(peer);
      });
      again();
      return;
    }
    // A process that stands still accepts nothing; its kernel does, but no handshake is answered.
    other.#parts.runtime.run(() => {
      if (other.#closed) return;
      const refusal = other.judge({ ...this.#introduce(peer), lane }, this.#parts.versions);
      if (refusal === null && lane !== Lane.bulk) other.renew(this.id, lane, MIN_RENEWED_AGE_MS);
      const welcome = other.#introduce(this.id);
      network.events.after(network.delayMs(), () => {
        // A connection ends with the process that took it: whoever runs there now has not judged this one.
        if (!network.connects(this.id, peer) || listener(peer) !== other) again();
        else {
          runtime.run(() => {
            const taken = this.#answered(peer, lane, state, refusal, welcome, again);
            if (taken) this.#parts.onVersion(other.#versionWith(this.#parts.versions));
          });
        }
      });
    });
    if (other.#parts.runtime.paused) again();
  }

  #answered(
    peer: NodeId,
    lane: Lane,
    state: LaneState,
    refusal: Refusal | null,
    welcome: PeerIntroduction,
    again: () => void,
  ): boolean {
    const { events, policy } = this.#parts;
    if (this.#closed || this.#peers.get(peer)?.[lane] !== state || state.pipe) return false;
    if (refusal !== null) {
      events.onTurnedAway?.(peer, refusal.code, refusal.message);
      again();
      return false;
    }
    const objection = policy.judge(welcome);
    if (objection !== null) {
      events.onRejected(peer, objection.code, objection.message);
      again();
      return false;
    }
    // The judgement may have changed the peers.
    if (this.#peers.get(peer)?.[lane] !== state) return false;
    this.#addresses.set(peer, welcome.clientAddress);
    state.backoffMs = 10;
    state.queue = [];
    const pipe = new SimPipe(this.#parts.network, this.id, peer, () => this.#lost(peer, lane, state, pipe));
    state.pipe = pipe;
    state.upSinceMs = this.#parts.network.events.nowMs;
    events.onUp(peer, lane);
    return true;
  }

  /** What the accepting side of a connection finds in the first bytes of one that speaks `versions`. */
  #versionWith({ lowest, highest }: VersionRange): number {
    return negotiateVersion(encodePreamble(PEER_MAGIC, lowest, highest), 0, PEER_MAGIC, this.#parts.versions);
  }

  #lost(peer: NodeId, lane: Lane, state: LaneState, pipe: SimPipe): void {
    this.#parts.runtime.run(() => {
      if (this.#closed || state.pipe !== pipe) return;
      state.pipe = null;
      state.queue = [];
      if (this.#peers.get(peer)?.[lane] !== state) return;
      this.#parts.events.onDown(peer, lane);
      this.#dial(peer, lane, 0);
    });
  }

  #introduce(to: NodeId): PeerIntroduction {
    const { identity, policy } = this.#parts;
    return {
      clusterId: identity.clusterId,
      from: identity.nodeId,
      to,
      incarnation: identity.incarnation,
      clientAddress: identity.clientAddress,
      maxFrameBytes: 64 << 20,
      features: [],
      configIndex: policy.configIndex,
      ...(identity.peerAddress === undefined ? {} : { peerAddress: identity.peerAddress }),
      ...(identity.leaseMs === undefined ? {} : { leaseMs: identity.leaseMs }),
      ...(identity.priority === undefined ? {} : { priority: identity.priority }),
    };
  }
}

/** Asks the node at `peer` who it is, as `Environment.introduce` does. */
export function simIntroduce(
  network: SimNetwork,
  from: NodeId,
  peer: NodeId,
  versions: VersionRange,
  listener: Listener,
): Promise<Introduction> {
  return new Promise((resolve, reject) => {
    network.events.after(network.delayMs() * 2, () => {
      const other = network.connects(from, peer) ? listener(peer) : undefined;
      try {
        if (!other) throw new CordwoodError('UNREACHABLE', `node ${peer} does not answer`);
        resolve(other.introduction(versions));
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
  });
}
