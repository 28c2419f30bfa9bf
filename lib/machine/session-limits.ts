/**
 * Limits of the session layer. They decide results, so **they must be the same on every node of a cluster**: two
 * nodes with different ones end up in different states.
 */
export interface SessionLimits {
  /** Sessions; beyond it the least recently used one ends. Default 100,000. */
  readonly maxSessions: number;
  /** Lifetime of an unused session that did not ask for one. Default one hour. */
  readonly defaultTtlMs: number;
  /** Bytes of unfetched answers of one session; further commands get `sessionFull`. Default 16 MiB. */
  readonly maxSessionBytes: number;
  /** Bytes of all sessions' answers; beyond it sessions are held to an equal share each. Default 256 MiB. */
  readonly maxAnswerBytes: number;
  /** Idempotency keys remembered. Default 100,000. */
  readonly maxKeys: number;
  /** Bytes of idempotency keys and their answers. Default 64 MiB. */
  readonly maxKeyBytes: number;
  /** Age up to which an idempotency key is remembered. Default 24 hours. */
  readonly keyTtlMs: number;
}

export const defaultSessionLimits: SessionLimits = {
  maxSessions: 100_000,
  defaultTtlMs: 3_600_000,
  maxSessionBytes: 16 << 20,
  maxAnswerBytes: 256 << 20,
  maxKeys: 100_000,
  maxKeyBytes: 64 << 20,
  keyTtlMs: 24 * 3_600_000,
};

/** However many sessions there are, each may hold this much. */
const MIN_SHARE_BYTES = 4096;

/** Bytes one of `sessions` sessions may hold once all of them together hold too much. */
export function fairShareBytes(limits: SessionLimits, sessions: number): number {
  return Math.max(MIN_SHARE_BYTES, Math.floor(limits.maxAnswerBytes / Math.max(1, sessions)));
}

/** Commands a session may have refused in places its ring cannot hold; one more ends it. */
export const MAX_SCATTERED_REFUSALS = 4096;
