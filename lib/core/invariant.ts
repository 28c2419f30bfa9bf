/**
 * Invariants of the core, checked always, in production too. A violation means that safety can no longer be argued
 * for: the node must stop, and the code says which argument broke. docs/errors.md lists the codes.
 */
export type InvariantCode =
  | 'COMMIT_REGRESSED'
  | 'COMMIT_BEYOND_LOG'
  | 'COMMITTED_ENTRY_CONFLICT'
  | 'LOG_GAP'
  | 'LOG_RANGE'
  | 'TERM_REGRESSED'
  | 'TWO_LEADERS_IN_TERM'
  | 'LEADER_NOT_DURABLE'
  | 'MATCH_BEYOND_LOG'
  | 'NEXT_NOT_ABOVE_MATCH'
  | 'TICKET_ORDER'
  | 'CONFIG_EMPTY'
  | 'UNSAFE_NUMBER';

export class InvariantError extends Error {
  override readonly name = 'InvariantError';
  readonly code: InvariantCode;

  constructor(code: InvariantCode, detail: string) {
    super(`${code}: ${detail}`);
    this.code = code;
  }
}

/** Throws an `InvariantError` unless `condition` holds. `detail` must be cheap to build: it is built each time. */
export function invariant(condition: boolean, code: InvariantCode, detail: string): asserts condition {
  if (!condition) throw new InvariantError(code, detail);
}
