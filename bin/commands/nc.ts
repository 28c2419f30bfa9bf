import type { Command } from 'commander';
import { integer } from '../support/numbers.ts';

export interface NcOptions {
  readonly addr?: string;
  readonly timeout: number;
  readonly window: number;
  readonly json?: boolean;
  readonly hex?: boolean;
}

export function register(program: Command): void {
  program
    .command('nc')
    .summary('netcat-style: a line in, a line out')
    .description(
      'Reads commands from stdin, a line each, and prints a line for each, in the same order. Many are under way at a time.',
    )
    .argument('[host:port]', 'node to begin with (default: --addr, $CORDWOOD_ADDR or the local cluster)')
    .option('--addr <list>', 'nodes to talk to, host:port,…')
    .option('--timeout <ms>', 'how long to try each command', integer('--timeout', 1, 3_600_000), 10_000)
    .option('--window <n>', 'commands under way at a time', integer('--window', 1, 32_768), 4_096)
    .option('--json', 'replies as JSON')
    .option('--hex', 'show the frames on stderr')
    .addHelpText(
      'after',
      `
Lines:
  push NAME VALUE   the value is the rest of the line; prints the new size
  pop NAME          prints the value (as JSON if it is no text or has a line break in it)
  top NAME   size NAME   create NAME   exists NAME   drop NAME
  list [PREFIX]     prints [[name, size], …]
  status   help   quit
A name with spaces is written as a JSON string: push "my stack" hello
What did not work is answered with a line: ERR CODE message. Empty lines are skipped.
Nothing on the stack: ERR EMPTY message, or {"empty":true} with --json.

  seq 100000 | sed 's/^/push 1 /' | cordwood nc | tail -1`,
    )
    .action(async (target: string | undefined, options: NcOptions) => {
      const { runNc } = await import('../nc/run-nc.ts');
      process.exitCode = await runNc(target, options);
    });
}
