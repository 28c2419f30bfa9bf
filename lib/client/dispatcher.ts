import {
  beginFrame,
  beginWrite,
  decodeErrorBody,
  endFrame,
  isWriteKind,
  type LeaderHint,
} from '../../protocol/client-codec.ts';
import type { ByteWriter } from '../../protocol/byte-writer.ts';
import { FRAME_HEADER_BYTES, type Kind, Limits, Status } from '../../protocol/constants.ts';
import { CordwoodError, type ErrorCode, errorCodeOfStatus } from '../../protocol/errors.ts';
import type { Runtime } from '../node/runtime.ts';
import { AbortSignals } from './abort-signals.ts';
import { Verdict, verdictOf } from './answer-policy.ts';
import { Call, type Decode, Retry } from './call.ts';
import { HIGH_WATER_BYTES, type Channel } from './channel.ts';
import { ClusterLink, type LinkEvents } from './cluster-link.ts';
import type { Connection } from './connection.ts';
import { Deadlines, TICK_MS } from './deadlines.ts';
import type { Chunk } from './frame-store.ts';
import { Lane } from './lane.ts';
import type { CallOptions, ClientSettings } from './options.ts';
import type { Session } from './session.ts';
import { SessionKeeper } from './session-keeper.ts';
import { Waiters } from './waiters.ts';

export interface DispatcherEvents {
  onConnect(connection: Connection): void;
  onDisconnect(connection: Connection, error: CordwoodError): void;
  onLeader(leader: LeaderHint | null): void;
  onUnreachable(error: CordwoodError): void;
}

/**
 * Brings calls to the cluster and answers back. A call waits in its lane, goes out with everything else that was
 * made in the same turn of the event loop, and comes back to its lane if its answer is lost or says "try again";
 * in the end it is settled with its result or with an error that says truly whether it may have run.
 *
 * Calls are made in two steps, so that a body is written straight to where it leaves from: `begin`, write the
 * body, `commit`.
 */
export class Dispatcher implements LinkEvents {
  readonly settings: ClientSettings;
  readonly runtime: Runtime;
  readonly link: ClusterLink;
  /** Sessions are opened and kept here, ahead of the commands that wait for one. */
  readonly control: Lane = new Lane();
  readonly writes: Lane = new Lane();
  /** Reads that need a leader, and those that any node answers. */
  readonly reads: Lane = new Lane();
  readonly localReads: Lane = new Lane();
  readonly #lanes: readonly Lane[] = [this.writes, this.reads, this.localReads];
  #firstLane = 0;

  /** Calls not settled, and the bytes of their frames. */
  outstanding = 0;
  queuedBytes = 0;
  /** Calls on the wire, and the bytes of their frames. */
  inFlight = 0;
  inFlightBytes = 0;

  readonly #events: DispatcherEvents;
  readonly #sessions: SessionKeeper;
  readonly #waiters = new Waiters();
  readonly #deadlines: Deadlines;
  readonly #signals: AbortSignals;
  #order = 0;
  #maxFrameBytes: number = Limits.maxFrameBytes;
  #maxWindow: number = Limits.maxSessionWindow;
  #now: number;
  #flushScheduled = false;
  #ticking = false;
  #wakeAt = Infinity;
  #cancelTick: (() => void) | null = null;
  #cancelWake: (() => void) | null = null;
  #closed = false;

