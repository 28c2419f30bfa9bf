import { CordwoodError } from '../../protocol/errors.ts';

/** What the command's exit status says. Scripts rely on it: these numbers do not change. */
export const ExitCode = {
  /** Done. */
  ok: 0,
  /** Done, and the answer is no: no such stack, nothing on it. */
  negative: 1,
  /** The command line makes no sense. */
  usage: 2,
  /** It did not happen and will not: try again. */
  notApplied: 3,
  /** It may have happened, or may happen still. */
  unknown: 4,
  /** A node could not start, or was stopped by a fault of its own. */
  failed: 5,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

export const EXIT_CODE_HELP = `
Exit status:
  0  done
  1  done, and the answer is no (no such stack, or nothing on it)
  2  the command line makes no sense
  3  it was not carried out and will not be: try again
  4  the outcome is unknown: it may have happened
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
  if (!CordwoodError.is(error)) {
    const message = error instanceof Error ? error.message : String(error);
    return { line: `cordwood: ${oneLine(message)}`, exitCode: ExitCode.failed };
  }
  const line = `cordwood: ${error.code} ${oneLine(error.message)} (${error.outcome})`;
  if (error.outcome === 'unknown') return { line, exitCode: ExitCode.unknown };
  if (error.code === 'NOT_FOUND') return { line, exitCode: ExitCode.negative };
  if (error.code === 'BAD_OPTION') return { line, exitCode: ExitCode.usage };
  return { line, exitCode: STARTING.has(error.code) ? ExitCode.failed : ExitCode.notApplied };
}

const STARTING: ReadonlySet<string> = new Set([
  'ADDRESS_IN_USE',
  'DIRECTORY_LOCKED',
  'WRONG_CLUSTER',
  'WRONG_NODE',
  'LOG_DAMAGED',
  'LOG_FAILED',
  'SNAPSHOT_DAMAGED',
  'MACHINE_FAILED',
]);

/** Text from elsewhere on one line, without control characters that a terminal would obey. */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, (character) => {
    if (character === '\n') return '\\n';
    if (character === '\t') return '\\t';
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
