import { parseAddress, formatAddress } from '../../protocol/address.ts';
import { Limits } from '../../protocol/constants.ts';
import { MAX_PRIORITY } from '../../protocol/peer-handshake.ts';
import type { Config, Member } from '../core/types.ts';
import { faultOfName } from '../machine/state-machine.ts';
import {
  badOption,
  callback,
  checkOptions,
  filledText,
  flag,
  having,
  logger,
  notNegative,
  positive,
  positiveUpTo,
  required,
  signal,
  text,
  texts,
  timeMs,
  wholeNumber,
  type Rules,
} from './check-options.ts';
import { systemRuntime, type Runtime } from './runtime.ts';
import { isolated } from './tell.ts';
import type { Logger, NodeOptions } from './types.ts';

/** `NodeOptions` with every default in place, checked. */
export interface ResolvedOptions {
  readonly id: number;
  /** Members of a new cluster; of a joining node only itself. */
  readonly members: readonly Member[];
  /** Where peers reach this node. */
  readonly peerAddress: string;
  /** Set for a node that joins: peer addresses to ask. */
  readonly join: {
    readonly addresses: readonly string[];
    readonly timeoutMs: number;
    readonly signal: AbortSignal | undefined;
  } | null;
  readonly priority: number;
  readonly leaseReads: boolean;
  readonly bootstrap: Config;
  readonly clusterName: string;
  readonly clientAddress: string;
  readonly heartbeatMs: number;
  readonly electionTimeoutMs: number;
  readonly maxBatchBytes: number;
  readonly maxUncommittedBytes: number;
  readonly snapshotLogBytes: number;
  readonly logAheadBytes: number;
  /** 0: chosen by the size of the disk. */
  readonly minFreeBytes: number;
  readonly maxFrameBytes: number;
  readonly logger: Logger;
  readonly runtime: Runtime;
}

const MAX_NODES = 63;
/** A batch begun below it may end with a command as large as they come, and goes to a follower in one frame. */
const MAX_BATCH_BYTES = 8 << 20;

const RULES: Rules<NodeOptions> = {
  id: required(wholeNumber(1)),
  cluster: required(texts(`a list of 1 to ${MAX_NODES} peer addresses`, 1, MAX_NODES)),
  // An empty one would be the directory that the process happens to be in.
  dataDir: required(filledText),
  // Without its machine a node would start and then answer nothing.
  machine: required(having('a state machine', 'apply', 'query', 'snapshot', 'restore')),
  clientAddress: text,
  peerListen: text,
  clusterName: text,
  join: flag,
  joinTimeoutMs: timeMs,
  joinSignal: signal,
  priority: wholeNumber(0, MAX_PRIORITY),
  leaseReads: flag,
  heartbeatMs: timeMs,
  electionTimeoutMs: timeMs,
  maxBatchBytes: positiveUpTo(MAX_BATCH_BYTES),
  maxUncommittedBytes: positive,
  snapshotLogBytes: positive,
  logAheadBytes: notNegative,
  minFreeBytes: positive,
  onProgress: callback,
  logger,
  runtime: having('a runtime', 'now', 'wallNow', 'defer', 'timer', 'random'),
};

/**
 * @throws CordwoodError `BAD_OPTION`, naming the option.
 */
export function resolveOptions(options: NodeOptions): ResolvedOptions {
  checkOptions(options, RULES);
  const fault = faultOfName(options.machine);
  // Snapshots name their machine: a node with one that they cannot name would not start from its own.
  if (fault !== null) throw badOption('machine', `cannot be kept in a snapshot: ${fault}`);
  const { id, cluster } = options;
  const addresses = cluster.map((given) => address('cluster', given));
  const portless = addresses.find((given) => given.endsWith(':0'));
  // Alone it may take whatever port is free.
  if (portless !== undefined && addresses.length > 1)
    throw badOption('cluster', `must name a port that peers can reach: ${portless}`);
  if (new Set(addresses).size !== addresses.length) throw badOption('cluster', 'names an address twice');
  const joins = options.join === true;
  if (!joins && id > addresses.length)
    throw badOption('id', `must be a place in cluster, 1 to ${addresses.length}`);
  const peerAddress = addresses[id <= addresses.length ? id - 1 : addresses.length - 1]!;
  const members = joins
    ? [{ id, peerAddress }]
    : addresses.map((own, i): Member => ({ id: i + 1, peerAddress: own }));
  const others = addresses.filter((other) => other !== peerAddress);
  if (joins && others.length === 0)
    throw badOption('cluster', 'must name a member to join beside this node itself');
  const heartbeatMs = options.heartbeatMs ?? 100;
  const electionTimeoutMs = options.electionTimeoutMs ?? 1000;
  if (electionTimeoutMs < 2 * heartbeatMs) {
    throw badOption(
      'electionTimeoutMs',
      'must be at least twice heartbeatMs: one lost heartbeat is no lost leader',
    );
  }
  if (options.peerListen !== undefined) address('peerListen', options.peerListen);
  return {
    id,
    members,
    peerAddress,
    join: joins
      ? {
          addresses: others,
          timeoutMs: options.joinTimeoutMs ?? 60_000,
          signal: options.joinSignal,
        }
      : null,
    priority: options.priority ?? 0,
    leaseReads: options.leaseReads ?? false,
    bootstrap: joins ? nobody : bootstrapOf(members),
    clusterName: options.clusterName ?? '',
    clientAddress: options.clientAddress === undefined ? '' : address('clientAddress', options.clientAddress),
    heartbeatMs,
    electionTimeoutMs,
    maxBatchBytes: options.maxBatchBytes ?? 1 << 20,
    maxUncommittedBytes: options.maxUncommittedBytes ?? 32 << 20,
    snapshotLogBytes: options.snapshotLogBytes ?? 256 << 20,
    logAheadBytes: options.logAheadBytes ?? 0,
    minFreeBytes: options.minFreeBytes ?? 0,
    maxFrameBytes: Limits.maxFrameBytes,
    logger: options.logger === undefined ? silent : isolatedLogger(options.logger),
    runtime: options.runtime ?? systemRuntime,
  };
}

/** The configuration that a new cluster of these members starts with. */
export function bootstrapOf(members: readonly Member[]): Config {
  return { voters: members.map((m) => m.id), outgoing: [], learners: [], learnersNext: [], members };
}

/** Of a node that waits to be added: it belongs to no configuration, so it cannot vote for itself. */
export const nobody: Config = { voters: [], outgoing: [], learners: [], learnersNext: [], members: [] };

function address(name: string, given: string): string {
  try {
    const { host, port } = parseAddress(given);
    return formatAddress(host, port);
  } catch (cause) {
    throw badOption(name, `must be host:port: ${(cause as Error).message}`, cause);
  }
}

/** Lines are written in the middle of everything: one that fails must not end a turn, a snapshot or a stop half way. */
function isolatedLogger(given: Logger): Logger {
  const line =
    (level: keyof Logger) =>
    (fields: object, message: string): void => {
      isolated(() => {
        given[level](fields, message);
      });
    };
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
}

const nothing = (): void => undefined;
const silent: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
