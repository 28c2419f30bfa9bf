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

/**
 * Throws an `InvariantError` unless `condition` holds. Each `%` in `detail` stands for one of the numbers behind it:
 * a text put together by the caller would be put together each time, for nothing.
 *
 * @example
 * invariant(index <= log.lastIndex, 'COMMIT_BEYOND_LOG', '%, log ends at %', index, log.lastIndex);
 */
export function invariant(
  condition: boolean,
  code: InvariantCode,
  detail: string,
  first?: number,
  second?: number,
  third?: number,
): asserts condition {
  if (!condition) throw new InvariantError(code, filledIn(detail, [first, second, third]));
}

function filledIn(detail: string, numbers: readonly (number | undefined)[]): string {
  let next = 0;
  return detail.replaceAll('%', () => String(numbers[next++]));
}
