import { createHash } from 'node:crypto';
import { parseAddress } from '../../protocol/address.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import type { Recovery } from '../log/log-store.ts';
import type { LogEvents } from '../log/log-store.ts';
import { DataDirectory, openLogStore } from '../log/index.ts';
import { askIntroduction } from '../transport/ask-introduction.ts';
import { createTcpTransport } from '../transport/tcp-transport.ts';
import type { Environment } from './bootstrap.ts';
import { joinCluster } from './join-cluster.ts';
import { bootstrapOf, nobody, type ResolvedOptions } from './options.ts';
import type { NodeOptions } from './types.ts';

/** Files in `options.dataDir`, peers over TCP. */
export async function openSystemEnvironment(
  options: NodeOptions,
  resolved: ResolvedOptions,
  events: LogEvents,
): Promise<Environment> {
  const introduce: Environment['introduce'] = (address, timeoutMs, signal) =>
    askIntroduction(address, { timeoutMs, signal });
  const sizes = { lowSpaceBytes: resolved.minFreeBytes, aheadBytes: resolved.logAheadBytes };
  const directory = await DataDirectory.open({
    path: options.dataDir,
    sizes,
    clusterId: clusterIdOf(resolved),
    nodeId: resolved.id,
    members: resolved.members,
    trustIdentity: true,
    ...(resolved.join === null ? {} : { join: () => joinCluster(resolved, introduce) }),
  });
  const { identity } = directory;
  try {
    const log = await openLogStore({
      directory,
      events,
      sizes,
      onProgress: options.onProgress,
    });
    try {
      if (isWhole(log.recovery) && !hasConfig(log.recovery)) checkCluster(directory, resolved);
    } catch (error) {
      // Its thread would keep the process alive.
      await log.close();
      throw error;
    }
    return {
      clusterId: identity.clusterId,
      incarnation: identity.incarnation,
      bootstrap: identity.joined === true ? nobody : bootstrapOf(identity.members),
      memory: directory.peers,
      log,
      introduce,
      connect: (transportEvents, policy) =>
        createTcpTransport({
          identity: {
            clusterId: identity.clusterId,
            nodeId: resolved.id,
            incarnation: identity.incarnation,
            clientAddress: resolved.clientAddress,
            peerAddress: resolved.peerAddress,
            priority: resolved.priority,
            leaseMs: resolved.leaseReads ? Math.floor(resolved.electionTimeoutMs) : 0,
          },
          listen: parseAddress(options.peerListen ?? resolved.peerAddress),
          events: transportEvents,
          policy,
        }),
      release: () => directory.close(),
    };
  } catch (error) {
    await directory.close();
    throw error;
  }
}

/**
 * As long as the members are those the cluster began with, a start with other ones is a mistake: of the directory, or
 * of the list. Once they have changed, the list of the command line is of the past, and what is on disk counts.
 */
function checkCluster(directory: DataDirectory, options: ResolvedOptions): void {
  const { identity } = directory;
  if (directory.isNew || identity.joined === true || options.join !== null) return;
  const given = clusterIdOf(options);
  if (identity.clusterId === given) return;
  throw new CordwoodError(
    'WRONG_CLUSTER',
    `${directory.path} belongs to cluster ${identity.clusterId}, not to ${given}`,
  );
}

/** Otherwise who the members are may be a part of what is lost: the others know. */
function isWhole({ damage, doubt }: Recovery): boolean {
  return damage === null && doubt === null;
}

function hasConfig(recovery: Recovery): boolean {
  return recovery.configs.length > 0 || (recovery.snapshot?.configIndex ?? 0) > 0;
}

/**
 * Nodes that are started with the same list agree on the cluster's id without having met. Two clusters on the same
 * addresses are told apart by their names. A node that joins later learns the id from a member.
 */
function clusterIdOf(options: ResolvedOptions): string {
  const text = [options.clusterName, ...options.members.map((m) => m.peerAddress)].join('\n');
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}
