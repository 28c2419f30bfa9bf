import { decodeErrorBody, type LeaderHint } from '../../protocol/client-codec.ts';
import { FRAME_HEADER_BYTES, Kind, Limits, Status } from '../../protocol/constants.ts';
import {
  CordwoodError,
  type ErrorCode,
  ErrorCodes,
  errorCodeOfStatus,
  textOfBareStatus,
} from '../../protocol/errors.ts';
import type { Runtime } from '../node/runtime.ts';
import { mayTellMore, Verdict, verdictOf } from './answer-policy.ts';
import { type Call, Retry } from './call.ts';
import { type CallHost, CallRegistry } from './call-registry.ts';
import type { Channel } from './channel.ts';
import { ClusterLink } from './cluster-link.ts';
import type { Connection } from './connection.ts';
import type { LinkEvents } from './link-events.ts';
import type { ClientSettings } from './options.ts';
import { Routes } from './routes.ts';
import { type SendHost, Sender } from './sender.ts';
import { type CommandQueue, SessionKeeper } from './session-keeper.ts';
import type { Session } from './session.ts';

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
export class Dispatcher implements LinkEvents, CallHost, CommandQueue, SendHost {
  readonly settings: ClientSettings;
  readonly runtime: Runtime;
  readonly link: ClusterLink;
  readonly calls: CallRegistry;
  readonly sender: Sender;
  readonly routes: Routes;
  readonly #events: DispatcherEvents;
  readonly #sessions: SessionKeeper;
  constructor(
    settings: ClientSettings,
    openChannel: (address: string) => Channel,
    runtime: Runtime,
    events: DispatcherEvents,
  ) {
    this.settings = settings;
    this.runtime = runtime;
    this.#events = events;
    this.link = new ClusterLink(settings, openChannel, runtime, this);
    this.sender = new Sender(settings, runtime, this);
    this.routes = new Routes(this.sender, settings.session);
    this.calls = new CallRegistry(settings, runtime, this);
    this.#sessions = new SessionKeeper(this);
  }

  close(): void {
    if (this.calls.closed) return;
    this.calls.close();
    this.sender.close();
    this.#sessions.close();
    for (const connection of this.link.connections()) {
      for (const call of connection.requests.calls()) this.#endClosed(call);
    }
    for (const lane of this.sender.lanes) {
      while (lane.head !== null) this.#endClosed(lane.head);
    }
    this.link.close();
  }

  // What the registry of calls asks for.

  get idle(): boolean {
    return this.link.idle;
  }

  turnNow(exact: boolean): number {
    return this.sender.turnNow(exact);
  }

  onQueued(bytes: number): void {
    this.sender.flushSoon(bytes);
  }

  onExpired(call: Call): void {
    const refusal = call.refusal ?? this.#whyHeld(call);
    const unknown = call.isWrite && (call.uncertain || call.connection !== null);
    // "There is no leader" says more than "it took too long", as long as it is the whole truth.
    const whole = !unknown && (call.connection === null || !call.isWrite);
    const code = refusal !== null && whole ? refusal : 'TIMEOUT';
    this.#end(call, call.failure(code, this.#whyExpired(call, refusal, unknown)));
  }

  onAborted(call: Call, reason: unknown): void {
    this.#end(call, call.failure('ABORTED', 'the call was aborted', reason));
  }

  onTick(nowMs: number): void {
    this.link.watch(nowMs);
  }

  // What the sender asks for.

  get connection(): Connection | null {
    return this.link.active;
  }

  session(): Session | null {
    return this.#sessions.session();
  }

  onSessionUsed(nowMs: number): void {
    this.#sessions.used(nowMs);
  }

  // Events of the link.

  onReady(connection: Connection): void {
    const { maxFrameBytes, maxWindow } = connection.welcome!;
    this.calls.maxFrameBytes = maxFrameBytes;
    this.sender.maxWindow = Math.min(maxWindow, Limits.maxSessionWindow);
    this.sender.clearHolds();
    this.#events.onConnect(connection);
    this.sender.flush();
  }

  onLost(connection: Connection, error: CordwoodError): void {
    for (const call of connection.requests.calls()) {
      this.sender.offWire(call);
      connection.forget(call);
      this.#answerLost(call, error);
    }
    if (!connection.retiring) this.#events.onDisconnect(connection, error);
    this.sender.flushSoon();
  }

  onAbandoned(connection: Connection): void {
    const error = new CordwoodError('CONNECTION_LOST', `${connection.address} does not answer`);
    if (connection.bufferedBytes > 0) {
      // Frames are sent again from where they lie: none of them may still wait in the socket of this one.
      connection.fail(error);
      return;
    }
    connection.abandoned = true;
    for (const call of connection.requests.calls()) {
      // A command that must not be sent twice waits on: the node may answer yet.
      if (call.isWrite && call.retry === Retry.never) continue;
      this.sender.offWire(call);
      connection.forget(call);
      this.#answerLost(call, error);
    }
    this.link.settle(connection);
    this.sender.flushSoon();
  }

