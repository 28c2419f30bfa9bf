import { parseAddress, formatAddress } from '../../protocol/address.ts';
import { Limits } from '../../protocol/constants.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { MAX_PRIORITY } from '../../protocol/peer-handshake.ts';
import type { Config, Member } from '../core/types.ts';
import type { StateMachine } from '../machine/state-machine.ts';
import { systemRuntime, type Runtime } from './runtime.ts';
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

/**
 * @throws CordwoodError `BAD_OPTION`, naming the option.
 */
export function resolveOptions(options: NodeOptions): ResolvedOptions {
  const { id, cluster } = options;
  if (cluster.length === 0 || cluster.length > MAX_NODES) {
    throw bad('cluster', `needs 1 to ${MAX_NODES} peer addresses`);
  }
  const addresses = cluster.map((text) => address('cluster', text));
  if (new Set(addresses).size !== addresses.length) throw bad('cluster', 'names an address twice');
  const joins = options.join === true;
  if (!Number.isSafeInteger(id) || id < 1) throw bad('id', 'must be a positive integer');
  if (!joins && id > addresses.length)
    throw bad('id', `must be a place in cluster, 1 to ${addresses.length}`);
  const peerAddress = addresses[id <= addresses.length ? id - 1 : addresses.length - 1]!;
  const members = joins
    ? [{ id, peerAddress }]
    : addresses.map((own, i): Member => ({ id: i + 1, peerAddress: own }));
  const others = addresses.filter((other) => other !== peerAddress);
  if (joins && others.length === 0)
    throw bad('cluster', 'must name a member to join beside this node itself');
  const heartbeatMs = positive('heartbeatMs', options.heartbeatMs, 100);
  const electionTimeoutMs = positive('electionTimeoutMs', options.electionTimeoutMs, 1000);
  if (electionTimeoutMs < 2 * heartbeatMs) {
    throw bad(
      'electionTimeoutMs',
      'must be at least twice heartbeatMs: one lost heartbeat is no lost leader',
    );
  }
  checkMachine(options.machine);
  const maxBatchBytes = positive('maxBatchBytes', options.maxBatchBytes, 1 << 20);
  return {
    id,
    members,
    peerAddress,
    join: joins
      ? {
          addresses: others,
          timeoutMs: positive('joinTimeoutMs', options.joinTimeoutMs, 60_000),
          signal: options.joinSignal,
        }
      : null,
    priority: priorityOf(options.priority),
    leaseReads: options.leaseReads ?? false,
    bootstrap: joins ? nobody : bootstrapOf(members),
    clusterName: options.clusterName ?? '',
    clientAddress: options.clientAddress === undefined ? '' : address('clientAddress', options.clientAddress),
    heartbeatMs,
    electionTimeoutMs,
    maxBatchBytes,
    maxUncommittedBytes: positive('maxUncommittedBytes', options.maxUncommittedBytes, 32 << 20),
    snapshotLogBytes: positive('snapshotLogBytes', options.snapshotLogBytes, 256 << 20),
    logAheadBytes:
      options.logAheadBytes === undefined ? 0 : notNegative('logAheadBytes', options.logAheadBytes),
    minFreeBytes: options.minFreeBytes === undefined ? 0 : positive('minFreeBytes', options.minFreeBytes, 0),
    maxFrameBytes: Limits.maxFrameBytes,
    logger: options.logger ?? silent,
    runtime: options.runtime ?? systemRuntime,
  };
}

/** The configuration that a new cluster of these members starts with. */
export function bootstrapOf(members: readonly Member[]): Config {
  return { voters: members.map((m) => m.id), outgoing: [], learners: [], learnersNext: [], members };
}

/** Of a node that waits to be added: it belongs to no configuration, so it cannot vote for itself. */
export const nobody: Config = { voters: [], outgoing: [], learners: [], learnersNext: [], members: [] };

/** Types do not reach everywhere, and without its machine a node starts and then answers nothing. */
function checkMachine(machine: Partial<StateMachine> | undefined): void {
  const missing = (['apply', 'query', 'snapshot', 'restore'] as const).find(
    (name) => typeof machine?.[name] !== 'function',
  );
  if (missing !== undefined) throw bad('machine', `must be a state machine: it has no ${missing}()`);
}

function priorityOf(value = 0): number {
  if (Number.isInteger(value) && value >= 0 && value <= MAX_PRIORITY) return value;
  throw bad('priority', `must be a whole number from 0 to ${MAX_PRIORITY}`);
}

function positive(name: string, value: number | undefined, fallback: number): number {
  if (value === undefined) return fallback;
  if (!Number.isFinite(value) || value <= 0) throw bad(name, 'must be a positive number');
  return value;
}

function notNegative(name: string, value: number): number {
  if (!Number.isFinite(value) || value < 0) throw bad(name, 'must be a number from 0 up');
  return value;
}

function address(name: string, text: string): string {
  try {
    const { host, port } = parseAddress(text);
    return formatAddress(host, port);
  } catch (cause) {
    throw bad(name, (cause as Error).message, cause);
  }
}

function bad(name: string, message: string, cause?: unknown): CordwoodError {
  return new CordwoodError('BAD_OPTION', `${name}: ${message}`, { cause });
}

const nothing = (): void => undefined;
const silent: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
