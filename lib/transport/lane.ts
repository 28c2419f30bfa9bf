import { connect, type Socket } from 'node:net';

import { formatAddress, type Address } from '../../protocol/address.ts';
import { Lane, PeerKind } from '../../protocol/constants.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { peerFrameKind } from '../../protocol/peer-frame.ts';
import {
  decodePeerWelcome,
  decodeRefused,
  encodeHello,
  type PeerWelcome,
  type Refusal,
} from '../../protocol/peer-handshake.ts';
import { HandshakeBuffer, judgeWelcome } from './handshake.ts';
import { introductionTo, maxFrameBytesOf, type TransportContext } from './transport-options.ts';
import { WriteQueue } from './write-queue.ts';

/** What a lane tells the link it belongs to. */
export interface LaneHost {
  up(lane: Lane, welcome: PeerWelcome): void;
  down(lane: Lane): void;
  /** The connection was lost and the port refuses a new one. */
  refused(): void;
  rejected(code: string, message: string): void;
  /** The peer refused this node. */
  turnedAway(code: string, message: string): void;
}

/** Redials right after a loss, 0, 1, 2, 4 and 8 ms apart, before the back-off begins. */
const QUICK_REDIALS = 5;
/** So often in a row a connection may be lost right after it was made and be dialled anew at once. */
const MAX_YOUNG_LOSSES = 3;
const KEEP_ALIVE_MS = 5_000;
/** A peer that is not up yet, or no more. Anything else (a name nobody knows, no route) an operator wants to hear of. */
const PASSING_FAULTS: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT']);

type State = 'idle' | 'dialling' | 'up' | 'waiting' | 'closed';

/** Outgoing connection of one lane to one peer: dials, introduces itself, queues, writes, redials. */
export class OutgoingLane {
  readonly #context: TransportContext;
  readonly #host: LaneHost;
  readonly #peer: number;
  readonly #lane: Lane;
  #address: Address;
  #state: State = 'idle';
  #upSinceMs = 0;
  #socket: Socket | null = null;
  #cancelTimer: (() => void) | null = null;

  readonly #queue = new WriteQueue();
  readonly #maxQueuedBytes: number;
  #maxFrameBytes: number;

  #backoffMs: number;
  #quickRedials = 0;
  #youngLosses = 0;
  /** Set between the loss of a working connection and the first sign of what became of the peer. */
  #lost = false;
  #usedSinceCheck = false;

  constructor(context: TransportContext, host: LaneHost, peer: number, lane: Lane, address: Address) {
    this.#context = context;
    this.#host = host;
    this.#peer = peer;
    this.#lane = lane;
    this.#address = address;
    this.#backoffMs = context.limits.minRedialMs;
    this.#maxQueuedBytes = context.limits.maxQueuedBytes[lane];
    this.#maxFrameBytes = maxFrameBytesOf(context.limits, lane);
    // Bulk traffic is rare: its connection is made by the first frame.
    if (lane !== Lane.bulk) this.#dial();
  }

  get queuedBytes(): number {
    return this.#queue.bytes + (this.#socket?.writableLength ?? 0);
  }

