import { parseAddress, formatAddress } from '../../protocol/address.ts';
import { Limits } from '../../protocol/constants.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import type { Config, Member } from '../core/types.ts';
import { systemRuntime, type Runtime } from './runtime.ts';
import type { Logger, NodeOptions } from './types.ts';

/** `NodeOptions` with every default in place, checked. */
export interface ResolvedOptions {
  readonly id: number;
  readonly members: readonly Member[];
  readonly bootstrap: Config;
  readonly clusterName: string;
  readonly clientAddress: string;
  readonly heartbeatMs: number;
  readonly electionTimeoutMs: number;
  readonly maxBatchBytes: number;
  readonly maxUncommittedBytes: number;
  readonly snapshotLogBytes: number;
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
  const members = cluster.map((text, i): Member => ({ id: i + 1, peerAddress: address('cluster', text) }));
  if (new Set(members.map((m) => m.peerAddress)).size !== members.length) {
    throw bad('cluster', 'names an address twice');
  }
  if (!Number.isInteger(id) || id < 1 || id > members.length) {
    throw bad('id', `must be a place in cluster, 1 to ${members.length}`);
  }
  const heartbeatMs = positive('heartbeatMs', options.heartbeatMs, 100);
  const electionTimeoutMs = positive('electionTimeoutMs', options.electionTimeoutMs, 1000);
  if (electionTimeoutMs < 2 * heartbeatMs) {
    throw bad(
      'electionTimeoutMs',
      'must be at least twice heartbeatMs: one lost heartbeat is no lost leader',
    );
  }
  const maxBatchBytes = positive('maxBatchBytes', options.maxBatchBytes, 1 << 20);
  return {
    id,
    members,
    bootstrap: { voters: members.map((m) => m.id), outgoing: [], learners: [], learnersNext: [], members },
    clusterName: options.clusterName ?? '',
    clientAddress: options.clientAddress === undefined ? '' : address('clientAddress', options.clientAddress),
    heartbeatMs,
    electionTimeoutMs,
    maxBatchBytes,
    maxUncommittedBytes: positive('maxUncommittedBytes', options.maxUncommittedBytes, 32 << 20),
    snapshotLogBytes: positive('snapshotLogBytes', options.snapshotLogBytes, 64 << 20),
    maxFrameBytes: Limits.maxFrameBytes,
    logger: options.logger ?? silent,
    runtime: options.runtime ?? systemRuntime,
  };
}

function positive(name: string, value: number | undefined, fallback: number): number {
  if (value === undefined) return fallback;
  if (!Number.isFinite(value) || value <= 0) throw bad(name, 'must be a positive number');
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
