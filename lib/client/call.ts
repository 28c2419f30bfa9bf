import { CordwoodError, type ErrorCode } from '../../protocol/errors.ts';
import { Kind } from '../../protocol/constants.ts';
import type { SignalWatch } from './abort-signals.ts';
import type { Connection } from './connection.ts';
import { Chunk } from './frame-store.ts';
import type { Lane } from './lane.ts';
import type { Route } from './routes.ts';
import type { Session } from './session.ts';

/**
 * Turns an answer into what the caller gets. Runs while `bytes` are valid: what is kept is copied. Throwing rejects
 * the call. A function of the module, never a closure, so that a call costs no more than its promise.
 */
export type Decode<T> = (status: number, bytes: Uint8Array, start: number, end: number) => T;

/** What becomes of a call whose answer is lost. */
export const Retry = {
  /** It may have run and must not run twice: not sent again. */
  never: 0,
  /** Sent again: a session, a key or its nature keeps it from having an effect twice. */
  always: 1,
} as const;
export type Retry = (typeof Retry)[keyof typeof Retry];

/** What the functions of a promise are while there is none. */
const nothing = (): void => undefined;
const NO_CHUNK = new Chunk(0);

/**
 * One call from the moment it is made until its promise is settled. It is always in exactly one place: waiting in
 * its lane, on the wire of one connection, or settled.
 *
 * Once settled the object is kept for a later call: made anew each time, calls were half of the garbage of a client
 * with thousands of them under way, and most of what the collector copied. So nobody may hold on to a settled call.
 */
export class Call {
  lane!: Lane;
  kind = 0;
  retry: Retry = Retry.never;
  /** Calls are sent in the order they were made: `order` counts them. */
  order = 0;
  decode: Decode<unknown> = nothing;
  resolve: (value: unknown) => void = nothing;
  reject: (error: unknown) => void = nothing;

  /** Frame: `chunk.writer.buffer[offset, offset + bytes)`. */
  chunk: Chunk = NO_CHUNK;
  offset = 0;
  bytes = 0;

  /** Numbers a command carries from its first sending on. `seq` 0: none given yet, or never any. */
  session: Session | null = null;
  seq = 0;

  connection: Connection | null = null;
  requestId = 0;
  settled = true;
  queued = false;
  queuePrevious: Call | null = null;
  queueNext: Call | null = null;

  /** A copy left this process and no answer ever said that this copy was not applied. */
  uncertain = false;
  /** Why the last copy was refused, if it was. */
  refusal: ErrorCode | null = null;

  /** Monotonic milliseconds. */
  deadline = 0;
  wheelSlot = -1;
  wheelPrevious: Call | null = null;
  wheelNext: Call | null = null;

  watch: SignalWatch | null = null;
  watchPrevious: Call | null = null;
  watchNext: Call | null = null;

  begin(
    { lane, kind, retry }: Route,
    order: number,
    decode: Decode<unknown>,
    resolve: (value: unknown) => void,
    reject: (error: unknown) => void,
    chunk: Chunk,
    offset: number,
    bytes: number,
  ): this {
    this.lane = lane;
    this.kind = kind;
    this.retry = retry;
    this.order = order;
    this.decode = decode;
    this.resolve = resolve;
    this.reject = reject;
    this.chunk = chunk;
    this.offset = offset;
    this.bytes = bytes;
    this.settled = false;
    return this;
  }

  /** It belongs to nobody any more, and holds nothing: neither the caller's promise nor memory. */
  end(): void {
    this.settled = true;
    this.resolve = this.reject = nothing;
    this.chunk = NO_CHUNK;
    this.session = null;
    this.seq = 0;
    this.connection = null;
    this.uncertain = false;
    this.refusal = null;
  }

  /** Whether it changes anything: a read that failed has the outcome `not_applied`, whatever happened to it. */
  get isWrite(): boolean {
    return (this.kind >= 0x10 && this.kind <= 0x1f) || this.kind === Kind.admin;
  }

  /** Whether it takes effect in the order in which calls were made. */
  get isCommand(): boolean {
    return this.kind === Kind.command || this.kind === Kind.keyedCommand;
  }

  /** Commands of a session get a sequence number when they are first sent. */
  get wantsSession(): boolean {
    return this.kind === Kind.command && this.retry === Retry.always;
  }

  /** The error that ends this call now, with what can truly be said about the command. */
  failure(code: ErrorCode, message: string, cause?: unknown): CordwoodError {
    const unknown = this.isWrite && (this.uncertain || this.connection !== null);
    return new CordwoodError(code, message, {
      outcome: unknown ? 'unknown' : 'not_applied',
      ...(cause === undefined ? {} : { cause }),
    });
  }
}
