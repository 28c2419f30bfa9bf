import { mkdirSync } from 'node:fs';
import path from 'node:path';
import type { DiskCounters } from '../support/disk-counters.ts';
import { freePorts } from '../support/free-ports.ts';
import type { Point, PointSpec } from '../support/measure.ts';
import { type Absent, type Contestant, Meter } from './contestant.ts';
import { runForeignLoad } from './foreign-load.ts';
import { buildGo, canBuildGo } from './go-program.ts';
import { installed, PeerProcess } from './peer-process.ts';

const MEMBERS = 3;
/** Above this etcd's client gains nothing from more connections. */
const MAX_CONNECTIONS = 16;

/** Three etcd members; clients on the leader, which is their best case. An fsync before each acknowledgement. */
export async function startEtcd(directory: string, disk: DiskCounters): Promise<Contestant | Absent> {
  const program = installed('etcd');
  if (program === null) return { name: 'etcd', why: 'no etcd on the PATH (Debian: etcd-server)' };
  if (!canBuildGo('go.etcd.io/etcd/clientv3')) {
    return { name: 'etcd', why: 'its client cannot be built (Debian: golang-go golang-etcd-server-dev)' };
  }
  mkdirSync(directory, { recursive: true });
  const load = buildGo('etcd-load', directory);
  const ports = await freePorts(2 * MEMBERS);
  const url = (port: number): string => `http://127.0.0.1:${port}`;
  const names = Array.from({ length: MEMBERS }, (_, i) => `member-${i + 1}`);
  const cluster = names.map((name, i) => `${name}=${url(ports[MEMBERS + i]!)}`).join(',');
  const members = names.map((name, i) => {
    const data = path.join(directory, name);
    mkdirSync(data, { recursive: true });
    const [client, peer] = [url(ports[i]!), url(ports[MEMBERS + i]!)];
    const args = [
      ...['--name', name, '--data-dir', path.join(data, 'data'), '--log-level', 'error'],
      ...['--listen-client-urls', client, '--advertise-client-urls', client],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
      ...['--initial-cluster', cluster, '--initial-cluster-state', 'new'],
      ...['--quota-backend-bytes', String(8 * 2 ** 30)],
    ];
    return new PeerProcess(program, args, data);
  });
  await Promise.all(members.map((member, i) => member.listens(ports[i]!)));
  const endpoints = ports.slice(0, MEMBERS).map((port) => `127.0.0.1:${port}`);
  return {
    name: 'etcd',
    terms: '3 members, fsync before each acknowledgement, Go client on the leader, at most 16 connections',
    measure: (spec) =>
      measureEtcd(
        load,
        endpoints,
        new Meter(
          disk,
          members.map(({ pid }) => pid),
        ),
        spec,
      ),
    stop: async () => {
      await Promise.all(members.map((member) => member.kill()));
    },
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
