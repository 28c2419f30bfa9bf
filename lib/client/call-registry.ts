import type { ByteWriter } from '../../protocol/byte-writer.ts';
import { beginFrame, beginWrite, endFrame, isWriteKind } from '../../protocol/client-codec.ts';
import { Limits } from '../../protocol/constants.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import type { Runtime } from '../node/runtime.ts';
import { AbortSignals } from './abort-signals.ts';
import { Call, type Decode } from './call.ts';
import { Deadlines, TICK_MS } from './deadlines.ts';
import type { Chunk } from './frame-store.ts';
import type { Lane } from './lane.ts';
import type { CallOptions, ClientSettings } from './options.ts';
import type { Route } from './routes.ts';
import { Waiters } from './waiters.ts';

/** What a call takes beside its frame: itself, its promise, what the caller does with that (measured: 600 bytes). */
const CALL_BYTES = 600;
/** Settled calls kept for later ones: 4 MB at most. */
const MAX_SPARE_CALLS = 16_384;
/** Without a time limit of their own one in 64 calls of a turn looks at the clock; the others share what it saw. */
const LOOK_MASK = 63;

/** What the registry needs of whoever carries the calls. */
export interface CallHost {
  /** Monotonic milliseconds; unless `exact`, calls made in one turn of the event loop may share a look at the clock. */
  turnNow(exact: boolean): number;
  /** A new call waits in its lane; its frame has so many bytes. */
  onQueued(bytes: number): void;
  onExpired(call: Call): void;
  onAborted(call: Call, reason: unknown): void;
  /** Comes every `TICK_MS` while there are calls. */
  onTick(nowMs: number): void;
  /** Whether no bytes of any frame wait in a socket. */
  readonly idle: boolean;
}

/**
 * All calls from being made to being settled, and everything they hold: memory, deadlines, abort signals.
 */
export class CallRegistry {
  /** Calls of callers that are not settled: a keep-alive may wait for minutes, and nobody for it. */
  outstanding = 0;
  /** Of the frames of all calls that are not settled. */
  queuedBytes = 0;
  maxFrameBytes: number = Limits.maxFrameBytes;

  readonly #settings: ClientSettings;
  readonly #runtime: Runtime;
  readonly #host: CallHost;
  readonly #waiters = new Waiters();
  readonly #deadlines: Deadlines;
  readonly #signals: AbortSignals;
  readonly #spare: Call[] = [];
  #order = 0;
  #cancelTick: (() => void) | null = null;
  #ticking = false;
  #closed = false;

  /** Of the call that is being made. */
  #making = false;
  #chunk: Chunk | null = null;
  #start = 0;

