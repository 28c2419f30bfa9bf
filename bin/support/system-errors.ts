import { PATH_FAULTS } from '../../lib/log/disk-error.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import type { ErrorCode, Outcome } from '../../protocol/errors.ts';

interface Meaning {
  readonly code: ErrorCode;
  readonly outcome: Outcome;
  readonly of: readonly string[];
}

/**
 * What an error of the system means for whoever gave the command. What the library expects has a code from there;
 * what comes through as it is came of a path or an address that was given.
 */
const MEANINGS: readonly Meaning[] = [
  { code: 'BAD_OPTION', outcome: 'not_applied', of: PATH_FAULTS },
  { code: 'BAD_OPTION', outcome: 'not_applied', of: ['EADDRNOTAVAIL', 'ENOTFOUND'] },
  { code: 'DISK_FULL', outcome: 'not_applied', of: ['ENOSPC', 'EDQUOT', 'EFBIG'] },
  { code: 'ADDRESS_IN_USE', outcome: 'not_applied', of: ['EADDRINUSE'] },
  {
    code: 'CONNECTION_LOST',
    outcome: 'not_applied',
    of: ['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'EAI_AGAIN'],
  },
  // What was sent before may have been carried out.
  { code: 'CONNECTION_LOST', outcome: 'unknown', of: ['ECONNRESET', 'EPIPE', 'ETIMEDOUT'] },
];
const OTHERS: Omit<Meaning, 'of'> = { code: 'LOG_FAILED', outcome: 'not_applied' };

/** An error of the system as one of this package; null for any other error. */
export function systemError(error: unknown): CordwoodError | null {
  if (!(error instanceof Error) || CordwoodError.is(error)) return null;
  const { code: name, syscall } = error as NodeJS.ErrnoException;
  if (name === undefined || syscall === undefined) return null;
  const { code, outcome } = MEANINGS.find(({ of }) => of.includes(name)) ?? OTHERS;
  return new CordwoodError(code, textOf(error.message), { outcome, cause: error });
}

/** Whether it is this machine's own disk that failed, and not a connection. */
export function isOfDisk(error: unknown): boolean {
  const code = systemError(error)?.code;
  return code === 'BAD_OPTION' || code === 'DISK_FULL' || code === 'LOG_FAILED';
}

/** Of `EROFS: read-only file system, mkdir '/x'`, first what was tried. */
function textOf(message: string): string {
  const [, name, why, what] = /^(E[A-Z0-9]+): (.+?), (.+)$/s.exec(message) ?? [];
  return what === undefined ? message : `${what}: ${why} (${name})`;
}
