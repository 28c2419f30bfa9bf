import type { Command } from 'commander';
import { stackOptions } from '../support/stack-options.ts';
import type { StackOptions } from '../support/stack-options.ts';

interface TopOptions extends StackOptions {
  readonly raw?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command('top')
    .summary('print the top value')
    .description('Prints the top value and leaves it there. Exit status 1 if there is nothing.')
    .argument('<name>', 'name of the stack')
    .option('--raw', 'no newline behind the value');
  stackOptions(command).action(async (name: string, options: TopOptions) => {
    const [{ withStacks }, { printTaken }] = await Promise.all([
      import('../support/with-stacks.ts'),
      import('../support/print.ts'),
    ]);
    await withStacks(options, async (stacks, call) =>
      printTaken(name, await stacks.top(name, call), options),
    );
  });
}
