import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { Client } from '../../lib/client/index.ts';
import type { Absent } from '../peers/contestant.ts';
import { fillEtcd } from '../peers/etcd.ts';
import { EtcdCluster } from '../peers/etcd-cluster.ts';
import { Cluster } from './cluster.ts';
import { fill } from './fill.ts';
import { firstRead } from './first-read.ts';

const STACK = 'recovery';
const GIVE_UP_MS = 120_000;

/** A cluster that holds a lot, is killed and comes back. */
export interface RecoverySubject {
  readonly name: string;
  readonly pids: readonly number[];
  /** Of one node. */
  readonly directory: string;
  fill(): Promise<void>;
  kill(): Promise<void>;
  /** Starts all nodes. */
  start(): Promise<void>;
  /** Whether they serve when `start` resolves, or only listen. */
  readonly servesOnceStarted: boolean;
  /** Resolves with the first linearizable read; throws if it does not say what was filled in. */
  read(): Promise<void>;
}

export async function ourRecovery(
  directory: string,
  nodes: number,
  count: number,
  valueBytes: number,
  how: 'push' | 'many',
): Promise<RecoverySubject> {
  const cluster = await Cluster.start({ nodes, directory });
  return {
    name: 'cordwood',
    get pids() {
      return cluster.pids;
    },
    directory: cluster.nodes[0]!.directory,
    servesOnceStarted: true,
    fill: async () => {
      await using client = await Client.connect({ addresses: cluster.addresses, timeoutMs: GIVE_UP_MS });
      await fill(client, STACK, 1, count, valueBytes, how);
    },
    kill: () => cluster.kill(),
    start: async () => {
      await Promise.all(cluster.nodes.map((node) => node.start()));
    },
    read: async () => {
      const size = await firstRead(cluster.addresses, STACK, GIVE_UP_MS);
      if (size !== count) throw new Error(`${count} items were pushed; after the restart there are ${size}`);
    },
  };
}

/** As many keys in etcd, each put by a command of its own. */
export async function etcdRecovery(
  directory: string,
  count: number,
  valueBytes: number,
): Promise<RecoverySubject | Absent> {
  mkdirSync(directory, { recursive: true });
  const cluster = await EtcdCluster.start(directory);
  if ('why' in cluster) return cluster;
  const last = `key-${String(count).padStart(9, '0')}`;
  return {
    name: 'etcd',
    get pids() {
      return cluster.pids;
    },
    directory: path.join(directory, 'member-1'),
    servesOnceStarted: false,
    fill: () => fillEtcd(directory, cluster, count, valueBytes),
    kill: () => cluster.kill(),
    start: async () => {
      await Promise.all(cluster.members.map((member) => member.start()));
    },
    read: async () => {
      if (!(await cluster.has(last, GIVE_UP_MS))) throw new Error(`etcd has no ${last} after the restart`);
    },
  };
}
