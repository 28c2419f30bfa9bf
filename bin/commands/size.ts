import type { Command } from 'commander';
import { stackOptions } from '../support/stack-options.ts';
import type { StackOptions } from '../support/stack-options.ts';

export function register(program: Command): void {
  const command = program
    .command('size')
    .summary('print how many values are on a stack')
    .description('Prints how many values are on a stack. Exit status 1 if there is no such stack.')
    .argument('<name>', 'name of the stack');
  stackOptions(command).action(async (name: string, options: StackOptions) => {
    const [{ withStacks }, { printLine, requireStack }] = await Promise.all([
      import('../support/with-stacks.ts'),
      import('../support/print.ts'),
    ]);
    await withStacks(options, async (stacks, call) => {
      const size = requireStack(name, (await stacks.size(name, call)) ?? 'notFound');
      printLine(options.json === true ? JSON.stringify({ size }) : size);
    });
  });
}
