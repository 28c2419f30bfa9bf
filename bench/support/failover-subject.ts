import { Client } from '../../lib/client/index.ts';
import { EtcdCluster, type EtcdMember } from '../peers/etcd-cluster.ts';
import type { Absent } from '../peers/contestant.ts';
import { Cluster, type ClusterNode, statusOf } from './cluster.ts';
import { SteadyWriter } from './steady-writer.ts';
import { until } from './until.ts';
import { type Verdict, verifyStacks } from './verify.ts';

const STACK = 'failover';
const WORKER = 1;
const VALUE_BYTES = 64;
export const GIVE_UP_MS = 30_000;

/** A node that leads and is about to be struck. */
export interface Victim {
  kill(): Promise<void>;
  stop(): Promise<void>;
  start(): Promise<void>;
  signal(name: NodeJS.Signals): void;
}

/** A cluster that is written to while one of its nodes is struck. */
export interface Subject {
  readonly name: string;
  /** At rest: whoever has its turn starts and stops it. */
  readonly writer: SteadyWriter;
  /** Resolves when all nodes follow one leader and have what it has; with that leader. */
  settledLeader(): Promise<Victim>;
  /** Ends the cluster, and checks what was written. */
  end(): Promise<Verdict>;
}

export interface SubjectOptions {
  readonly directory: string;
  readonly everyMs: number;
  /** Empty: the system's own default. */
  readonly heartbeatMs: string;
  readonly electionTimeoutMs: string;
}

/** Ours, of `nodes` nodes. The writer is an ordinary client: it finds the leader itself. */
export async function ourSubject(options: SubjectOptions, nodes: number): Promise<Subject> {
  const cluster = await Cluster.start({
    nodes,
    directory: options.directory,
    args: flags(options, '--heartbeat-ms', '--election-timeout-ms'),
  });
  const client = await Client.connect({ addresses: cluster.addresses, timeoutMs: GIVE_UP_MS });
  const writer = new SteadyWriter((value) => client.push(STACK, value), WORKER, options.everyMs, VALUE_BYTES);
  return {
    name: 'cordwood',
    writer,
    settledLeader: async () => {
      const leader = await cluster.leader();
      const goal = (await statusOf(leader.address))?.commitIndex ?? 0;
      for (const node of cluster.nodes)
        await caughtUp(() => hasCaughtUp(node, leader.id, goal), node.address);
      return leader;
    },
    end: async () => {
      try {
        return await verifyStacks(client, [STACK], [writer.ledger(WORKER)]);
      } finally {
        await client.close();
        await cluster.stop();
      }
    },
  };
}

/** etcd, written to over its followers, so that a write never waits for the connection to a dead leader. */
export async function etcdSubject(options: SubjectOptions): Promise<Subject | Absent> {
  const cluster = await EtcdCluster.start(
    options.directory,
    flags(options, '--heartbeat-interval', '--election-timeout'),
  );
  if ('why' in cluster) return cluster;
  let leader: EtcdMember | null = await cluster.leader();
  let made = 0;
  const writer = new SteadyWriter(
    (value) => cluster.put(`key-${made++}`, value, leader, GIVE_UP_MS),
    WORKER,
    options.everyMs,
    VALUE_BYTES,
  );
  return {
    name: 'etcd',
    writer,
    settledLeader: async () => {
      const found = await cluster.leader();
      leader = found;
      const goal = await cluster.appliedIndex(found);
      for (const member of cluster.members)
        await caughtUp(async () => (await cluster.appliedIndex(member)) >= goal, member.address);
      return found;
    },
    end: async () => {
      await cluster.kill();
      return { verified: 0, faults: [] };
    },
  };
}

function flags(options: SubjectOptions, heartbeat: string, electionTimeout: string): string[] {
  return [
    ...(options.heartbeatMs === '' ? [] : [heartbeat, options.heartbeatMs]),
    ...(options.electionTimeoutMs === '' ? [] : [electionTimeout, options.electionTimeoutMs]),
  ];
}

async function hasCaughtUp(node: ClusterNode, leader: number, goal: number): Promise<boolean> {
  const status = await statusOf(node.address);
  return status !== null && status.leader === leader && status.appliedIndex >= goal;
}

async function caughtUp(holds: () => Promise<boolean>, who: string): Promise<void> {
  await until(async () => (await holds()) || undefined, GIVE_UP_MS, `${who} does not catch up`);
}