  /** Of the call that is being made. */
  #lane: Lane = this.writes;
  #kind = 0;
  #chunk: Chunk | null = null;
  #start = 0;
  readonly #flushNow = (): void => {
    this.#flush();
  };

  constructor(
    settings: ClientSettings,
    openChannel: (address: string) => Channel,
    runtime: Runtime,
    events: DispatcherEvents,
  ) {
    this.settings = settings;
    this.runtime = runtime;
    this.#events = events;
    this.#now = runtime.now();
    this.link = new ClusterLink(settings, openChannel, runtime, this);
    this.#sessions = new SessionKeeper(this);
    this.#deadlines = new Deadlines(this.#now, (call) => {
      this.#expire(call);
    });
    this.#signals = new AbortSignals((call, reason) => {
      this.#end(call, call.failure('ABORTED', 'the call was aborted', reason));
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Whether more is queued than goes out at once: a producer with a choice should wait for `ready`. */
  get saturated(): boolean {
    return (
      this.outstanding >= this.settings.maxOutstanding ||
      this.queuedBytes >= this.settings.maxOutstandingBytes
    );
  }

  /** Begins the frame of a call; the caller writes the body to what comes back, at once, and then commits. */
  begin(lane: Lane, kind: Kind, flags: number, bodyBytes: number): ByteWriter {
    const chunk = lane.frames.chunkFor(bodyBytes + 64);
    const out = chunk.writer;
    this.#lane = lane;
    this.#kind = kind;
    this.#chunk = chunk;
    this.#start = isWriteKind(kind) ? beginWrite(out, kind, 0) : beginFrame(out, kind, flags, 0);
    return out;
  }

  /** Takes back what was begun, because the body cannot be written. */
  cancel(): void {
    this.#chunk!.writer.position = this.#start;
  }

  /** Completes the frame and queues the call. */
  commit<T>(retry: Retry, decode: Decode<T>, options: CallOptions | undefined): Promise<T> {
    const lane = this.#lane;
    const chunk = this.#chunk!;
    const start = this.#start;
    const bytes = chunk.writer.position - start;
    const refusal = this.#refusalOf(bytes, options?.signal);
    if (refusal !== null) {
      this.cancel();
      return Promise.reject(refusal);
    }
    endFrame(chunk.writer, start);
    chunk.frames++;
    const promise = new Promise<T>(takeSettlers);
    const call = new Call(
      lane,
      this.#kind,
      retry,
      this.#order++,
      decode,
      lastResolve,
      lastReject,
      chunk,
      start,
      bytes,
    );
    // The clock is read once for all calls of a turn.
    if (!this.#flushScheduled) this.#now = this.runtime.now();
    this.#deadlines.add(call, this.#now + (options?.timeoutMs ?? this.settings.timeoutMs));
    if (options?.signal !== undefined) this.#signals.add(call, options.signal);
    lane.append(call);
    this.outstanding++;
    this.queuedBytes += bytes;
    if (!this.#ticking) this.#tick();
    this.scheduleFlush();
    return promise;
  }

  /**
   * Sends soon: a lone request at the end of the current callback, otherwise with everything that the events of this
   * turn bring, since a write costs more than a hundred requests in it.
   */
  scheduleFlush(): void {
    if (this.#flushScheduled || this.#closed) return;
    this.#flushScheduled = true;
    if (this.inFlight === 0) queueMicrotask(this.#flushNow);
    else this.runtime.defer(this.#flushNow);
  }

  /** Resolves when a call made now would not wait behind more than fits on the wire. */
  ready(signal?: AbortSignal): Promise<void> {
    return this.saturated ? this.#waiters.forRoom(signal) : Promise.resolve();
  }

  /** Resolves when every call made before has ended. */
  drained(): Promise<void> {
    return this.outstanding === 0 ? Promise.resolve() : this.#waiters.forEnd(this.#order, this.outstanding);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelTick?.();
    this.#cancelWake?.();
    this.#sessions.close();
    for (const connection of this.link.connections()) {
      for (const call of connection.requests.calls()) this.#endClosed(call);
    }
    for (const lane of [this.control, ...this.#lanes]) {
      while (lane.head !== null) this.#endClosed(lane.head);
    }
    this.link.close();
    this.#waiters.wakeAll();
  }

  // Events of the link.

  onReady(connection: Connection): void {
    const welcome = connection.welcome!;
    this.#maxFrameBytes = welcome.maxFrameBytes;
    this.#maxWindow = Math.min(welcome.maxWindow, Limits.maxSessionWindow);
    this.#clearHolds();
    this.#events.onConnect(connection);
    this.#flush();
  }

  onLost(connection: Connection, error: CordwoodError): void {
    for (const call of connection.requests.calls()) {
      this.#offWire(call);
      connection.forget(call);
      this.#answerLost(call, error);
    }
    if (!connection.retiring) this.#events.onDisconnect(connection, error);
    this.scheduleFlush();
  }

  onAbandoned(connection: Connection): void {
    const error = new CordwoodError('CONNECTION_LOST', `${connection.address} does not answer`);
    if (connection.bufferedBytes > 0) {
      // Frames are sent again from where they lie: none of them may still wait in the socket of this one.
      connection.fail(error);
      return;
    }
    for (const call of connection.requests.calls()) {
      // A command that must not be sent twice waits on: the node may answer yet.
      if (call.isWrite && call.retry === Retry.never) continue;
      this.#offWire(call);
      connection.forget(call);
      this.#answerLost(call, error);
    }
    this.link.settle(connection);
    this.scheduleFlush();
  }

  onLeader(leader: LeaderHint | null): void {
    if (leader !== null) {
      this.#clearHolds();
      this.scheduleFlush();
    }
    this.#events.onLeader(leader);
  }

  onDrain(): void {
    this.scheduleFlush();
  }

  onUnreachable(error: CordwoodError): void {
    this.#events.onUnreachable(error);
  }

  onAnswer(call: Call, status: number, bytes: Uint8Array, start: number, end: number): void {
    this.#offWire(call);
    const verdict = verdictOf(status);
    if (verdict === Verdict.result) {
      call.lane.accepted();
      this.#finish(call, status, bytes, start, end);
    } else {
      this.#answerOtherwise(call, verdict, status, bytes, start, end);
    }
    // More may be sent now; the answers of this chunk make room together.
    if (call.lane.head !== null) this.scheduleFlush();
  }

  // For the keeper of sessions.

  /** A session is open: the commands that waited for it go. */
  sessionReady(): void {
    this.scheduleFlush();
  }

  /** No session can be had: commands that wait for one fail. */
  sessionRefused(error: CordwoodError): void {
    for (let call = this.writes.head; call !== null;) {
      const next: Call | null = call.queueNext;
      if (call.wantsSession && call.session === null) {
        this.#end(call, call.failure(error.code, `no session: ${error.message}`, error));
      }
      call = next;
    }
  }

  /** The cluster has forgotten the session. What surely did not run goes on in a new one. */
  sessionEnded(session: Session): void {
    if (session.ended) return;
    session.ended = true;
    this.#sessions.ended(session);
    for (let call = this.writes.head; call !== null;) {
      const next: Call | null = call.queueNext;
      if (call.session === session) this.#leaveSession(call);
      call = next;
    }
    this.scheduleFlush();
  }

  #leaveSession(call: Call): void {
    if (call.uncertain) {
      this.#end(
        call,
        call.failure(
          'SESSION_EXPIRED',
          'the session ended before the answer came; the command may have run in it',
        ),
      );
      return;
    }
    call.session = null;
    call.seq = 0;
  }

  // Ways out of here.

  #flush(): void {
    this.#flushScheduled = false;
    const connection = this.link.active;
    if (this.#closed || connection === null) return;
    if (connection.bufferedBytes > HIGH_WATER_BYTES) return;
    this.#now = this.runtime.now();
    const lanes = this.#lanes;
    let complete = this.#sendLane(this.control, connection);
    for (let i = 0; i < lanes.length; i++) {
      const lane = lanes[(this.#firstLane + i) % lanes.length]!;
      complete = this.#sendLane(lane, connection) && complete;
    }
    // With more to send than fits, no kind of call may keep the others from being sent.
    if (!complete) this.#firstLane = (this.#firstLane + 1) % lanes.length;
    connection.flush();
  }

  /** Sends what may be sent of a lane; false if something is left for want of room. */
  #sendLane(lane: Lane, connection: Connection): boolean {
    const { maxOutstanding, maxOutstandingBytes } = this.settings;
    for (let call = lane.head; call !== null; call = lane.head) {
      if (lane.holdUntil > this.#now) {
        this.#wake(lane.holdUntil);
        return true;
      }
      if (lane.probing && lane.probe !== null) return true;
      const bytes = this.inFlightBytes + call.bytes;
      const full = this.inFlight >= maxOutstanding || (bytes > maxOutstandingBytes && this.inFlight > 0);
      if (full && lane !== this.control) return false;
      if (call.wantsSession && call.session === null && !this.#giveNumber(call)) return true;
      lane.remove(call);
      if (lane.probing) lane.probe = call;
      if (call.isWrite) this.#sessions.used(this.#now);
      this.inFlight++;
      this.inFlightBytes = bytes;
      connection.send(call);
    }
    return true;
  }

  /** Numbers a command in the open session; false if there is none, or no number free. */
  #giveNumber(call: Call): boolean {
    const session = this.#sessions.session();
    if (session === null || session.full(this.#maxWindow)) return false;
    call.session = session;
    call.seq = session.take();
    return true;
  }

  #answerOtherwise(
    call: Call,
    verdict: Verdict,
    status: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const code = errorCodeOfStatus(status) ?? 'OUTCOME_UNKNOWN';
    const told = decodeErrorBody(bytes, start - FRAME_HEADER_BYTES, end).message;
    switch (verdict) {
      case Verdict.refused:
        call.refusal = code;
        this.#tryAgain(call, status);
        if (status === Status.noLeader) this.link.refusedForLackOfLeader();
        else if (status === Status.shuttingDown) this.link.activeIsLeaving();
        return;
      case Verdict.unknown:
        if (call.isWrite) call.uncertain = true;
        call.refusal = null;
        if (call.retry === Retry.always) this.#tryAgain(call, status);
        else this.#end(call, call.failure('OUTCOME_UNKNOWN', told));
        return;
      case Verdict.sessionExpired:
        if (call.session === null) {
          this.#end(call, call.failure(code, told));
          return;
        }
        this.sessionEnded(call.session);
        this.#leaveSession(call);
        if (!call.settled) this.#tryAgain(call, status);
        return;
      case Verdict.alreadyAcked:
        call.uncertain = true;
        this.#end(call, call.failure(code, told));
        return;
      case Verdict.never:
        call.uncertain = false;
        this.#end(call, call.failure(code, told));
        return;
      case Verdict.rejected:
      case Verdict.result:
        this.#end(call, call.failure(code, told));
    }
  }

  #tryAgain(call: Call, status: number): void {
    const { runtime } = this;
    call.lane.refused(status, call.refusal, runtime.now(), runtime.random() / 4294967296);
    call.lane.return(call);
    this.scheduleFlush();
  }

  /** The connection ended before the answer came. */
  #answerLost(call: Call, error: CordwoodError): void {
    if (call.isWrite) call.uncertain = true;
    call.refusal = null;
    if (call.isWrite && call.retry === Retry.never) {
      this.#end(call, call.failure('CONNECTION_LOST', error.message, error));
    } else if (call.session?.ended === true) {
      this.#leaveSession(call);
    } else {
      call.lane.return(call);
    }
  }

  #finish(call: Call, status: number, bytes: Uint8Array, start: number, end: number): void {
    let result: unknown;
    try {
      result = call.decode(status, bytes, start, end);
    } catch (error) {
      this.#release(call);
      call.reject(call.isWrite ? truthful(error) : error);
      return;
    }
    this.#release(call);
    call.resolve(result);
  }

  #expire(call: Call): void {
    const waitedFor = call.wantsSession && call.session === null ? this.control.lastRefusal : null;
    const refusal = call.refusal ?? call.lane.lastRefusal ?? waitedFor;
    const unknown = call.isWrite && (call.uncertain || call.connection !== null);
    // "There is no leader" says more than "it took too long", as long as it is the whole truth.
    const code = refusal !== null && !unknown && call.connection === null ? refusal : 'TIMEOUT';
    this.#end(call, call.failure(code, this.#whyExpired(call, refusal, unknown)));
  }

  #whyExpired(call: Call, refusal: ErrorCode | null, unknown: boolean): string {
    const end = unknown ? 'it may still run' : 'it did not run';
    if (this.link.active === null)
      return `no answer in time; ${end}; not connected to ${this.link.book.describe()}`;
    if (refusal !== null) return `refused until the time was up (${refusal}); ${end}`;
    return call.connection === null ? `not sent in time; ${end}` : `no answer in time; ${end}`;
  }

  /** Settles a call with an error, wherever it is. */
  #end(call: Call, error: CordwoodError): void {
    const connection = call.connection;
    if (connection !== null) {
      this.#offWire(call);
      connection.forget(call);
    }
    call.lane.remove(call);
    this.#release(call);
    call.reject(error);
    if (connection !== null) {
      this.link.settle(connection);
      this.scheduleFlush();
    }
  }

  #endClosed(call: Call): void {
    this.#end(call, call.failure('CLOSED', 'the client was closed'));
  }

  #offWire(call: Call): void {
    this.inFlight--;
    this.inFlightBytes -= call.bytes;
    if (call.lane.probe === call) call.lane.probe = null;
  }

  /** Gives back all that a call holds. */
  #release(call: Call): void {
    call.settled = true;
    this.#deadlines.remove(call);
    if (call.watch !== null) this.#signals.remove(call);
    if (call.session !== null) call.session.release(call.seq);
    if (--call.chunk.frames === 0 && this.link.idle) call.lane.frames.recycle(call.chunk);
    this.outstanding--;
    this.queuedBytes -= call.bytes;
    if (this.#waiters.size > 0) this.#waiters.ended(call.order, !this.saturated);
  }

  #refusalOf(bytes: number, signal: AbortSignal | undefined): CordwoodError | null {
    if (this.#closed) return new CordwoodError('CLOSED', 'the client is closed');
    if (signal?.aborted === true) {
      return new CordwoodError('ABORTED', 'the call was aborted before it began', { cause: signal.reason });
    }
    if (bytes > this.#maxFrameBytes) {
      return new CordwoodError(
        'TOO_LARGE',
        `a request of ${bytes} bytes; the cluster takes ${this.#maxFrameBytes}`,
      );
    }
    if (this.queuedBytes + bytes > this.settings.maxQueuedBytes) {
      return new CordwoodError('BUSY', `the client holds ${this.queuedBytes} bytes of requests already`);
    }
    return null;
  }

  #clearHolds(): void {
    this.control.clearHold();
    for (const lane of this.#lanes) lane.clearHold();
  }

  /** Runs while there are calls: deadlines, and connections that have gone silent. */
  #tick(): void {
    this.#ticking = true;
    this.#cancelTick = this.runtime.timer(TICK_MS, () => {
      // Answers that lie in the socket after a stall of this process count: they are read first.
      this.runtime.defer(() => {
        if (this.#closed) return;
        const now = this.runtime.now();
        this.#deadlines.advance(now);
        this.link.watch(now);
        this.#ticking = false;
        if (this.outstanding > 0) this.#tick();
      });
    });
  }

  #wake(at: number): void {
    if (at >= this.#wakeAt) return;
    this.#cancelWake?.();
    this.#wakeAt = at;
    this.#cancelWake = this.runtime.timer(Math.max(1, Math.ceil(at - this.#now)), () => {
      this.#wakeAt = Infinity;
      this.#cancelWake = null;
      this.#flush();
    });
  }
}

let lastResolve: (value: unknown) => void;
let lastReject: (error: unknown) => void;

/** The executor of every call's promise: one function for all, where a closure each would be garbage. */
function takeSettlers(resolve: (value: never) => void, reject: (error: unknown) => void): void {
  lastResolve = resolve as (value: unknown) => void;
  lastReject = reject;
}

/** A command was executed but what it answered cannot be read: saying `not_applied` would be false. */
function truthful(error: unknown): unknown {
  if (!CordwoodError.is(error)) {
    return new CordwoodError('PROTOCOL_ERROR', 'the answer cannot be read', {
      outcome: 'unknown',
      cause: error,
    });
  }
  if (error.code !== 'PROTOCOL_ERROR') return error;
  return new CordwoodError(error.code, error.message, { outcome: 'unknown', cause: error });
}
