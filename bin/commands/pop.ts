import type { Command } from 'commander';
import { integer } from '../support/numbers.ts';
import { idempotencyKey, stackOptions } from '../support/stack-options.ts';
import type { StackOptions } from '../support/stack-options.ts';

interface PopOptions extends StackOptions {
  readonly count?: number;
  readonly raw?: boolean;
  readonly key?: string;
}

export function register(program: Command): void {
  const command = program
    .command('pop')
    .summary('take the top value off')
    .description('Takes the top value off and prints it. Exit status 1 if there is nothing.')
    .argument('<name>', 'name of the stack')
    .option(
      '--count <n>',
      'take up to so many, top first, and no more than about 1 MiB: if there are fewer, ask again',
      integer('--count', 1, 1_000_000),
    )
    .option('--raw', 'no newline behind the value')
    .option(
      '--key <text>',
      'idempotency key: a repeated command with the same key runs once',
      idempotencyKey,
    );
  stackOptions(command).action(async (name: string, options: PopOptions) => {
    const [{ withStacks }, { printMany, printTaken, requireStack }] = await Promise.all([
      import('../support/with-stacks.ts'),
      import('../support/print.ts'),
    ]);
    await withStacks(options, async (stacks, call) => {
      const how = options.key === undefined ? call : { ...call, idempotencyKey: options.key };
      if (options.count === undefined) printTaken(name, await stacks.pop(name, how), options);
      else printMany(name, requireStack(name, await stacks.popMany(name, options.count, how)), options);
    });
  });
}
