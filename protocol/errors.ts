import { Status } from './constants.ts';

/** What a caller knows after an error. */
export type Outcome =
  /** It did not happen and never will. */
  | 'not_applied'
  /** It may have happened, or may happen still. */
  | 'unknown';

/**
 * Every code an operation of this package can fail with. Codes are stable; messages are not.
 * docs/errors.md has one line for each.
 */
export const ErrorCodes = [
  // answers of a cluster
  'NO_LEADER',
  'BUSY',
  'OUTCOME_UNKNOWN',
  'TOO_LARGE',
  'MALFORMED',
  'DISK_FULL',
  'SHUTTING_DOWN',
  'UNAUTHORIZED',
  'UNSUPPORTED',
  'SESSION_EXPIRED',
  'SESSION_FULL',
  'KEY_REUSED',
  'BAD_COMMAND',
  'LIMIT',
  'NOT_FOUND',
  // changing members
  'NOT_LEADER',
  'CHANGE_PENDING',
  'CONFIG_MISMATCH',
  'WOULD_LOSE_QUORUM',
  'ID_RETIRED',
  'NOT_EMPTY',
  'UNREACHABLE',
  // calls that ended on this side
  'TIMEOUT',
  'ABORTED',
  'CLOSED',
  'CONNECTION_LOST',
  'PROTOCOL_ERROR',
  // starting and running a node
  'BAD_OPTION',
  'ADDRESS_IN_USE',
  'DIRECTORY_LOCKED',
  'WRONG_CLUSTER',
  'WRONG_NODE',
  'INCARNATION_CHANGED',
  'NODE_REMOVED',
  'UNKNOWN_PEER',
  'INCOMPATIBLE_VERSION',
  'LOG_DAMAGED',
  'LOG_FAILED',
  'SNAPSHOT_DAMAGED',
  'MACHINE_FAILED',
  'STATE_DIVERGED',
] as const;
export type ErrorCode = (typeof ErrorCodes)[number];

const brand = Symbol.for('cordwood.error');

export interface CordwoodErrorOptions extends ErrorOptions {
  readonly outcome?: Outcome;
  readonly encoded?: Uint8Array | undefined;
}

/**
 * The error of everything in this package that can go wrong at run time. Programming mistakes are plain
 * `TypeError` and `RangeError`.
 *
 * @example
 * try { await client.push('jobs', 1) } catch (error) {
 *   if (CordwoodError.is(error) && error.outcome === 'not_applied') retryLater();
 * }
 */
export class CordwoodError extends Error {
  override readonly name = 'CordwoodError';
  readonly code: ErrorCode;
  /** `unknown` only where the command may have been applied. */
  readonly outcome: Outcome;
  /** The msgpack of an answer that came and cannot be decoded: a value that a pop took off is nowhere else. */
  declare readonly encoded?: Uint8Array;

  constructor(code: ErrorCode, message: string, options: CordwoodErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.outcome = options.outcome ?? (code === 'OUTCOME_UNKNOWN' ? 'unknown' : 'not_applied');
    if (options.encoded !== undefined) this.encoded = options.encoded;
    Object.defineProperty(this, brand, { value: true });
  }

  /** Recognises errors of any copy of this package. */
  static is(error: unknown): error is CordwoodError {
    return typeof error === 'object' && error !== null && brand in error;
  }
}

const codeOfStatus = new Map<number, ErrorCode>([
  [Status.notFound, 'NOT_FOUND'],
  [Status.badCommand, 'BAD_COMMAND'],
  [Status.limit, 'LIMIT'],
  [Status.sessionExpired, 'SESSION_EXPIRED'],
  [Status.alreadyAcked, 'SESSION_EXPIRED'],
  [Status.sessionFull, 'SESSION_FULL'],
  [Status.keyReused, 'KEY_REUSED'],
  [Status.noLeader, 'NO_LEADER'],
  [Status.busy, 'BUSY'],
  [Status.unknown, 'OUTCOME_UNKNOWN'],
  [Status.tooLarge, 'TOO_LARGE'],
  [Status.malformed, 'MALFORMED'],
  [Status.diskFull, 'DISK_FULL'],
  [Status.shuttingDown, 'SHUTTING_DOWN'],
  [Status.unauthorized, 'UNAUTHORIZED'],
  [Status.unsupported, 'UNSUPPORTED'],
  // Only for want of a better one: the body of such an answer has the code.
  [Status.refused, 'CHANGE_PENDING'],
]);

/** The error code a response status stands for; undefined for statuses that are results. */
export function errorCodeOfStatus(status: number): ErrorCode | undefined {
  return codeOfStatus.get(status);
}

/** What answers of the session layer mean: they carry no text, because all replicas must answer the same bytes. */
const textOfStatus = new Map<number, string>([
  [Status.sessionExpired, 'the session has ended'],
  [Status.alreadyAcked, 'the answer was acknowledged before and is gone'],
  [Status.sessionFull, 'too many answers of the session wait to be taken'],
  [
    Status.unknown,
    'it was handed to the machine, and what came of it could not be sent: answers are too large',
  ],
  [Status.keyReused, 'the idempotency key was used for another command'],
]);

/** Says what a status means whose answer brought no text of its own; empty for those that always do. */
export function textOfBareStatus(status: number): string {
  return textOfStatus.get(status) ?? '';
}
