import { CordwoodError } from '../../protocol/errors.ts';
import type { Introduction } from '../../protocol/introduction.ts';
import type { Member } from '../core/types.ts';
import type { Environment } from './bootstrap.ts';
import type { ResolvedOptions } from './options.ts';

const ASK_TIMEOUT_MS = 2_000;
const PAUSE_MS = 250;

/**
 * Which cluster a node with a new directory joins: asks the addresses it was given until a member answers. The node
 * cannot work that out by itself, since the id of a cluster stands for the members it began with.
 *
 * @throws CordwoodError `UNREACHABLE` if no member answers in time, `WRONG_CLUSTER` if they are of different clusters,
 *   `ID_RETIRED` or `INCARNATION_CHANGED` if the node's number is taken
 */
export async function joinCluster(
  options: ResolvedOptions,
  introduce: Environment['introduce'],
): Promise<{ clusterId: string; members: readonly Member[] }> {
  const { addresses, timeoutMs, signal } = options.join!;
  const { logger, runtime } = options;
  const deadlineMs = runtime.now() + timeoutMs;
  for (let round = 0; ; round++) {
    const members = await askAll(addresses, introduce, signal);
    if (members.length > 0) return settle(options, members);
    if (runtime.now() >= deadlineMs) {
      const message = `no member of the cluster answers at ${addresses.join(', ')}`;
      throw new CordwoodError('UNREACHABLE', message);
    }
    if (signal?.aborted === true) {
      throw new CordwoodError('ABORTED', 'joining was given up', { cause: signal.reason });
    }
    if (round === 0) logger.info({ addresses }, 'waiting for a member of the cluster to answer');
    await new Promise<void>((resolve) => runtime.timer(PAUSE_MS, resolve));
  }
}

async function askAll(
  addresses: readonly string[],
  introduce: Environment['introduce'],
  signal: AbortSignal | undefined,
): Promise<Introduction[]> {
  const asked = await Promise.allSettled(
    addresses.map((address) => introduce(address, ASK_TIMEOUT_MS, signal)),
  );
  const answers = asked.flatMap((a) => (a.status === 'fulfilled' ? [a.value] : []));
  // Others that wait to be added themselves are no authority.
  return answers.filter(({ config }) => config.voters.length > 0);
}

function settle(
  options: ResolvedOptions,
  members: readonly Introduction[],
): { clusterId: string; members: readonly Member[] } {
  const { id, logger } = options;
  const ids = new Set(members.map(({ clusterId }) => clusterId));
  if (ids.size > 1) {
    const list = members.map((m) => `node ${m.nodeId} to ${m.clusterId}`).join(', ');
    throw new CordwoodError(
      'WRONG_CLUSTER',
      `the addresses in cluster belong to different clusters: ${list}`,
    );
  }
  const newest = members.reduce((best, next) => (next.configIndex > best.configIndex ? next : best));
  const { config, clusterId } = newest;
  if (config.retired?.includes(id) === true) {
    const message = `node ${id} was removed from this cluster once: take a number that was never used`;
    throw new CordwoodError('ID_RETIRED', message);
  }
  if (config.members.some((member) => member.id === id)) {
    const message =
      `node ${id} is a member of this cluster already, with another data directory than this new one: start it with ` +
      'that, or remove the member and join under a number that was never used';
    throw new CordwoodError('INCARNATION_CHANGED', message);
  }
  logger.info(
    { clusterId },
    `joining: waiting to be added (cordwood member add ${id} ${options.peerAddress})`,
  );
  return { clusterId, members: config.members };
}
