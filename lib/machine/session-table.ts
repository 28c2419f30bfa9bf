import { ByteWriter } from '../../protocol/byte-writer.ts';
import { Limits } from '../../protocol/constants.ts';
import type { LiveView } from './live-views.ts';
import { LiveViews } from './live-views.ts';
import { writeSession } from './session-codec.ts';
import { fairShareBytes, type SessionLimits } from './session-limits.ts';
import { Session, SESSION_TTLS_MS } from './session.ts';

/** Sessions of one lifetime, least recently used first. */
interface UseList {
  oldest: Session | null;
  newest: Session | null;
}

/**
 * All sessions. Everything here is decided by the order of the log and the clock in it, so that every replica ends
 * the same session at the same command (dissertation 6.3: otherwise one replica executes a retry another refuses).
 */
export class SessionTable {
  readonly #views = new LiveViews<Session, Uint8Array>(captureSession);
  readonly #byId = new Map<number, Session>();
  readonly #byNonce = new Map<string, Session>();
  readonly #lists: readonly UseList[] = SESSION_TTLS_MS.map(() => ({ oldest: null, newest: null }));
  /** Number of the next session: never used twice. */
  nextId = 1;
  /** Uses counted so far. */
  useOrder = 0;
  /** Sum of `Session.chargedBytes`. */
  chargedBytes = 0;
  /** No session ends before that: most commands need not look. */
  #noneBeforeMs = 0;

  get count(): number {
    return this.#byId.size;
  }

  get(id: number): Session | undefined {
    return this.#byId.get(id);
  }

  byNonce(nonce: string): Session | undefined {
    return this.#byNonce.get(nonce);
  }

  /** Must be called before a session changes, and counts as a use of it. */
  use(session: Session, nowMs: number): void {
    if (session.mark !== this.#views.lastId) this.#views.beforeChange(session);
    session.lastUsedMs = nowMs;
    session.useOrder = ++this.useOrder;
    this.#lastsUntil(session);
    if (session.newer === null) return;
    const list = this.#listOf(session);
    unlink(list, session);
    append(list, session);
  }

  /** Whether the answer to `seq` finds no place in the session. */
  isFull(session: Session, seq: number, limits: SessionLimits): boolean {
    if (seq - session.low >= Limits.maxSessionWindow || session.bodyBytes >= limits.maxSessionBytes)
      return true;
    const growth = seq < session.next ? 0 : 16 * (seq + 1 - session.next);
    if (this.chargedBytes + growth <= limits.maxAnswerBytes) return false;
    return session.chargedBytes + growth > fairShareBytes(limits, this.count);
  }

  /** Opens a session of one of `SESSION_TTLS_MS`. */
  open(ttlMs: number, nonce: string, nowMs: number): Session {
    const session = new Session(this.nextId++, ttlMs, nonce, this.#views.lastId);
    session.lastUsedMs = nowMs;
    session.useOrder = ++this.useOrder;
    this.#insert(session);
    return session;
  }

  remove(session: Session): void {
    if (session.mark !== this.#views.lastId) this.#views.beforeChange(session);
    this.#byId.delete(session.id);
    if (session.nonce !== '') this.#byNonce.delete(session.nonce);
    unlink(this.#listOf(session), session);
    this.chargedBytes -= session.chargedBytes;
  }

  /** Ends every session that has not been used for its lifetime. */
  expire(nowMs: number): void {
    if (nowMs < this.#noneBeforeMs) return;
    this.#noneBeforeMs = Infinity;
    for (let i = 0; i < this.#lists.length; i++) {
      const list = this.#lists[i]!;
      while (list.oldest !== null && nowMs - list.oldest.lastUsedMs >= SESSION_TTLS_MS[i]!)
        this.remove(list.oldest);
      if (list.oldest !== null) this.#lastsUntil(list.oldest);
    }
  }

  /** Ends the session whose last use is longest ago in the order of the log. */
  evictOldest(): void {
    let oldest: Session | null = null;
    for (const list of this.#lists) {
      const session = list.oldest;
      if (session !== null && (oldest === null || session.useOrder < oldest.useOrder)) oldest = session;
    }
    if (oldest !== null) this.remove(oldest);
  }

  /** A frozen view, taken in constant time: each session as `writeSession` writes it. */
  view(): LiveView<Session, Uint8Array> {
    return this.#views.open(this.#byId, this.nextId);
  }

  /** Takes over sessions read from a snapshot, in any order. */
  restore(sessions: Session[], nextId: number, useOrder: number): void {
    this.nextId = nextId;
    this.useOrder = useOrder;
    for (const session of sessions.sort((a, b) => a.useOrder - b.useOrder)) this.#insert(session);
    // Views rely on the order of ids.
    this.#byId.clear();
    for (const session of sessions.sort((a, b) => a.id - b.id)) this.#byId.set(session.id, session);
  }

  #insert(session: Session): void {
    this.#byId.set(session.id, session);
    if (session.nonce !== '') this.#byNonce.set(session.nonce, session);
    append(this.#listOf(session), session);
    this.#lastsUntil(session);
    this.chargedBytes += session.chargedBytes;
  }

  #lastsUntil({ lastUsedMs, ttlMs }: Session): void {
    if (lastUsedMs + ttlMs < this.#noneBeforeMs) this.#noneBeforeMs = lastUsedMs + ttlMs;
  }

  #listOf(session: Session): UseList {
    return this.#lists[SESSION_TTLS_MS.indexOf(session.ttlMs)]!;
  }
}

function captureSession(session: Session): Uint8Array {
  const out = new ByteWriter(256);
  writeSession(session, out);
  return out.take();
}

function unlink(list: UseList, session: Session): void {
  if (session.older === null) list.oldest = session.newer;
  else session.older.newer = session.newer;
  if (session.newer === null) list.newest = session.older;
  else session.newer.older = session.older;
  session.older = session.newer = null;
}

function append(list: UseList, session: Session): void {
  session.older = list.newest;
  if (list.newest === null) list.oldest = session;
  else list.newest.newer = session;
  list.newest = session;
}
