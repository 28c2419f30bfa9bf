import type { Command } from 'commander';
import { integer } from '../support/numbers.ts';
import type { ChangeCommandOptions } from '../support/with-admin.ts';

/** A parser for commander: `1,2,4`. */
const ids = (text: string): number[] => text.split(',').map((part) => nodeId(part.trim()));
const nodeId = integer('a node id', 1, Number.MAX_SAFE_INTEGER);

export function register(program: Command): void {
  const member = program
    .command('member')
    .summary('add, promote or remove members of the cluster')
    .description(
      'Changes who the members of the cluster are. Every change is planned and checked first; --dry-run shows the\n' +
        'plan and changes nothing. A change may be asked for again: what is done already is not done twice.',
    );
  changes(
    member
      .command('add')
      .description(
        'Adds a node that was started with --join: as a learner, then, once caught up, as a voter.',
      )
      .argument('<id>', 'its number, never used before', nodeId)
      .argument('<host:port>', 'where its peers reach it')
      .option('--learner', 'leave it a learner: it gets the log and has no vote'),
  ).action(async (id: number, address: string, options: ChangeCommandOptions & { learner?: boolean }) => {
    const { changeMembers } = await import('../support/with-admin.ts');
    await changeMembers(options, (admin, call) => admin.add({ id, address, learner: options.learner }, call));
  });
  changes(
    member
      .command('promote')
      .description('Makes a learner a voter, once it has caught up.')
      .argument('<id>', 'its number', nodeId),
  ).action(async (id: number, options: ChangeCommandOptions) => {
    const { changeMembers } = await import('../support/with-admin.ts');
    await changeMembers(options, (admin, call) => admin.promote(id, call));
  });
  changes(
    member
      .command('remove')
      .description('Removes a member for good: its number is never given out again.')
      .argument('<id>', 'its number', nodeId),
  ).action(async (id: number, options: ChangeCommandOptions) => {
    const { changeMembers } = await import('../support/with-admin.ts');
    await changeMembers(options, (admin, call) => admin.remove(id, call));
  });
  changes(
    member
      .command('set')
      .description('Makes these the members, whoever they were: one change by joint consensus.')
      .argument('[id=host:port...]', 'addresses of nodes that are no members yet, or have moved')
      .requiredOption('--voters <ids>', 'numbers of the voters: 1,2,4', ids)
      .option('--learners <ids>', 'numbers of the learners', ids),
  ).action(
    async (given: string[], options: ChangeCommandOptions & { voters: number[]; learners?: number[] }) => {
      const [{ changeMembers }, { memberAddress }] = await Promise.all([
        import('../support/with-admin.ts'),
        import('../support/addresses.ts'),
      ]);
      const members = given.map(memberAddress);
      const { voters, learners = [] } = options;
      await changeMembers(options, (admin, call) => admin.set({ voters, learners, members }, call));
    },
  );
}

function changes(command: Command): Command {
  return command
    .option('--addr <list>', 'nodes to talk to, host:port,… (default: $CORDWOOD_ADDR, or the local cluster)')
    .option('--timeout <ms>', 'how long to try', integer('--timeout', 1, 3_600_000), 60_000)
    .option('--dry-run', 'show the plan, check it, and change nothing')
    .option(
      '--force',
      'also what leaves too few voters alive or with room, and members that have moved and do not answer',
    )
    .option(
      '--if-index <n>',
      'only if this configuration is in force (cordwood members --json)',
      integer('--if-index', 0, Number.MAX_SAFE_INTEGER),
    )
    .option('--json', 'print JSON');
}
