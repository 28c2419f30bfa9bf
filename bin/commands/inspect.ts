import type { Command } from 'commander';

export interface InspectOptions {
  readonly json?: boolean;
  readonly records?: boolean;
}

export function register(program: Command): void {
  program
    .command('inspect')
    .summary("read a stopped node's directory and verify every checksum")
    .description(
      "Reads a stopped node's data directory, or a backup file, verifies every checksum in it, and prints what it\n" +
        'holds. Changes nothing. Exit status 1 if it is damaged or lacks something it once had.',
    )
    .argument('<path>', 'data directory, or a file written by cordwood backup')
    .option('--records', 'list every record of the log')
    .option('--json', 'print JSON; with --records a line for each record first')
    .action(async (path: string, options: InspectOptions) => {
      const { inspect } = await import('../support/inspect.ts');
      process.exitCode = await inspect(path, options);
    });
}
