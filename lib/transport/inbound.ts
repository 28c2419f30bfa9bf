import type { Socket } from 'node:net';

import { type Lane, PEER_MAGIC, PREAMBLE_BYTES } from '../../protocol/constants.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { negotiateVersion } from '../../protocol/client-codec.ts';
import { FrameSplitter } from '../../protocol/frame-splitter.ts';
import { encodeIntroduction, isIntroduce } from '../../protocol/introduction.ts';
import {
  decodeHello,
  encodePeerWelcome,
  encodeRefused,
  type Hello,
  HELLO_OFFSET,
  type Refusal,
} from '../../protocol/peer-handshake.ts';
import { answerForStranger, HandshakeBuffer, looksLikePeer } from './handshake.ts';
import { readShared } from './read-buffer.ts';
import { introductionTo, maxFrameBytesOf, type TransportContext } from './transport-options.ts';

/** What an accepted connection tells the transport. */
export interface InboundHost {
  /** Null: the sender of this hello is welcome. */
  judge(hello: Hello): Refusal | null;
  established(connection: InboundConnection, hello: Hello): void;
  frame(peer: number, lane: Lane, bytes: Uint8Array, start: number, end: number): void;
  rejected(peer: number, code: string, message: string): void;
  closed(connection: InboundConnection): void;
}

/** How long a connection may linger after its last words, so that they arrive before it is reset. */
const LINGER_MS = 500;

/** A connection somebody made to this node: it introduces itself, then only receives. */
export class InboundConnection {
  readonly #context: TransportContext;
  readonly #host: InboundHost;
  readonly #socket: Socket;
  #handshake: HandshakeBuffer | null = new HandshakeBuffer(HELLO_OFFSET);
  #splitter: FrameSplitter | null = null;
  #cancelTimer: (() => void) | null;
  #peer = 0;
  #lane: Lane = 0;
  #version = 0;

  constructor(context: TransportContext, host: InboundHost, socket: Socket) {
    this.#context = context;
    this.#host = host;
    this.#socket = socket;
    const from = socket.remoteAddress ?? 'unknown address';
    this.#cancelTimer = context.setTimer(context.limits.acceptTimeoutMs, () => {
      host.rejected(0, 'TIMEOUT', `a connection from ${from} did not introduce itself`);
      socket.destroy();
    });
    socket.on('error', () => {});
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      this.#clearTimer();
      host.closed(this);
    });
    readShared(socket, (chunk) => {
      if (this.#splitter !== null) this.#receive(this.#splitter, chunk);
      else if (this.#handshake !== null) this.#introduce(this.#handshake, chunk, from);
    });
  }

  /** 0 until the peer has introduced itself. */
  get peer(): number {
    return this.#peer;
  }

  get lane(): Lane {
    return this.#lane;
  }

  destroy(): void {
    // Frames that lie in the socket already must not be seen any more.
    this.#splitter = null;
    this.#handshake = null;
    this.#socket.destroy();
  }

  #introduce(handshake: HandshakeBuffer, chunk: Uint8Array, from: string): void {
    let hello: Hello;
    try {
      handshake.append(chunk);
      if (!looksLikePeer(handshake.bytes)) {
        this.#turnAway(handshake.bytes, from);
        return;
      }
      // The version is settled before anything is read whose form may depend on it.
      if (handshake.bytes.length >= PREAMBLE_BYTES) {
        this.#version = negotiateVersion(handshake.bytes, 0, PEER_MAGIC, this.#context.versions);
      }
      if (!handshake.isWhole()) return;
      if (this.#context.policy !== null && isIntroduce(handshake.bytes)) {
        this.#sayLast(encodeIntroduction(this.#context.policy.introduction()));
        return;
      }
      hello = decodeHello(handshake.bytes, HELLO_OFFSET, handshake.bytes.length);
    } catch (error) {
      if (!CordwoodError.is(error)) throw error;
      this.#host.rejected(0, error.code, `a connection from ${from}: ${error.message}`);
      this.#sayLast(encodeRefused({ code: error.code, message: error.message }));
      return;
    }
    const refusal = this.#host.judge(hello);
    if (refusal !== null) {
      this.#host.rejected(hello.from, refusal.code, refusal.message);
      this.#sayLast(encodeRefused(refusal));
      return;
    }
    this.#welcome(hello);
  }

  #welcome(hello: Hello): void {
    const { limits } = this.#context;
    this.#clearTimer();
    this.#handshake = null;
    this.#peer = hello.from;
    this.#lane = hello.lane;
    this.#splitter = new FrameSplitter(maxFrameBytesOf(limits, hello.lane), { trusted: true });
    this.#socket.write(
      encodePeerWelcome({ version: this.#version, ...introductionTo(this.#context, hello.from) }),
    );
    this.#host.established(this, hello);
  }

  #receive(splitter: FrameSplitter, chunk: Uint8Array): void {
    try {
      splitter.push(chunk, this.#onFrame);
    } catch (error) {
      this.destroy();
      if (!CordwoodError.is(error)) throw error;
      this.#host.rejected(this.#peer, error.code, `node ${this.#peer}: ${error.message}`);
    }
  }

  readonly #onFrame = (bytes: Uint8Array, start: number, end: number): void => {
    // The listener may have closed this connection over an earlier frame of the same chunk.
    if (this.#splitter !== null) this.#host.frame(this.#peer, this.#lane, bytes, start, end);
  };

  #turnAway(firstBytes: Uint8Array, from: string): void {
    this.#host.rejected(0, 'PROTOCOL_ERROR', `a connection from ${from} is not from a cluster peer`);
    this.#sayLast(answerForStranger(firstBytes, this.#context.identity.clientAddress));
  }

  #sayLast(bytes: Uint8Array): void {
    this.#handshake = null;
    this.#clearTimer();
    this.#cancelTimer = this.#context.setTimer(LINGER_MS, () => this.#socket.destroy());
    // What still arrives is read and thrown away: closing with unread bytes would reset the connection, and the
    // answer with it.
    this.#socket.end(bytes);
  }

  #clearTimer(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }
}
