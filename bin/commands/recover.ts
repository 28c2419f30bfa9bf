import type { Command } from 'commander';
import { newClusterOptions } from '../support/new-cluster-options.ts';
import type { NewClusterOptions } from '../support/new-cluster-options.ts';

export interface RecoverOptions extends NewClusterOptions {
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly force?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command('recover')
    .summary('a majority of the nodes is lost for good: make a new cluster out of what is left')
    .description(
      'Reads the directories that are left of a cluster whose quorum is lost for good, says which of them has most and\n' +
        'what may be lost, asks, and writes data directories of a new cluster that begins with it. The old directories\n' +
        'stay as they are; nodes that come back with one cannot join the new cluster.',
    )
    .argument('<dir...>', 'data directories of stopped nodes, all that can be had');
  newClusterOptions(command, 'old directories')
    .option('--dry-run', 'say what would be done, and do nothing')
    .option('--yes', 'do not ask')
    .option('--force', 'also when the directories given are a majority and could go on as they are')
    .action(async (directories: string[], options: RecoverOptions) => {
      const { recover } = await import('../support/recover.ts');
      process.exitCode = await recover(directories, options);
    });
}
