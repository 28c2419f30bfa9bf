import { Status } from '../../protocol/constants.ts';
import type { ErrorCode } from '../../protocol/errors.ts';

/** What an answer means for the call it belongs to. */
export const Verdict = {
  /** The machine's answer: the call is done. */
  result: 0,
  /** This copy did not run and never will, and the same node or another may take the next one. */
  refused: 1,
  /** This copy may have run, or may run still. */
  unknown: 2,
  /** This copy did not run, and another would fare no better. */
  rejected: 3,
  /** Neither this copy nor any other of this sequence number has run or will run; under a new number it may. */
  never: 4,
  /** The session is gone. */
  sessionExpired: 5,
  /** It ran, or was given up; the answer is gone. */
  alreadyAcked: 6,
} as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** Statuses of a machine are below this. */
const MACHINE_STATUSES = 64;

/** Statuses this version does not know may mean anything: `unknown`. */
export function verdictOf(status: number): Verdict {
  if (status < MACHINE_STATUSES) return Verdict.result;
  switch (status) {
    case Status.noLeader:
    case Status.busy:
    case Status.shuttingDown:
      return Verdict.refused;
    case Status.tooLarge:
    case Status.malformed:
    case Status.diskFull:
    case Status.unauthorized:
    case Status.unsupported:
    case Status.keyReused:
    case Status.refused:
      return Verdict.rejected;
    case Status.sessionFull:
      return Verdict.never;
    case Status.sessionExpired:
      return Verdict.sessionExpired;
    case Status.alreadyAcked:
      return Verdict.alreadyAcked;
    default:
      return Verdict.unknown;
  }
}

/**
 * Codes of `unknown` after which a request of admin is asked again. Whoever answers next may know how it ended. Any other code is what became of a change that had begun: one that is in the
 * log and was not committed in time would, asked for again, be told that another is under way, which is itself.
 */
export const mayTellMore: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'OUTCOME_UNKNOWN',
  'NOT_LEADER',
  'SHUTTING_DOWN',
]);

/**
 * How long after the `refusals`-th refusal in a row (counted from 1) the next try leaves. While a leader is being
 * elected tries are frequent: work should go on within milliseconds of the election. `random` in [0, 1).
 */
export function retryDelayMs(status: number, refusals: number, random: number): number {
  if (status === Status.busy) return Math.min(100, 2 ** Math.min(refusals, 7)) * (0.5 + random);
  return 10 + 10 * random;
}
