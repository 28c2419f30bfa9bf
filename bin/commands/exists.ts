import type { Command } from 'commander';
import { stackOptions } from '../support/stack-options.ts';
import type { StackOptions } from '../support/stack-options.ts';

export function register(program: Command): void {
  const command = program
    .command('exists')
    .summary('is there a stack of that name?')
    .description('Tells whether there is a stack of that name: prints yes or no; the exit status is 0 or 1.')
    .argument('<name>', 'name of the stack');
  stackOptions(command).action(async (name: string, options: StackOptions) => {
    const [{ withStacks }, { printLine }, { ExitCode }] = await Promise.all([
      import('../support/with-stacks.ts'),
      import('../support/print.ts'),
      import('../support/exit-codes.ts'),
    ]);
    await withStacks(options, async (stacks, call) => {
      const exists = await stacks.exists(name, call);
      printLine(options.json === true ? JSON.stringify({ exists }) : exists ? 'yes' : 'no');
      if (!exists) process.exitCode = ExitCode.negative;
    });
  });
}
