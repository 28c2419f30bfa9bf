import type { Command } from 'commander';
import { stackOptions } from '../support/stack-options.ts';
import type { StackOptions } from '../support/stack-options.ts';

export function register(program: Command): void {
  const command = program
    .command('create')
    .summary('make a stack')
    .description('Makes a stack. One that is there already stays as it is.')
    .argument('<name>', 'name of the stack');
  stackOptions(command).action(async (name: string, options: StackOptions) => {
    const [{ withStacks }, { printLine }] = await Promise.all([
      import('../support/with-stacks.ts'),
      import('../support/print.ts'),
    ]);
    await withStacks(options, async (stacks, call) => {
      const created = await stacks.create(name, call);
      printLine(options.json === true ? JSON.stringify({ name, created }) : created ? 'created' : 'exists');
    });
  });
}
