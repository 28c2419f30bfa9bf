import type { Command } from 'commander';
import { integer } from '../support/numbers.ts';
import { stackOptions } from '../support/stack-options.ts';
import type { StackOptions } from '../support/stack-options.ts';

export function register(program: Command): void {
  const command = program
    .command('transfer')
    .summary('hand leadership to another node')
    .description('Hands leadership to a voter, or to the one that is furthest along. Prints the new leader.')
    .argument('[id]', 'who shall lead', integer('a node id', 1, Number.MAX_SAFE_INTEGER));
  stackOptions(command).action(async (id: number | undefined, options: StackOptions) => {
    const { withAdmin } = await import('../support/with-admin.ts');
    const leader = await withAdmin(options, (admin) => admin.transfer(id, { timeoutMs: options.timeout }));
    process.stdout.write(
      options.json === true ? `${JSON.stringify({ leader })}\n` : `node ${leader} leads\n`,
    );
  });
}
