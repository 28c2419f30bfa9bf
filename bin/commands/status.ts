import type { Command } from 'commander';
import { stackOptions } from '../support/stack-options.ts';
import type { StackOptions } from '../support/stack-options.ts';

export function register(program: Command): void {
  const command = program
    .command('status')
    .summary('ask every node how it is')
    .description('Asks every node how it is. Exit status 3 if none of them knows a leader.');
  stackOptions(command).action(async (options: StackOptions) => {
    const { showStatus } = await import('../support/cluster-status.ts');
    process.exitCode = await showStatus(options);
  });
}
