import { createHash } from 'node:crypto';
import { parseAddress } from '../../protocol/address.ts';
import type { LogEvents } from '../log/log-store.ts';
import { DataDirectory, openLogStore } from '../log/index.ts';
import { createTcpTransport } from '../transport/tcp-transport.ts';
import type { Environment } from './bootstrap.ts';
import type { ResolvedOptions } from './options.ts';
import type { NodeOptions } from './types.ts';

/** Files in `options.dataDir`, peers over TCP. */
export async function openSystemEnvironment(
  options: NodeOptions,
  resolved: ResolvedOptions,
  events: LogEvents,
): Promise<Environment> {
  const clusterId = clusterIdOf(resolved);
  const directory = await DataDirectory.open({
    path: options.dataDir,
    clusterId,
    nodeId: resolved.id,
    members: resolved.members,
  });
  try {
    const log = await openLogStore({ directory, events });
    const listen = parseAddress(options.peerListen ?? resolved.members[resolved.id - 1]!.peerAddress);
    return {
      clusterId,
      log,
      connect: (transportEvents) =>
        createTcpTransport({
          identity: {
            clusterId,
            nodeId: resolved.id,
            incarnation: directory.identity.incarnation,
            clientAddress: resolved.clientAddress,
          },
          listen,
          events: transportEvents,
        }),
      release: () => directory.close(),
    };
  } catch (error) {
    await directory.close();
    throw error;
  }
}

/**
 * Nodes that are started with the same list agree on the cluster's id without having met. Two clusters on the same
 * addresses are told apart by their names.
 */
function clusterIdOf(options: ResolvedOptions): string {
  const text = [options.clusterName, ...options.members.map((m) => m.peerAddress)].join('\n');
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}
