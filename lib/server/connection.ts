import type { Socket } from 'node:net';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { encodeError, encodeLeader, encodeWelcome, negotiateVersion } from '../../protocol/client-codec.ts';
import { Limits, PREAMBLE_BYTES } from '../../protocol/constants.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { Intake } from '../node/intake.ts';
import type { Sink } from '../node/sink.ts';
import type { LeaderInfo, Requests } from '../node/types.ts';
import { readShared } from '../transport/read-buffer.ts';
import { CountedRequests } from './counted-requests.ts';
import type { FrameTotals } from './counted-requests.ts';
import type { InputBudget, UnfinishedInput } from './input-budget.ts';
import type { ServerLimits } from './limits.ts';
import type { OutputBudget, UnsentOutput } from './output-budget.ts';

/** Room for answers to begin with, and to go back to after a large one. */
const OUT_BYTES = 16 << 10;
/** A larger buffer is not kept for the next turn. */
const KEEP_BYTES = 256 << 10;

/** Why a connection reads nothing at the moment. It reads again when no reason is left. */
const Hold = { saturated: 1, output: 2, ending: 4 } as const;

/** What a connection needs of the front door it belongs to. */
export interface ConnectionHost {
  readonly node: Requests;
  readonly limits: ServerLimits;
  readonly output: OutputBudget;
  readonly input: InputBudget;
  readonly totals: FrameTotals;
  /** Said once, when the connection is gone. */
  onClose(connection: Connection): void;
  /** A client broke the rules, or was cut off. */
  onFault(connection: Connection, code: string, message: string): void;
}

/**
 * One client of the binary protocol: preamble, welcome, then frames both ways.
 *
 * Nothing that arrives here can throw past this class: a frame that breaks the rules gets an `error` frame and
 * ends this connection and no other.
 */
export class Connection implements Sink {
  /** Answers of the node. */
  readonly out: ByteWriter = new ByteWriter(OUT_BYTES);
  readonly remote: string;
  /** Frames of this connection's own: welcome, leader, error, refusals of the intake. */
  readonly #own: Sink = { out: new ByteWriter(256), flush: () => this.#send(this.#own.out) };
  readonly #socket: Socket;
  readonly #host: ConnectionHost;
  readonly #requests: CountedRequests;
  readonly #unsent: UnsentOutput;
  readonly #unfinished: UnfinishedInput;
  #intake: Intake | null = null;
  #preamble: Uint8Array = new Uint8Array(0);
  #holds = 0;
  #lastWords = false;
  #closed = false;
  /** For the preamble first, for the other side's FIN at the end. */
  #timer: NodeJS.Timeout | null;

