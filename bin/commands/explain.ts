import type { Command } from 'commander';
import { stackOptions } from '../support/stack-options.ts';
import type { StackOptions } from '../support/stack-options.ts';

export function register(program: Command): void {
  const command = program
    .command('explain')
    .summary('say what is wrong with the cluster, and why')
    .description(
      'Says why there is no leader, why writes wait, which nodes lag, as each node that answers sees it.\n' +
        'Exit status 1 if any of them sees a problem.',
    );
  stackOptions(command).action(async (options: StackOptions) => {
    const { explainCluster } = await import('../support/explain-cluster.ts');
    process.exitCode = await explainCluster(options);
  });
}
