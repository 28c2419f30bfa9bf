import { ByteWriter } from '../../protocol/byte-writer.ts';
import { encodeCloseSession } from '../../protocol/client-codec.ts';
import { Status, WRITE_HEADER_BYTES } from '../../protocol/constants.ts';
import { CordwoodError, type ErrorCode, errorCodeOfStatus } from '../../protocol/errors.ts';
import { decodeValue, writeValue } from '../../protocol/msgpack.ts';
import type { Runtime } from '../node/runtime.ts';
import type { CallRegistry } from './call-registry.ts';
import type { ClusterLink } from './cluster-link.ts';
import type { ClientSettings } from './options.ts';
import type { Routes } from './routes.ts';
import { Session } from './session.ts';

/** Long enough for a suspended laptop to come back; an idle client sends a keep-alive every third of it. */
const DEFAULT_TTL_MS = 600_000;
/** The longest lifetime there is (PROTOCOL.md, 5): a third of more would be too late for the keep-alive. */
export const MAX_TTL_MS = 604_800_000;
/**
 * How long opening one may take at least. Commands wait for it as long as they like themselves, and the default may be
 * meant for reads: where a commit takes longer, every try would be given up before its answer.
 */
const MIN_OPEN_MS = 5000;

/** After these another try may succeed; after any other error no session can be had. */
const passing: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'TIMEOUT',
  'NO_LEADER',
  'BUSY',
  'SHUTTING_DOWN',
  'CONNECTION_LOST',
  'OUTCOME_UNKNOWN',
]);

/** Where commands wait for a session. */
export interface CommandQueue {
  readonly settings: ClientSettings;
  readonly runtime: Runtime;
  readonly calls: CallRegistry;
  readonly link: ClusterLink;
  readonly routes: Routes;
  /** A session is open, or another try to open one is due: commands that wait are looked at again. */
  sessionReady(): void;
  /** No session can be had: commands that wait for one fail. */
  sessionRefused(error: CordwoodError): void;
  /** The cluster has forgotten the session. */
  sessionEnded(session: Session): void;
}

/** Opens the client's session when the first command needs it, keeps it while the client is idle, and ends it. */
export class SessionKeeper {
  readonly #queue: CommandQueue;
  readonly #ttlMs: number;
  #session: Session | null = null;
  #opening = false;
  /** The same for every try to open one session, so that the cluster opens only one. */
  #nonce = 0;
  #lastUsedMs = 0;
  #cancelTimer: (() => void) | null = null;

  constructor(queue: CommandQueue) {
    this.#queue = queue;
    this.#ttlMs = Math.min(queue.settings.sessionTtlMs ?? DEFAULT_TTL_MS, MAX_TTL_MS);
  }

  /** The session commands belong to now; null while one is being opened. */
  session(): Session | null {
    if (this.#session === null) this.#open();
    return this.#session;
  }

  /** A command of the session leaves now; each keeps it alive. */
  used(nowMs: number): void {
    this.#lastUsedMs = nowMs;
  }

  ended(session: Session): void {
    if (this.#session !== session) return;
    this.#session = null;
    this.#cancelTimer?.();
  }

  /** Tells the cluster, if that takes no waiting. */
  close(): void {
    this.#cancelTimer?.();
    const { active } = this.#queue.link;
    if (this.#session === null || active === null || active.bufferedBytes > 0) return;
    const out = new ByteWriter(WRITE_HEADER_BYTES);
    encodeCloseSession(out, 0, this.#session.id);
    active.writeLast(out.take());
    this.#session = null;
  }

  #open(): void {
    if (this.#opening) return;
    this.#opening = true;
    const queue = this.#queue;
    const { runtime, routes, calls, settings } = queue;
    if (this.#nonce === 0) this.#nonce = 1 + runtime.random() * 0x100000 + (runtime.random() >>> 12);
    const request = { ttlMs: this.#ttlMs, nonce: this.#nonce };
    const writeBody = (out: ByteWriter): void => {
      writeValue(out, request);
    };
    const options = { timeoutMs: Math.max(settings.timeoutMs, MIN_OPEN_MS) };
    const id = calls.make(routes.openSession, 64, writeBody, decodeSessionNumber, options);
    id.then(
      (number) => {
        if (calls.closed) return;
        this.#opening = false;
        this.#nonce = 0;
        this.#session = new Session(number, this.#ttlMs);
        this.#lastUsedMs = runtime.now();
        this.#keepAliveLater();
        queue.sessionReady();
      },
      (error: unknown) => {
        this.#opening = false;
        const { code } = error as CordwoodError;
        if (!passing.has(code)) queue.sessionRefused(error as CordwoodError);
        // The next flush opens again if commands still wait.
        else queue.sessionReady();
      },
    );
  }

  #keepAliveLater(): void {
    const { runtime } = this.#queue;
    const idleMs = this.#ttlMs / 3;
    const dueMs = this.#lastUsedMs + idleMs - runtime.now();
    this.#cancelTimer = runtime.timer(Math.max(1, Math.ceil(dueMs)), () => {
      const session = this.#session;
      if (session === null) return;
      if (runtime.now() - this.#lastUsedMs >= idleMs) this.#keepAlive(session, idleMs);
      this.#keepAliveLater();
    });
  }

  #keepAlive(session: Session, timeoutMs: number): void {
    const queue = this.#queue;
    this.#lastUsedMs = queue.runtime.now();
    const { calls, routes } = queue;
    const writeIds = (out: ByteWriter): void => {
      out.position -= 16;
      out.u64(session.id).u64(0);
    };
    const options = { timeoutMs: Math.ceil(timeoutMs) };
    calls.make(routes.keepAlive, 0, writeIds, decodeNothing, options).then(
      () => {},
      (error: unknown) => {
        if ((error as CordwoodError).code === 'SESSION_EXPIRED') queue.sessionEnded(session);
      },
    );
  }
}

/** The answer to openSession: the session's number. */
function decodeSessionNumber(status: number, bytes: Uint8Array, start: number, end: number): number {
  if (status !== Status.ok) {
    throw new CordwoodError(
      errorCodeOfStatus(status) ?? 'PROTOCOL_ERROR',
      `the cluster opens no session (status ${status})`,
    );
  }
  const id = decodeValue(bytes, start, end);
  if (typeof id !== 'number' || !Number.isSafeInteger(id) || id < 1) {
    throw new CordwoodError('PROTOCOL_ERROR', 'the answer to openSession has no session number');
  }
  return id;
}

function decodeNothing(): void {}
