import { formatAddress, parseAddress } from '../../protocol/address.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { StackMachine } from '../../lib/machine/stack-machine.ts';
import { RaftNode } from '../../lib/node/node.ts';
import type { NodeOptions } from '../../lib/node/types.ts';
import type { Server } from '../../lib/server/index.ts';
import { isLoopback } from '../../lib/server/loopback.ts';
import { dataDirOf } from '../commands/start.ts';
import type { StartOptions } from '../commands/start.ts';
import { addressList, oneAddress } from './addresses.ts';
import { ExitCode, UsageError, verdictOf } from './exit-codes.ts';
import { letHeapGrow } from './heap-growth.ts';
import { createLog } from './logger.ts';
import { RecoveryBar } from './recovery-bar.ts';
import { Supervisor } from './supervisor.ts';

/** Runs a node until a signal, its supervisor or a fault ends it. Resolves to the exit status. */
export async function runNode(options: StartOptions): Promise<number> {
  const settings = nodeSettings(options);
  const { logger, flush, drained } = createLog(options.logLevel, options.logFormat);
  const supervisor = new Supervisor();
  const stop = stopRequest(supervisor, flush);
  const joining = new AbortController();
  const bar = new RecoveryBar(logger);
  let node: RaftNode | undefined;
  let server: Server | undefined;
  try {
    // A node that joins may wait for long.
    void stop.then(() => joining.abort());
    const opening = RaftNode.start({
      ...settings,
      machine: new StackMachine(),
      logger,
      joinSignal: joining.signal,
      onProgress: (progress) => bar.update(progress),
    });
    opening.catch(() => undefined);
    // Loaded while the node's threads read the directory.
    const { startServer } = await import('../../lib/server/index.ts');
    const opened = await opening;
    bar.end();
    node = opened;
    const failure = new Promise<Error>((resolve) => opened.onFailure((error) => resolve(error)));
    const allowed = options.allowHost === undefined ? {} : { allowedHosts: options.allowHost };
    server = await startServer({
      node,
      listen: { host: options.host, port: options.port },
      logger,
      ...allowed,
    });
    // `local up` believes whatever says that it is up.
    if (node.failure !== null) throw node.failure;
    letHeapGrow();
    logger.info({ id: options.id, address: server.address, data: settings.dataDir }, 'node is up');
    if (!isLoopback(options.host)) {
      logger.warn(
        { address: server.address },
        'anyone who can reach this port can read and change the stacks',
      );
    }
    supervisor.attach(node);
    const cause = await Promise.race([stop, failure]);
    if (cause instanceof Error) throw cause;
    logger.info({ id: options.id, reason: cause.reason }, 'stopping');
    await server.close();
    await node.close({ transfer: cause.transfer });
    logger.info({ id: options.id }, 'stopped');
    return ExitCode.ok;
  } catch (error) {
    if (node === undefined && joining.signal.aborted && CordwoodError.is(error) && error.code === 'ABORTED')
      return ExitCode.ok;
    const { line, exitCode } = verdictOf(advised(error, options, settings.dataDir));
    bar.end();
    supervisor.failed(line);
    // Behind what led to it.
    await drained();
    process.stderr.write(`${line}\n`);
    // The node may be beyond an orderly end: what it holds open must not keep the process alive.
    await Promise.race([closeAfterFault(server, node), delay(2_000)]);
    return exitCode === ExitCode.usage ? exitCode : ExitCode.failed;
  } finally {
    supervisor.detach();
    await drained();
  }
}

/** `StartOptions` as the node takes them. Throws `UsageError`. */
export function nodeSettings(options: StartOptions): Omit<NodeOptions, 'machine'> {
  const cluster = addressList(options.cluster, '--cluster');
  if (options.id > cluster.length && options.join !== true) {
    throw new UsageError(
      `--id ${options.id}: --cluster names ${cluster.length} node${cluster.length === 1 ? '' : 's'}`,
    );
  }
  // It is told the others before the port is known.
  if (
    options.port === 0 &&
    options.clientAddress === undefined &&
    (cluster.length > 1 || options.join === true)
  )
    throw new UsageError(
      '--port 0 is for a node alone: the others would not know where clients reach this one',
    );
  return {
    id: options.id,
    cluster,
    dataDir: dataDirOf(options),
    clientAddress: clientAddress(options, cluster[options.id - 1] ?? cluster[cluster.length - 1]!),
    ...(options.join === undefined ? {} : { join: options.join }),
    ...(options.priority === undefined ? {} : { priority: options.priority }),
    ...(options.leaseReads === undefined ? {} : { leaseReads: options.leaseReads }),
    ...(options.peerListen === undefined
      ? {}
      : { peerListen: oneAddress(options.peerListen, '--peer-listen') }),
    ...(options.clusterName === undefined ? {} : { clusterName: options.clusterName }),
    ...(options.heartbeatMs === undefined ? {} : { heartbeatMs: options.heartbeatMs }),
    ...(options.electionTimeoutMs === undefined ? {} : { electionTimeoutMs: options.electionTimeoutMs }),
    ...(options.snapshotLogMb === undefined ? {} : { snapshotLogBytes: options.snapshotLogMb * 1024 * 1024 }),
    ...(options.logAheadMb === undefined ? {} : { logAheadBytes: options.logAheadMb * 1024 * 1024 }),
  };
}

/** Where clients are sent. A node that listens everywhere is reached where its peers reach it. */
function clientAddress(options: StartOptions, peerAddress: string): string {
  if (options.clientAddress !== undefined) return oneAddress(options.clientAddress, '--client-address');
  const everywhere = options.host === '0.0.0.0' || options.host === '::';
  return formatAddress(everywhere ? parseAddress(peerAddress).host : options.host, options.port);
}

/** A first start that failed has bound the directory to its `--cluster`; the second one comes with a better list. */
function advised(error: unknown, { join }: StartOptions, dataDir: string): unknown {
  if (join === true || !CordwoodError.is(error) || error.code !== 'WRONG_CLUSTER') return error;
  const advice =
    'is --data another cluster’s? If a node has moved, keep the list as it was and give --peer-listen (operations.md, ' +
    `“A new address”). Only if nothing is in the directory remove it: cordwood inspect ${dataDir}`;
  return new CordwoodError(error.code, `${error.message}; ${advice}`, { cause: error });
}

interface Stop {
  readonly reason: string;
  readonly transfer: boolean;
}

/** Resolves with the first request to stop; a second signal ends the process where it stands. */
function stopRequest(supervisor: Supervisor, flush: () => void): Promise<Stop> {
  return new Promise((resolve) => {
    let asked = false;
    const onSignal = (signal: NodeJS.Signals): void => {
      if (asked) {
        flush();
        process.exit(signal === 'SIGINT' ? 130 : 143);
      }
      asked = true;
      resolve({ reason: signal, transfer: true });
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
    supervisor.onStop((reason, transfer) => {
      asked = true;
      resolve({ reason, transfer });
    });
  });
}

async function closeAfterFault(server: Server | undefined, node: RaftNode | undefined): Promise<void> {
  try {
    await server?.close();
    await node?.close({ transfer: false });
  } catch (error) {
    if (!CordwoodError.is(error)) throw error;
  }
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
