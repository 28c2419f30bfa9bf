import { CordwoodError } from '../../protocol/errors.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import { systemError } from './system-errors.ts';

/** What the command's exit status says. Scripts rely on it: these numbers do not change. */
export const ExitCode = {
  /** Done. */
  ok: 0,
  /** Done, and the answer is no: no such stack, nothing on it. */
  negative: 1,
  /** Wrong input: the command line, or a path, name or value in it. */
  usage: 2,
  /** It did not happen and will not. */
  notApplied: 3,
  /** It may have happened, or may happen still; or it has, and nobody was told what came of it. */
  unknown: 4,
  /** A node could not start, or was stopped by a fault of its own. */
  failed: 5,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

export const EXIT_CODE_HELP = `
Exit status:
  0  done
  1  done, and the answer is no (no such stack, or nothing on it)
  2  wrong input: the command line, or a path, name or value in it
  3  it was not carried out and will not be: try again, or see what the code says
  4  the outcome is unknown, or could not be printed: it may have happened
  5  a node could not start, or was stopped by a fault
`;

/** What is wrong with the command line. One line, exit status 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The answer is no: `code` is `NOT_FOUND` or `EMPTY`. One line, exit status 1. */
export class NegativeAnswer extends Error {
  override readonly name = 'NegativeAnswer';
  readonly code: 'NOT_FOUND' | 'EMPTY';

  constructor(code: 'NOT_FOUND' | 'EMPTY', message: string) {
    super(message);
    this.code = code;
  }
}

/** Whatever ended a command, as one line for stderr and an exit status. */
export function verdictOf(error: unknown): { line: string; exitCode: ExitCode } {
  if (error instanceof UsageError) return { line: `cordwood: ${error.message}`, exitCode: ExitCode.usage };
  if (error instanceof NegativeAnswer) {
    return { line: `cordwood: ${error.code} ${error.message} (not_applied)`, exitCode: ExitCode.negative };
  }
  const known = CordwoodError.is(error) ? error : systemError(error);
  if (known === null) {
    const message = error instanceof Error ? error.message : String(error);
    return { line: `cordwood: ${oneLine(message)}`, exitCode: ExitCode.failed };
  }
  const { code, message, outcome } = known;
  const line = `cordwood: ${code} ${oneLine(message)} (${outcome})`;
  if (outcome === 'unknown') return { line, exitCode: ExitCode.unknown };
  return { line, exitCode: EXIT_CODES.get(code) ?? ExitCode.notApplied };
}

/** Of what did not happen. */
const EXIT_CODES: ReadonlyMap<ErrorCode, ExitCode> = new Map<ErrorCode, ExitCode>([
  ['NOT_FOUND', ExitCode.negative],
  // To try these again never helps.
  ['BAD_OPTION', ExitCode.usage],
  ['BAD_COMMAND', ExitCode.usage],
  ['MALFORMED', ExitCode.usage],
  ['TOO_LARGE', ExitCode.usage],
  ['KEY_REUSED', ExitCode.usage],
  ['ADDRESS_IN_USE', ExitCode.failed],
  ['DIRECTORY_LOCKED', ExitCode.failed],
  ['WRONG_CLUSTER', ExitCode.failed],
  ['WRONG_NODE', ExitCode.failed],
  ['LOG_DAMAGED', ExitCode.failed],
  ['LOG_FAILED', ExitCode.failed],
  ['SNAPSHOT_DAMAGED', ExitCode.failed],
  ['MACHINE_FAILED', ExitCode.failed],
]);

/** Text from elsewhere on one line, without control characters that a terminal would obey. */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, (character) => {
    if (character === '\n') return '\\n';
    if (character === '\t') return '\\t';
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