  /** @param handshakeMs what is left of the time for the preamble. */
  constructor(socket: Socket, host: ConnectionHost, handshakeMs: number) {
    this.#socket = socket;
    this.#host = host;
    this.#requests = new CountedRequests(host.node, this, host.totals);
    this.remote = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}`;
    this.#timer = setTimeout(() => {
      this.#fail('PROTOCOL_ERROR', 'the preamble did not arrive in time');
    }, handshakeMs);
    this.#unsent = host.output.watch(socket, (why) => this.#cutOff(why));
    this.#unfinished = host.input.watch((why) => this.#cutOff(why));
    readShared(socket, (chunk) => this.#onData(chunk));
    socket.on('drain', () => this.#onDrain());
    socket.on('end', () => this.end());
    socket.on('close', () => this.#onClose());
  }

  /** Begins with the bytes that were read before this connection existed. The socket is paused. */
  start(head: Buffer): void {
    this.#onData(head);
    if (this.#holds === 0) this.#socket.resume();
  }

  /** Answers are made faster than the client takes them. */
  get full(): boolean {
    return (this.#holds & Hold.output) !== 0;
  }

  /** Hands the answers of this turn to the kernel: one write, however many there are. */
  flush(): void {
    const out = this.out;
    if (out.position === 0) return;
    this.#requests.answered(out.buffer, out.position);
    this.#send(out);
    if ((this.#holds & Hold.ending) !== 0) this.#endIfAnswered();
  }

  /** Tells the client who leads now. */
  tellLeader(leader: LeaderInfo | null): void {
    if (this.#intake === null || this.#closed || (this.#holds & Hold.ending) !== 0) return;
    encodeLeader(this.#own.out, leader);
    this.#own.flush();
  }

  /** Reads no more requests, gives the answers that are due, then closes. */
  end(): void {
    this.#hold(Hold.ending);
    this.#endIfAnswered();
  }

  /** As `end`, and the last frame tells the client that the node stops. */
  shutDown(): void {
    if (this.#intake === null) this.destroy();
    else {
      this.#lastWords = true;
      this.end();
    }
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #onData(chunk: Buffer): void {
    if (this.#closed || (this.#holds & Hold.ending) !== 0) return;
    try {
      const intake = this.#intake;
      if (intake === null) this.#handshake(chunk);
      else intake.feed(chunk);
    } catch (error) {
      if (CordwoodError.is(error)) this.#fail(error.code, error.message);
      else this.#fail('PROTOCOL_ERROR', 'this node could not take the request', error);
      return;
    }
    this.#unfinished.set(this.#intake?.pendingBytes ?? 0);
    const node = this.#host.node;
    if (node.saturated && (this.#holds & Hold.saturated) === 0) {
      this.#hold(Hold.saturated);
      node.onRoom(() => this.#release(Hold.saturated));
    }
  }

  #handshake(chunk: Buffer): void {
    const missing = PREAMBLE_BYTES - this.#preamble.length;
    this.#preamble = Buffer.concat([this.#preamble, chunk.subarray(0, missing)]);
    if (this.#preamble.length < PREAMBLE_BYTES) return;
    this.#stopTimer();
    const node = this.#host.node;
    const version = negotiateVersion(this.#preamble, 0);
    encodeWelcome(this.#own.out, {
      version,
      clusterId: node.clusterId,
      nodeId: node.id,
      maxFrameBytes: node.maxFrameBytes,
      maxWindow: Limits.maxSessionWindow,
      leader: node.leader,
    });
    this.#own.flush();
    this.#intake = new Intake(this.#requests, this.#own);
    if (chunk.length > missing) this.#intake.feed(chunk.subarray(missing));
  }

  /** Says why, and closes. What was submitted before may still be applied; its answers are dropped. */
  #fail(code: string, message: string, cause?: unknown): void {
    if (this.#closed) return;
    this.#hold(Hold.ending);
    this.#requests.detach(this);
    this.out.clear();
    this.#host.onFault(this, code, cause instanceof Error ? `${message}: ${cause.message}` : message);
    encodeError(this.#own.out, code, message);
    this.#own.flush();
    this.#finish();
  }

  /** One write, however many frames. */
  #send(out: ByteWriter): void {
    const socket = this.#socket;
    if (this.#closed || !socket.writable) {
      out.clear();
      return;
    }
    socket.write(out.buffer.subarray(0, out.position));
    // Mostly the kernel has taken all of it before write() returns, and then the buffer is ours again.
    if (socket.writableLength > 0 || out.buffer.length > KEEP_BYTES) out.leave(OUT_BYTES);
    else out.clear();
    if (socket.writableLength > 0 || this.#unsent.bytes > 0) this.#weigh();
  }

  /** Acts when what the kernel has not taken yet grows too long. */
  #weigh(): void {
    const { pauseOutputBytes, maxOutputBytes } = this.#host.limits;
    const bytes = this.#unsent.weigh();
    if (bytes > maxOutputBytes) this.#cutOff('it does not take its answers as fast as it asks');
    else if (bytes > pauseOutputBytes) this.#hold(Hold.output);
  }

  #onDrain(): void {
    this.#weigh();
    this.#release(Hold.output);
  }

  #cutOff(why: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#requests.detach(this);
    this.#host.onFault(this, 'CONNECTION_LOST', why);
    this.destroy();
  }

  #hold(reason: number): void {
    if (this.#holds === 0) this.#socket.pause();
    this.#holds |= reason;
  }

  #release(reason: number): void {
    if ((this.#holds & reason) === 0) return;
    this.#holds &= ~reason;
    if (this.#holds === 0 && !this.#closed) this.#socket.resume();
  }

  #endIfAnswered(): void {
    if (this.#requests.outstanding > 0) return;
    if (this.#lastWords) {
      this.#lastWords = false;
      encodeError(this.#own.out, 'SHUTTING_DOWN', 'this node is stopping');
      this.#own.flush();
    }
    this.#finish();
  }

  /** Sends what is queued and closes; a client that does not read it is cut off. */
  #finish(): void {
    if (this.#closed || this.#socket.writableEnded) return;
    this.#stopTimer();
    this.#socket.end();
    // Closing with unread bytes would send a reset, which can overtake our last words: read on and listen to none
    // of it, until the other side closes too or has had time to.
    this.#socket.resume();
    this.#timer = setTimeout(() => this.destroy(), this.#host.limits.closeGraceMs);
  }

  #stopTimer(): void {
    if (this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  #onClose(): void {
    this.#closed = true;
    this.#stopTimer();
    this.out.clear();
    this.#requests.detach(this);
    this.#host.input.forget(this.#unfinished);
    this.#host.onClose(this);
  }
}