  onLeader(leader: LeaderHint | null): void {
    if (leader !== null) {
      this.sender.clearHolds();
      this.sender.flushSoon();
    }
    this.#events.onLeader(leader);
  }

  onDrain(): void {
    this.sender.flushSoon();
  }

  onUnreachable(error: CordwoodError): void {
    this.#events.onUnreachable(error);
  }

  onAnswer(call: Call, status: number, bytes: Uint8Array, start: number, end: number): void {
    this.sender.offWire(call);
    const verdict = verdictOf(status);
    if (verdict === Verdict.result) {
      call.lane.accepted();
      this.calls.finish(call, status, bytes, start, end);
    } else {
      this.#answerOtherwise(call, verdict, status, bytes, start, end);
    }
    // More may be sent now; the answers of this chunk make room together.
    if (call.lane.head !== null) this.sender.flushSoon();
  }

  onTooLarge(call: Call, bytes: number): void {
    this.sender.offWire(call);
    if (call.isWrite) call.uncertain = true;
    const { maxResponseBytes } = this.settings;
    this.#end(
      call,
      call.failure('TOO_LARGE', `the answer has ${bytes} bytes; maxResponseBytes is ${maxResponseBytes}`),
    );
  }

  // What the keeper of sessions tells.

  sessionReady(): void {
    this.sender.flushSoon();
  }

  /** No session can be had: commands that wait for one fail. */
  sessionRefused(error: CordwoodError): void {
    for (let call = this.sender.writes.head; call !== null;) {
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
    for (let call = this.sender.writes.head; call !== null;) {
      const next: Call | null = call.queueNext;
      if (call.session === session) this.#leaveSession(call);
      call = next;
    }
    this.sender.flushSoon();
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

  #answerOtherwise(
    call: Call,
    verdict: Verdict,
    status: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const body = decodeErrorBody(bytes, start - FRAME_HEADER_BYTES, end);
    const told = body.message === '' ? textOfBareStatus(status) : body.message;
    // Of a request of admin the body says more than the status does.
    const isTold = status === Status.refused || (verdict === Verdict.unknown && call.kind === Kind.admin);
    const code = (isTold ? knownCode(body.code) : errorCodeOfStatus(status)) ?? 'OUTCOME_UNKNOWN';
    switch (verdict) {
      case Verdict.refused:
        call.refusal = code;
        this.#tryAgain(call, status);
        return;
      case Verdict.unknown:
        if (call.isWrite) call.uncertain = true;
        call.refusal = null;
        if (call.retry === Retry.always && mayTellMore.has(code)) this.#tryAgain(call, status);
        else this.#end(call, call.failure(code, told));
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
        // Room comes with the next command, which tells the cluster what has been answered. The number is spent.
        call.session?.release(call.seq);
        call.session = null;
        call.seq = 0;
        call.uncertain = false;
        call.refusal = code;
        this.#tryAgain(call, status);
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
    this.sender.flushSoon();
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

  /** Why a call was not sent that was not refused itself, if those are the reason that it waited for. */
  #whyHeld(call: Call): ErrorCode | null {
    const { lane } = call;
    if (call.wantsSession && call.session === null && this.sender.control.lastRefusal !== null)
      return this.sender.control.lastRefusal;
    // Any other refusal is that of one call: a full session says nothing about a command with a key.
    return lane.needsLeader && lane.lastRefusal === 'NO_LEADER' ? 'NO_LEADER' : null;
  }

  #whyExpired(call: Call, refusal: ErrorCode | null, unknown: boolean): string {
    const end = unknown ? 'it may still run' : 'it did not run';
    if (this.link.active === null)
      return `no answer in time; ${end}; not connected to ${this.link.book.describe()}`;
    if (refusal !== null) {
      const what =
        call.refusal === null ? 'not sent in time, for others like it were refused' : 'refused to the end';
      return `${what} (${refusal}); ${end}`;
    }
    return call.connection === null ? `not sent in time; ${end}` : `no answer in time; ${end}`;
  }

  /** Settles a call with an error, wherever it is. */
  #end(call: Call, error: CordwoodError): void {
    const connection = call.connection;
    if (connection !== null) {
      this.sender.offWire(call);
      connection.forget(call);
    }
    call.lane.remove(call);
    this.calls.fail(call, error);
    if (connection !== null) this.link.settle(connection);
    // There is room now, or the call stood in front of others.
    if (call.lane.head !== null) this.sender.flushSoon();
  }

  #endClosed(call: Call): void {
    this.#end(call, call.failure('CLOSED', 'the client was closed'));
  }
}

/** A code out of an answer, if this version knows it. */
function knownCode(code: string): ErrorCode | undefined {
  return ErrorCodes.find((known) => known === code);
}
