import path from 'node:path';
import { Option } from 'commander';
import type { Command } from 'commander';
import { startThreads } from '../../lib/log/start-threads.ts';
import { logLevelOption } from '../support/log-levels.ts';
import { integer } from '../support/numbers.ts';

export interface StartOptions {
  readonly id: number;
  readonly cluster: string;
  readonly port: number;
  readonly host: string;
  readonly data?: string;
  readonly clientAddress?: string;
  readonly peerListen?: string;
  readonly clusterName?: string;
  readonly heartbeatMs?: number;
  readonly electionTimeoutMs?: number;
  readonly snapshotLogMb?: number;
  readonly logAheadMb?: number;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  readonly logFormat: 'human' | 'json';
  readonly allowHost?: string[];
  readonly join?: boolean;
  readonly priority?: number;
  readonly leaseReads?: boolean;
}

export function register(program: Command): void {
  program
    .command('start')
    .summary('run a node (also without the word: cordwood --id 1 …)')
    .description(
      'Runs one node in the foreground until SIGINT, SIGTERM or SIGHUP; a second signal ends it at once. To outlive its ' +
        'terminal it needs setsid or a service manager: nohup is not enough.',
    )
    .requiredOption('--id <n>', "this node's number: its place in --cluster", integer('--id', 1, 1_000_000))
    .requiredOption('--cluster <list>', 'peer addresses host:port,… of nodes 1, 2, …; a scheme is ignored')
    .requiredOption(
      '--port <port>',
      'port for clients: HTTP and the binary protocol (0: any that is free, for a node alone)',
      integer('--port', 0, 65_535),
    )
    .option('--host <host>', 'address to listen on for clients', '127.0.0.1')
    .option('--data <dir>', 'data directory (default: cordwood-data/<id>)')
    .option('--client-address <host:port>', 'where clients reach this node, if not at --host and --port')
    .option('--peer-listen <host:port>', 'where to listen for peers, if not at its place in --cluster')
    .option('--cluster-name <name>', 'keeps apart clusters that happen to use the same addresses')
    .option(
      '--allow-host <name...>',
      'host names HTTP clients may use beside localhost, if it listens there only',
    )
    .option('--heartbeat-ms <ms>', 'between heartbeats (default: 100)', integer('--heartbeat-ms', 1, 60_000))
    .option(
      '--election-timeout-ms <ms>',
      'without a leader for so long, up to twice that: elect one (default: 1000)',
      integer('--election-timeout-ms', 10, 600_000),
    )
    .option(
      '--snapshot-log-mb <n>',
      'log size after which a snapshot is taken, in MiB (default: 256)',
      integer('--snapshot-log-mb', 1, 1_048_576),
    )
    .option(
      '--log-ahead-mb <n>',
      'room made ready ahead of the log while it rests, in MiB (default: 1, and the next file in good time)',
      integer('--log-ahead-mb', 0, 65_536),
    )
    .addOption(logLevelOption('least important lines to log'))
    .addOption(
      new Option('--log-format <format>', 'form of the log on stderr')
        .choices(['human', 'json'])
        .default('human'),
    )
    .option(
      '--join',
      'join a running cluster: --cluster names its members and, last, this node; then: cordwood member add',
    )
    .option(
      '--priority <n>',
      'of voters that are caught up the one with the highest leads (default: 0)',
      integer('--priority', 0, 1_000_000),
    )
    .option('--lease-reads', 'serve reads of level "lease" without asking a quorum; on all nodes or on none')
    .action(async (options: StartOptions) => {
      startThreads(dataDirOf(options));
      const { runNode } = await import('../support/run-node.ts');
      process.exitCode = await runNode(options);
      // A log that nobody takes must not keep the process.
      if (process.stderr.writableLength > 0) process.exit();
    });
}

/** Where the node keeps its data. */
export function dataDirOf(options: Pick<StartOptions, 'id' | 'data'>): string {
  return options.data ?? path.join('cordwood-data', String(options.id));
}
