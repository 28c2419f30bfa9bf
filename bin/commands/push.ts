import type { Command } from 'commander';
import { idempotencyKey, stackOptions } from '../support/stack-options.ts';
import type { StackOptions } from '../support/stack-options.ts';

interface PushOptions extends StackOptions {
  readonly jsonValue?: boolean;
  readonly key?: string;
}

export function register(program: Command): void {
  const command = program
    .command('push')
    .summary('push values')
    .description('Pushes values, all of them or none; the last one ends on top. Prints the new size.')
    .argument('<name>', 'name of the stack, made if there is none')
    .argument('<value...>', 'text; - reads stdin')
    .option('--json-value', 'the values are JSON: numbers, lists, objects, …')
    .option(
      '--key <text>',
      'idempotency key: a repeated command with the same key runs once',
      idempotencyKey,
    );
  stackOptions(command).action(async (name: string, texts: string[], options: PushOptions) => {
    const [{ withStacks }, { printLine }, { readValues }] = await Promise.all([
      import('../support/with-stacks.ts'),
      import('../support/print.ts'),
      import('../support/read-values.ts'),
    ]);
    const values = await readValues(texts, options.jsonValue === true);
    await withStacks(options, async (stacks, call) => {
      const how = options.key === undefined ? call : { ...call, idempotencyKey: options.key };
      const [only] = values;
      const size = await (values.length === 1
        ? stacks.push(name, only!, how)
        : stacks.pushMany(name, values, how));
      printLine(options.json === true ? JSON.stringify({ size }) : size);
    });
  });
}