  send(parts: readonly Uint8Array[]): boolean {
    if (this.#state !== 'up') {
      if (this.#lane !== Lane.bulk) return false;
      if (this.#state === 'idle') this.#dial();
      if (this.#state !== 'dialling') return false;
    }
    let bytes = 0;
    for (const part of parts) bytes += part.length;
    if (bytes > this.#maxFrameBytes) {
      this.#host.rejected(
        'TOO_LARGE',
        `a frame of ${bytes} bytes is more than node ${this.#peer} takes (${this.#maxFrameBytes})`,
      );
      return false;
    }
    const queued = this.queuedBytes;
    if (queued > 0 && queued + bytes > this.#maxQueuedBytes) return false;
    for (const part of parts) this.#queue.add(part, this.#socket);
    this.#usedSinceCheck = true;
    return true;
  }

  /** Hands everything queued to the kernel in one write. */
  flush(): void {
    if (this.#state !== 'up') return;
    const socket = this.#socket!;
    this.#queue.writeTo(socket);
    // Watched only from when the kernel left something: a socket's timer starts anew with each write.
    if (socket.writableLength > 0 && !socket.timeout) socket.setTimeout(this.#context.limits.stallTimeoutMs);
  }

  /** The peer was heard of: no reason to wait any longer with the next attempt. */
  nudge(): void {
    if (this.#state === 'waiting') this.#dial();
  }

  setAddress(address: Address): void {
    this.#address = address;
    this.#backoffMs = this.#context.limits.minRedialMs;
    if (this.#state !== 'idle' && this.#state !== 'closed') this.#dialAnew();
  }

  /** Gives up a connection that has been up for `minAgeMs` for a new one. */
  renew(minAgeMs: number): void {
    if (this.#state === 'up' && performance.now() - this.#upSinceMs >= minAgeMs) this.#dialAnew();
  }

  /** Ends the lane for good. What the kernel has not taken yet gets `graceMs` to leave. */
  close(graceMs: number): Promise<void> {
    const socket = this.#socket;
    const wasUp = this.#state === 'up';
    if (wasUp) this.flush();
    this.#state = 'closed';
    this.#clearTimer();
    this.#queue.clear();
    if (socket === null) return Promise.resolve();
    return new Promise((resolve) => {
      socket.once('close', () => {
        this.#clearTimer();
        resolve();
      });
      if (!wasUp || socket.writableLength === 0) socket.destroy();
      else {
        this.#cancelTimer = this.#context.setTimer(graceMs, () => socket.destroy());
        socket.end(() => socket.destroy());
      }
    });
  }

  #dialAnew(): void {
    const wasUp = this.#state === 'up';
    // Let go of before it is destroyed: the end of this connection says nothing about the peer.
    const socket = this.#socket;
    this.#socket = null;
    // Reset, so that the kernel does not go on sending what nobody is to have any more.
    if (wasUp) socket?.resetAndDestroy();
    else socket?.destroy();
    this.#queue.clear();
    this.#dial();
    if (wasUp) this.#host.down(this.#lane);
  }

  #dial(): void {
    const { limits, versions } = this.#context;
    this.#clearTimer();
    this.#state = 'dialling';
    const socket = connect({
      ...this.#address,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    });
    this.#socket = socket;
    let errorCode: string | undefined;
    const reply = new HandshakeBuffer(0);
    socket.on('error', (error: NodeJS.ErrnoException) => (errorCode = error.code));
    socket.on('end', () => socket.destroy());
    socket.on('data', (chunk) => {
      // A peer answers the hello and nothing else on a connection it accepted.
      if (this.#state !== 'dialling') socket.destroy();
      else this.#readReply(socket, reply, chunk);
    });
    socket.on('close', () => this.#onClose(socket, errorCode));
    socket.on('timeout', () => {
      if (socket.writableLength > 0) socket.destroy();
      else socket.setTimeout(0);
    });
    socket.write(encodeHello({ ...introductionTo(this.#context, this.#peer), lane: this.#lane }, versions));
    this.#cancelTimer = this.#context.setTimer(limits.dialTimeoutMs, () => socket.destroy());
  }

  #readReply(socket: Socket, reply: HandshakeBuffer, chunk: Uint8Array): void {
    try {
      reply.append(chunk);
      if (!reply.isWhole()) return;
      if (peerFrameKind(reply.bytes, 0) === PeerKind.refused) {
        this.#reject(socket, decodeRefused(reply.bytes, 0, reply.bytes.length), true);
        return;
      }
      const welcome = decodePeerWelcome(reply.bytes, 0, reply.bytes.length);
      const { lowest, highest } = this.#context.versions;
      const objection =
        welcome.version >= lowest && welcome.version <= highest
          ? this.#judge(welcome)
          : { code: 'INCOMPATIBLE_VERSION', message: `node ${this.#peer} chose version ${welcome.version}` };
      // The node may have let go of this peer while it judged it.
      if (socket.destroyed) return;
      if (objection === null) this.#onUp(welcome);
      else this.#reject(socket, objection, false);
    } catch (error) {
      if (!CordwoodError.is(error)) throw error;
      const message = `what answers at the address of node ${this.#peer} is no cluster peer: ${error.message}`;
      this.#reject(socket, { code: error.code, message }, false);
    }
  }

  #judge(welcome: PeerWelcome): Refusal | null {
    const { identity, policy } = this.#context;
    return judgeWelcome(welcome, identity, this.#peer) ?? policy?.judge(welcome) ?? null;
  }

  /** @param byPeer it was the peer that refused. */
  #reject(socket: Socket, refusal: Refusal, byPeer: boolean): void {
    // Whatever is wrong is not put right within milliseconds.
    this.#quickRedials = 0;
    this.#lost = false;
    this.#backoffMs = this.#context.limits.maxRedialMs;
    socket.destroy();
    if (byPeer) this.#host.turnedAway(refusal.code, refusal.message);
    else this.#host.rejected(refusal.code, refusal.message);
  }

  #onUp(welcome: PeerWelcome): void {
    const { limits } = this.#context;
    this.#clearTimer();
    this.#state = 'up';
    this.#upSinceMs = performance.now();
    this.#lost = false;
    this.#maxFrameBytes = Math.min(maxFrameBytesOf(limits, this.#lane), welcome.maxFrameBytes);
    if (this.#lane === Lane.bulk) this.#watchIdle();
    this.flush();
    this.#host.up(this.#lane, welcome);
  }

  #onClose(socket: Socket, errorCode: string | undefined): void {
    if (this.#socket !== socket) return;
    this.#socket = null;
    this.#clearTimer();
    if (this.#state === 'closed') return;
    const hadFrames = this.#queue.bytes > 0;
    const wasUp = this.#state === 'up';
    this.#queue.clear();
    this.#state = 'waiting';
    if (wasUp) {
      const ageMs = performance.now() - this.#upSinceMs;
      this.#youngLosses = ageMs < this.#context.limits.minRenewedAgeMs ? this.#youngLosses + 1 : 0;
      this.#lost = true;
    }
    // Whatever ends a connection as soon as it is up does so again: in a row they are no reason for haste.
    if (wasUp && this.#youngLosses <= MAX_YOUNG_LOSSES) {
      this.#backoffMs = this.#context.limits.minRedialMs;
      this.#quickRedials = QUICK_REDIALS;
    }
    const refused = this.#lost && errorCode === 'ECONNREFUSED';
    if (refused) {
      this.#lost = false;
      this.#quickRedials = 0;
    }
    this.#redialLater();
    if (errorCode !== undefined && !PASSING_FAULTS.has(errorCode)) {
      const { host, port } = this.#address;
      const message = `node ${this.#peer} cannot be reached at ${formatAddress(host, port)}: ${errorCode}`;
      this.#host.rejected('UNREACHABLE', message);
    }
    // Told last: the listener may close the lane or send on it.
    if (wasUp || hadFrames) this.#host.down(this.#lane);
    if (refused) this.#host.refused();
  }

  #redialLater(): void {
    if (this.#quickRedials > 0) {
      // A dying process may still accept in the kernel for a moment, and reset then: ask again at once until the
      // answer is clear.
      const delayMs =
        this.#quickRedials === QUICK_REDIALS ? 0 : 1 << (QUICK_REDIALS - 1 - this.#quickRedials);
      this.#quickRedials--;
      if (delayMs === 0) this.#dial();
      else this.#cancelTimer = this.#context.setTimer(delayMs, () => this.#dial());
      return;
    }
    this.#lost = false;
    const { maxRedialMs } = this.#context.limits;
    const delayMs = this.#backoffMs * (0.5 + this.#context.random() / 2);
    this.#backoffMs = Math.min(this.#backoffMs * 2, maxRedialMs);
    this.#cancelTimer = this.#context.setTimer(delayMs, () => this.#dial());
  }

  #watchIdle(): void {
    this.#usedSinceCheck = false;
    this.#cancelTimer = this.#context.setTimer(this.#context.limits.bulkIdleMs, () => {
      if (this.#usedSinceCheck || this.queuedBytes > 0) this.#watchIdle();
      else {
        this.#cancelTimer = null;
        this.#state = 'idle';
        this.#socket?.destroy();
        this.#socket = null;
      }
    });
  }

  #clearTimer(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }
}
