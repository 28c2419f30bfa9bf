import { ExitCode, oneLine } from './exit-codes.ts';

/** Commands that change nothing: whose output was lost they may be given again. */
const READS: ReadonlySet<string> = new Set([
  'exists',
  'top',
  'size',
  'list',
  'status',
  'members',
  'explain',
  'inspect',
  'help',
]);

/** Whoever reads our output may stop when it has enough. */
function isReaderGone({ code }: NodeJS.ErrnoException): boolean {
  return code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED';
}

/**
 * Says on stderr, once, that what the command prints could not be written, and sees to it that the exit status says so:
 * a pop into a full disk was done, and must end neither as if its value had been printed nor as if there was none.
 */
export function watchOutput(args: readonly string[]): void {
  const [command = ''] = args;
  const reads = READS.has(command) || command === '' || (command.startsWith('-') && args.length === 1);
  let lost = false;
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (lost || isReaderGone(error)) return;
    lost = true;
    const outcome = reads ? 'not_applied' : 'unknown';
    process.stderr.write(
      `cordwood: the output could not be written: ${oneLine(error.message)} (${outcome})\n`,
    );
  });
  // There is nowhere left to say it.
  process.stderr.on('error', () => {});
  process.on('exit', (code) => {
    if (!lost) return;
    // Any other status says already that something went wrong.
    if (code === ExitCode.ok || code === ExitCode.negative)
      process.exitCode = reads ? ExitCode.notApplied : ExitCode.unknown;
  });
}
