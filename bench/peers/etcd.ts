import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { promisify } from 'node:util';
import type { DiskCounters } from '../support/disk-counters.ts';
import type { Point, PointSpec } from '../support/measure.ts';
import { type Absent, type Contestant, Meter } from './contestant.ts';
import { EtcdCluster } from './etcd-cluster.ts';
import { runForeignLoad } from './foreign-load.ts';
import { buildGo, canBuildGo } from './go-program.ts';

/** Above this etcd's client gains nothing from more connections. */
const MAX_CONNECTIONS = 16;

/** Three etcd members; clients on the leader, which is their best case. An fsync before each acknowledgement. */
export async function startEtcd(directory: string, disk: DiskCounters): Promise<Contestant | Absent> {
  if (!canBuildGo('go.etcd.io/etcd/clientv3')) {
    return { name: 'etcd', why: 'its client cannot be built (Debian: golang-go golang-etcd-server-dev)' };
  }
  mkdirSync(directory, { recursive: true });
  const load = buildGo('etcd-load', directory);
  const cluster = await EtcdCluster.start(directory);
  if ('why' in cluster) return cluster;
  return {
    name: 'etcd',
    terms: '3 members, fsync before each acknowledgement, Go client on the leader, at most 16 connections',
    measure: (spec) => measureEtcd(load, cluster.addresses, new Meter(disk, cluster.pids), spec),
    stop: () => cluster.kill(),
  };
}

async function measureEtcd(
  load: string,
  endpoints: readonly string[],
  meter: Meter,
  spec: PointSpec,
): Promise<Point | null> {
  if (spec.operation !== 'push' && spec.operation !== 'top') return null;
  const connections = Math.min(MAX_CONNECTIONS, spec.outstanding);
  const flags = [
    `-endpoints=${endpoints.join(',')}`,
    ...[`-outstanding=${spec.outstanding}`, `-connections=${connections}`, `-value-bytes=${spec.valueBytes}`],
    ...[`-warm=${spec.warmS}`, `-secs=${spec.measureS}`, `-reads=${spec.operation === 'top'}`],
  ];
  const figures = await runForeignLoad(load, flags, meter);
  // It used its own number of connections, but stands in the row of what was asked for.
  return meter.point('etcd', spec, figures);
}

/** Puts `count` different keys: "key-000000001" is the first. */
export async function fillEtcd(
  directory: string,
  cluster: EtcdCluster,
  count: number,
  valueBytes: number,
): Promise<void> {
  const load = buildGo('etcd-load', directory);
  const spread = [`-outstanding=1000`, `-connections=${MAX_CONNECTIONS}`];
  const flags = [`-endpoints=${cluster.addresses.join(',')}`, `-fill=${count}`, `-value-bytes=${valueBytes}`];
  await promisify(execFile)(load, [...flags, ...spread]);
}
