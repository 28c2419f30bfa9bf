import type { Command } from 'commander';
import { stackOptions } from '../support/stack-options.ts';
import type { StackOptions } from '../support/stack-options.ts';

export function register(program: Command): void {
  const command = program
    .command('members')
    .summary('list the members of the cluster')
    .description('Lists the members of the cluster, as its leader knows them.');
  stackOptions(command).action(async (options: StackOptions) => {
    const { showMembers } = await import('../support/cluster-status.ts');
    process.exitCode = await showMembers(options);
  });
}
