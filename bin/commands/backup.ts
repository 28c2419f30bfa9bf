import type { Command } from 'commander';
import { stackOptions } from '../support/stack-options.ts';
import type { StackOptions } from '../support/stack-options.ts';

export interface BackupCommandOptions extends StackOptions {
  readonly force?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command('backup')
    .summary('write the whole state of a running cluster to a file')
    .description(
      'Asks a node for the whole state and writes it to a file. Everything acknowledged before is in it. The file gets\n' +
        'its name only when it is complete, has been read again, and is durable. See: cordwood restore.',
    )
    .argument('<file>', 'where to write it')
    .option('--force', 'replace a file that is there, or that a link leads to');
  stackOptions(command).action(async (file: string, options: BackupCommandOptions) => {
    const { backup } = await import('../support/backup-file.ts');
    process.exitCode = await backup(file, options);
  });
}
