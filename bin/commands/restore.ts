import type { Command } from 'commander';
import { newClusterOptions } from '../support/new-cluster-options.ts';
import type { NewClusterOptions } from '../support/new-cluster-options.ts';

export function register(program: Command): void {
  const command = program
    .command('restore')
    .summary('make a new cluster out of a backup')
    .description(
      'Writes data directories of a new cluster that begins with the state in a backup. The new cluster has an id of\n' +
        'its own: nodes and clients of the old one do not mix with it.',
    )
    .argument('<file>', 'written by cordwood backup');
  newClusterOptions(command, 'file').action(async (file: string, options: NewClusterOptions) => {
    const { restore } = await import('../support/restore.ts');
    process.exitCode = await restore(file, options);
  });
}
