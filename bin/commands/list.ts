import type { Command } from 'commander';
import { integer } from '../support/numbers.ts';
import { stackOptions } from '../support/stack-options.ts';
import type { StackOptions } from '../support/stack-options.ts';

interface ListOptions extends StackOptions {
  readonly after?: string;
  readonly limit: number;
}

export function register(program: Command): void {
  const command = program
    .command('list')
    .summary('list the stacks')
    .description('Prints the stacks in the order of their names: size, tab, name.')
    .argument('[prefix]', 'only names that begin so', '')
    .option('--after <name>', 'go on behind this name')
    .option('--limit <n>', 'at most so many', integer('--limit', 1, 1_000_000), 1_000);
  stackOptions(command).action(async (prefix: string, options: ListOptions) => {
    const [{ withStacks }, { listStacks }, { printStacks }] = await Promise.all([
      import('../support/with-stacks.ts'),
      import('../support/list-stacks.ts'),
      import('../support/print.ts'),
    ]);
    await withStacks(options, async (stacks, call) => {
      printStacks(await listStacks(stacks, prefix, options.after ?? '', options.limit, call), options);
    });
  });
}
