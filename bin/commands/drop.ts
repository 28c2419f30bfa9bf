import type { Command } from 'commander';
import { stackOptions } from '../support/stack-options.ts';
import type { StackOptions } from '../support/stack-options.ts';

export function register(program: Command): void {
  const command = program
    .command('drop')
    .summary('remove a stack')
    .description('Removes a stack with everything on it. Exit status 1 if there is no such stack.')
    .argument('<name>', 'name of the stack');
  stackOptions(command).action(async (name: string, options: StackOptions) => {
    const [{ withStacks }, { printLine, requireStack }] = await Promise.all([
      import('../support/with-stacks.ts'),
      import('../support/print.ts'),
    ]);
    await withStacks(options, async (stacks, call) => {
      requireStack(name, (await stacks.drop(name, call)) || 'notFound');
      printLine(options.json === true ? JSON.stringify({ name, dropped: true }) : 'dropped');
    });
  });
}
