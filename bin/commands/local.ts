import type { Command } from 'commander';
import { DEFAULT_LOCAL_DATA, MAX_LOCAL_NODES } from '../local/layout.ts';
import { logLevelOption } from '../support/log-levels.ts';
import { integer } from '../support/numbers.ts';

interface DataOption {
  readonly data: string;
  readonly json?: boolean;
}

export function register(program: Command): void {
  const local = program
    .command('local')
    .summary('run a whole cluster on this machine')
    .description('A whole cluster on this machine, for trying out and for development.');
  local
    .command('up')
    .description('Runs a cluster in the foreground, a process for each node; Ctrl-C stops it.')
    .option(
      '--nodes <n>',
      'how many (default: 5, or as many as the data is of)',
      integer('--nodes', 1, MAX_LOCAL_NODES),
    )
    .option('--data <dir>', 'directory of all nodes', DEFAULT_LOCAL_DATA)
    .option(
      '--base-port <port>',
      'client port of node 1; node N has this + 10(N−1), peers one below (default: 12380, 22380, … 52380)',
      integer('--base-port', 2, 65_535),
    )
    .addOption(logLevelOption('of the nodes, whose logs lie beside their data'))
    .action(async (options: { nodes?: number; data: string; basePort?: number; logLevel: string }) => {
      const { runLocal } = await import('../local/run-local.ts');
      process.exitCode = await runLocal(options);
    });
  for (const [name, description] of [
    ['stop', 'Stops a node in an orderly way.'],
    ['start', 'Starts a node that is down.'],
    ['restart', 'Stops a node and starts it again.'],
  ] as const) {
    local
      .command(name)
      .description(description)
      .argument('<id>', 'number of the node', integer('the node', 1, MAX_LOCAL_NODES))
      .option('--data <dir>', 'directory of all nodes', DEFAULT_LOCAL_DATA)
      .option('--json', 'print the reply as JSON')
      .action(async (id: number, options: DataOption) => {
        const { controlLocal } = await import('../local/run-local.ts');
        process.exitCode = await controlLocal(options.data, { command: name, id }, options.json === true);
      });
  }
  for (const [name, description] of [
    ['status', 'Shows the nodes of the running cluster.'],
    ['down', 'Stops all nodes and ends `cordwood local up`.'],
  ] as const) {
    local
      .command(name)
      .description(description)
      .option('--data <dir>', 'directory of all nodes', DEFAULT_LOCAL_DATA)
      .option('--json', 'print the reply as JSON')
      .action(async (options: DataOption) => {
        const { controlLocal } = await import('../local/run-local.ts');
        process.exitCode = await controlLocal(options.data, { command: name }, options.json === true);
      });
  }
}
