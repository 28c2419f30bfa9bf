import { decodeErrorBody, type LeaderHint } from '../../protocol/client-codec.ts';
import { FRAME_HEADER_BYTES, Limits } from '../../protocol/constants.ts';
import { CordwoodError, type ErrorCode, errorCodeOfStatus } from '../../protocol/errors.ts';
import type { Runtime } from '../node/runtime.ts';
import { Verdict, verdictOf } from './answer-policy.ts';
import { type Call, Retry } from './call.ts';
import { type CallHost, CallRegistry } from './call-registry.ts';
import { HIGH_WATER_BYTES, type Channel } from './channel.ts';
import { ClusterLink, type LinkEvents } from './cluster-link.ts';
import type { Connection } from './connection.ts';
import { Lane } from './lane.ts';
import type { ClientSettings } from './options.ts';
import { type CommandQueue, SessionKeeper } from './session-keeper.ts';
import type { Session } from './session.ts';

/** In the last moments of its time a refused command is not sent again. */
const LAST_TRY_MS = 40;

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
 */
export class Dispatcher implements LinkEvents, CallHost, CommandQueue {
  readonly settings: ClientSettings;
  readonly runtime: Runtime;
  readonly link: ClusterLink;
  readonly calls: CallRegistry;
  /** Sessions are opened and kept here, ahead of the commands that wait for one. */
  readonly control: Lane = new Lane(true);
  readonly writes: Lane = new Lane();
  /** Reads that need a leader, and those that any node answers. */
  readonly reads: Lane = new Lane();
  readonly localReads: Lane = new Lane();
  readonly #lanes: readonly Lane[] = [this.writes, this.reads, this.localReads];
  #firstLane = 0;

  /** Calls on the wire, and the bytes of their frames. */
  inFlight = 0;
  inFlightBytes = 0;

  readonly #events: DispatcherEvents;
  readonly #sessions: SessionKeeper;
  #maxWindow: number = Limits.maxSessionWindow;
  #now: number;
  #flushScheduled = false;
  #wakeAt = Infinity;
  #cancelWake: (() => void) | null = null;
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
    this.calls = new CallRegistry(settings, runtime, this);
    this.#sessions = new SessionKeeper(this);
  }

  /**
   * Sends soon: a lone request at the end of the current callback, otherwise with everything that the events of this
   * turn bring, since a write costs more than a hundred requests in it.
   */
  scheduleFlush(): void {
    if (this.#flushScheduled || this.calls.closed) return;
    this.#flushScheduled = true;
    if (this.inFlight === 0) queueMicrotask(this.#flushNow);
    else this.runtime.defer(this.#flushNow);
  }

  close(): void {
    if (this.calls.closed) return;
    this.calls.close();
    this.#cancelWake?.();
    this.#sessions.close();
    for (const connection of this.link.connections()) {
      for (const call of connection.requests.calls()) this.#endClosed(call);
    }
    for (const lane of [this.control, ...this.#lanes]) {
      while (lane.head !== null) this.#endClosed(lane.head);
    }
    this.link.close();
  }

  // What the registry of calls asks for.

  get idle(): boolean {
    return this.link.idle;
  }

  turnNow(): number {
    if (!this.#flushScheduled) this.#now = this.runtime.now();
    return this.#now;
  }

  onQueued(): void {
    this.scheduleFlush();
  }

  onExpired(call: Call): void {
    const waitedFor = call.wantsSession && call.session === null ? this.control.lastRefusal : null;
    const refusal = call.refusal ?? call.lane.lastRefusal ?? waitedFor;
    const unknown = call.isWrite && (call.uncertain || call.connection !== null);
    // "There is no leader" says more than "it took too long", as long as it is the whole truth.
    const code = refusal !== null && !unknown && call.connection === null ? refusal : 'TIMEOUT';
    this.#end(call, call.failure(code, this.#whyExpired(call, refusal, unknown)));
  }

  onAborted(call: Call, reason: unknown): void {
    this.#end(call, call.failure('ABORTED', 'the call was aborted', reason));
  }

  onTick(nowMs: number): void {
    this.link.watch(nowMs);
  }

  // Events of the link.

  onReady(connection: Connection): void {
    const { maxFrameBytes, maxWindow } = connection.welcome!;
    this.calls.maxFrameBytes = maxFrameBytes;
    this.#maxWindow = Math.min(maxWindow, Limits.maxSessionWindow);
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
      this.calls.finish(call, status, bytes, start, end);
    } else {
      this.#answerOtherwise(call, verdict, status, bytes, start, end);
    }
    // More may be sent now; the answers of this chunk make room together.
    if (call.lane.head !== null) this.scheduleFlush();
  }

  // What the keeper of sessions tells.

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
    if (this.calls.closed || connection === null || connection.bufferedBytes > HIGH_WATER_BYTES) return;
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
      if (lane.probing && (lane.probe !== null || this.#isTooLate(call))) return true;
      const bytes = this.inFlightBytes + call.bytes;
      const full = this.inFlight >= maxOutstanding || (bytes > maxOutstandingBytes && this.inFlight > 0);
      if (full && !lane.urgent) return false;
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

  /**
   * Whether a call that was refused had better end with that refusal: were it sent once more and its time ended before
   * the answer came, nobody could say whether it had run.
   */
  #isTooLate(call: Call): boolean {
    return call.refusal !== null && call.isWrite && call.deadline - this.#now < LAST_TRY_MS;
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
    this.calls.fail(call, error);
    if (connection !== null) this.link.settle(connection);
    // There is room now, or the call stood in front of others.
    if (call.lane.head !== null) this.scheduleFlush();
  }

  #endClosed(call: Call): void {
    this.#end(call, call.failure('CLOSED', 'the client was closed'));
  }

  #offWire(call: Call): void {
    this.inFlight--;
    this.inFlightBytes -= call.bytes;
    if (call.lane.probe === call) call.lane.probe = null;
  }

  #clearHolds(): void {
    this.control.clearHold();
    for (const lane of this.#lanes) lane.clearHold();
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