  constructor(settings: ClientSettings, runtime: Runtime, host: CallHost) {
    this.#settings = settings;
    this.#runtime = runtime;
    this.#host = host;
    this.#deadlines = new Deadlines(runtime.now(), (call) => {
      host.onExpired(call);
    });
    this.#signals = new AbortSignals((call, reason) => {
      host.onAborted(call, reason);
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Whether there are more calls than go out at once: a producer with a choice should wait for `ready`. */
  get saturated(): boolean {
    const { maxOutstanding, maxOutstandingBytes, maxQueuedBytes } = this.#settings;
    const { outstanding, queuedBytes } = this;
    if (outstanding >= maxOutstanding || queuedBytes >= maxOutstandingBytes) return true;
    // One more like those there are would be refused. With none there is room, or nobody would ever be woken.
    return this.#heldBytes * (outstanding + 1) > maxQueuedBytes * outstanding;
  }

  /**
   * Makes a call and queues it. `writeBody` is called at once, so that a body is written straight to where it leaves
   * from; if it throws there is no call, and the promise rejects with that.
   */
  make<T>(
    route: Route,
    bodyBytes: number,
    writeBody: (out: ByteWriter) => void,
    decode: Decode<T>,
    options: CallOptions | undefined,
  ): Promise<T> {
    const out = this.#begin(route, bodyBytes);
    try {
      writeBody(out);
    } catch (error) {
      this.#cancel(route);
      return Promise.reject(error instanceof Error ? error : new Error(String(error)));
    }
    return this.#commit(route, decode, options);
  }

  #begin({ lane, kind, flags }: Route, bodyBytes: number): ByteWriter {
    if (this.#making) throw new Error('a call was made while the body of another was being written');
    this.#making = true;
    const chunk = lane.frames.chunkFor(bodyBytes + 64);
    const out = chunk.writer;
    this.#chunk = chunk;
    this.#start = isWriteKind(kind) ? beginWrite(out, kind, 0) : beginFrame(out, kind, flags, 0);
    return out;
  }

  /** Takes back what was begun, because the body cannot be written. */
  #cancel({ lane }: Route): void {
    this.#making = false;
    this.#chunk!.writer.position = this.#start;
    lane.frames.shed();
  }

  /** Completes the frame and queues the call. */
  #commit<T>(route: Route, decode: Decode<T>, options: CallOptions | undefined): Promise<T> {
    this.#making = false;
    const chunk = this.#chunk!;
    const start = this.#start;
    const bytes = chunk.writer.position - start;
    const signal = options?.signal;
    const timeoutMs = options?.timeoutMs ?? this.#settings.timeoutMs;
    const refusal = unknownOption(options) ?? this.#refusalOf(route.lane, bytes, signal, timeoutMs);
    if (refusal !== null) {
      this.#cancel(route);
      return Promise.reject(refusal);
    }
    endFrame(chunk.writer, start);
    chunk.frames++;
    const promise = new Promise<T>(takeSettlers);
    const order = this.#order++;
    const call = (this.#spare.pop() ?? new Call()).begin(
      route,
      order,
      decode,
      lastResolve,
      lastReject,
      chunk,
      start,
      bytes,
    );
    // A turn may take long: a call with a time limit of its own would be given less than that, or nothing.
    const exact = options?.timeoutMs !== undefined || (order & LOOK_MASK) === 0;
    this.#deadlines.add(call, this.#host.turnNow(exact) + timeoutMs);
    if (signal !== undefined) this.#signals.add(call, signal);
    route.lane.append(call);
    this.outstanding += route.lane.weight;
    this.queuedBytes += bytes;
    if (!this.#ticking) this.#tick();
    this.#host.onQueued(bytes);
    return promise;
  }

  /** Settles a call that is neither queued nor on the wire with what its answer decodes to. */
  finish(call: Call, status: number, bytes: Uint8Array, start: number, end: number): void {
    const { resolve, reject } = call;
    let result: unknown;
    try {
      result = call.decode(status, bytes, start, end);
    } catch (error) {
      this.#release(call);
      reject(call.isWrite ? truthful(error) : error);
      return;
    }
    this.#release(call);
    resolve(result);
  }

  /** As `finish`, with an error. */
  fail(call: Call, error: CordwoodError): void {
    const { reject } = call;
    this.#release(call);
    reject(error);
  }

  /** Resolves when a call made now would neither wait behind more than fits on the wire nor be refused for want of room. */
  ready(signal?: AbortSignal): Promise<void> {
    return this.saturated ? this.#waiters.forRoom(signal) : Promise.resolve();
  }

  /** Resolves when every call made before has ended. */
  drained(): Promise<void> {
    return this.outstanding === 0 ? Promise.resolve() : this.#waiters.forEnd(this.#order, this.outstanding);
  }

  /** From now on calls are refused. Those there are the host must still settle. */
  close(): void {
    this.#closed = true;
    this.#cancelTick?.();
  }

  /** Gives back all that a call holds. */
  #release(call: Call): void {
    this.#deadlines.remove(call);
    if (call.watch !== null) this.#signals.remove(call);
    if (call.session !== null) call.session.release(call.seq);
    if (--call.chunk.frames === 0 && this.#host.idle) call.lane.frames.recycle(call.chunk);
    this.outstanding -= call.lane.weight;
    this.queuedBytes -= call.bytes;
    if (this.#waiters.size > 0) {
      const order = call.lane.weight === 0 ? Infinity : call.order;
      this.#waiters.ended(order, this.#closed || !this.saturated);
    }
    call.end();
    if (this.#spare.length < MAX_SPARE_CALLS) this.#spare.push(call);
  }

  #refusalOf(lane: Lane, bytes: number, signal: AbortSignal | undefined, timeoutMs: number): Error | null {
    if (this.#closed) return new CordwoodError('CLOSED', 'the client is closed');
    if (typeof timeoutMs !== 'number')
      return new TypeError(`timeoutMs must be a number, not ${typeof timeoutMs}`);
    if (!(timeoutMs >= 0)) return new RangeError(`timeoutMs must be a number from 0 up, not ${timeoutMs}`);
    if (signal !== undefined) {
      // The controller in place of its signal is easily given; found any later, half of the call would be there already.
      if (!isSignal(signal)) return new TypeError('signal must be an AbortSignal');
      if (signal.aborted)
        return new CordwoodError('ABORTED', 'the call was aborted before it began', { cause: signal.reason });
    }
    if (bytes > this.maxFrameBytes) {
      return new CordwoodError(
        'TOO_LARGE',
        `a request of ${bytes} bytes; the cluster takes ${this.maxFrameBytes}`,
      );
    }
    const held = this.#heldBytes;
    if (held + bytes > this.#settings.maxQueuedBytes && !lane.urgent) {
      return new CordwoodError('BUSY', `the client holds ${held} bytes of requests already`);
    }
    return null;
  }

  get #heldBytes(): number {
    return this.queuedBytes + this.outstanding * CALL_BYTES;
  }

  #tick(): void {
    this.#ticking = true;
    this.#cancelTick = this.#runtime.timer(TICK_MS, () => {
      // Answers that lie in the socket after a stall of this process count: they are read first.
      this.#runtime.defer(() => {
        if (this.#closed) return;
        const now = this.#runtime.now();
        this.#deadlines.advance(now);
        this.#host.onTick(now);
        this.#ticking = false;
        if (this.#deadlines.size > 0) this.#tick();
      });
    });
  }
}

/** What some call takes. A misspelt one would have no effect: without its key a command would run twice. */
const CALL_OPTIONS: ReadonlySet<string> = new Set([
  'signal',
  'timeoutMs',
  'idempotencyKey',
  'level',
  'maxStalenessMs',
  'prefix',
  'pageSize',
]);

function unknownOption(options: CallOptions | undefined): TypeError | null {
  for (const name in options)
    if (!CALL_OPTIONS.has(name)) return new TypeError(`${name} is no option of a call`);
  return null;
}

function isSignal(value: unknown): value is AbortSignal {
  return typeof (value as AbortSignal | null)?.addEventListener === 'function';
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
  if (CordwoodError.is(error) && error.code !== 'PROTOCOL_ERROR') return error;
  const known = CordwoodError.is(error);
  const what = known ? error.message : 'the answer cannot be read';
  return new CordwoodError('PROTOCOL_ERROR', `the command ran, but ${what}`, {
    outcome: 'unknown',
    encoded: known ? error.encoded : undefined,
    cause: error,
  });
}
