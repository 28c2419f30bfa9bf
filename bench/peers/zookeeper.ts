import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DiskCounters } from '../support/disk-counters.ts';
import { freePorts } from '../support/free-ports.ts';
import type { Point, PointSpec } from '../support/measure.ts';
import { until } from '../support/until.ts';
import { type Absent, type Contestant, Meter } from './contestant.ts';
import { runForeignLoad } from './foreign-load.ts';
import { installed, PeerProcess } from './peer-process.ts';

const NAME = 'zookeeper';
/** Where Debian's package puts it; its manifest names what it needs, and the second one keeps it from logging. */
const JARS = ['/usr/share/java/zookeeper.jar', '/usr/share/java/slf4j-nop.jar'];
const SERVERS = 3;
const MAX_SESSIONS = 16;
const LEADER_WAIT_MS = 20_000;
/** As for Cordwood, code that has hardly run yet is not measured: servers at first, and the load's own JVM each time. */
const HEAT: PointSpec = {
  ...{ operation: 'push', outstanding: 256, connections: MAX_SESSIONS, valueBytes: 64, ratePerS: 0 },
  ...{ warmS: 8, measureS: 0.1 },
};
const MIN_WARM_S = 4;

/** Three ZooKeeper servers; clients on the leader, which is their best case. An fsync before each acknowledgement. */
export async function startZookeeper(directory: string, disk: DiskCounters): Promise<Contestant | Absent> {
  const [java, javac] = [installed('java'), installed('javac')];
  if (java === null || javac === null || !JARS.every((jar) => existsSync(jar))) {
    return {
      name: NAME,
      why: `no java, javac or ${JARS[0]!} (Debian: zookeeper default-jdk-headless)`,
    };
  }
  mkdirSync(directory, { recursive: true });
  buildLoad(javac, directory);
  const ports = await freePorts(3 * SERVERS);
  const clientPorts = ports.slice(0, SERVERS);
  const members = clientPorts.map(
    (_, i) => `server.${i + 1}=127.0.0.1:${ports[SERVERS + i]!}:${ports[2 * SERVERS + i]!}`,
  );
  const servers = clientPorts.map((port, i) => {
    const data = path.join(directory, `server-${i + 1}`);
    mkdirSync(data, { recursive: true });
    const config = path.join(data, 'zoo.cfg');
    writeFileSync(path.join(data, 'myid'), `${i + 1}\n`);
    writeFileSync(config, configOf(data, port, members));
    const args = ['-Xmx1g', '-cp', JARS.join(':'), 'org.apache.zookeeper.server.quorum.QuorumPeerMain'];
    return new PeerProcess(java, [...args, config], data);
  });
  await Promise.all(servers.map((server, i) => server.listens(clientPorts[i]!)));
  const measure = async (spec: PointSpec): Promise<Point | null> => {
    const meter = new Meter(
      disk,
      servers.map(({ pid }) => pid),
    );
    return measureZookeeper(java, directory, await leaderOf(clientPorts), meter, spec);
  };
  await measure(HEAT);
  return {
    name: NAME,
    terms: `3 servers, forceSync (fsync before each acknowledgement), Java client on the leader, at most ${MAX_SESSIONS} sessions`,
    measure,
    stop: async () => {
      await Promise.all(servers.map((server) => server.kill()));
    },
  };
}

function configOf(data: string, port: number, members: readonly string[]): string {
  return [
    ...['tickTime=2000', 'initLimit=10', 'syncLimit=5', 'forceSync=yes'],
    ...[`dataDir=${data}`, 'clientPortAddress=127.0.0.1', `clientPort=${port}`],
    ...['maxClientCnxns=0', 'admin.enableServer=false', '4lw.commands.whitelist=*'],
    ...members,
    '',
  ].join('\n');
}

function buildLoad(javac: string, directory: string): void {
  // From dist/bench/peers the source lies in the checkout.
  const source = fileURLToPath(new URL('../../../bench/peers/ZookeeperLoad.java', import.meta.url));
  execFileSync(javac, ['-cp', JARS.join(':'), '-d', directory, source], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

async function measureZookeeper(
  java: string,
  directory: string,
  leaderPort: number,
  meter: Meter,
  spec: PointSpec,
): Promise<Point | null> {
  // A read of its leader alone may be stale, and with sync() before it, it is two calls: neither is our `top`.
  if (spec.operation !== 'push') return null;
  const flags = [
    ...['-cp', [...JARS, directory].join(':'), 'ZookeeperLoad', `-endpoint=127.0.0.1:${leaderPort}`],
    ...[`-outstanding=${spec.outstanding}`, `-connections=${Math.min(MAX_SESSIONS, spec.outstanding)}`],
    ...[
      `-value-bytes=${spec.valueBytes}`,
      `-warm=${Math.max(MIN_WARM_S, spec.warmS)}`,
      `-secs=${spec.measureS}`,
    ],
  ];
  const figures = await runForeignLoad(java, flags, meter);
  // It used its own number of sessions, but stands in the row of what was asked for.
  return meter.point(NAME, spec, figures);
}

/** The client port of the server that leads. */
function leaderOf(ports: readonly number[]): Promise<number> {
  const leader = async (): Promise<number | undefined> => {
    for (const port of ports) {
      if ((await fourLetters(port, 'srvr')).includes('Mode: leader')) return port;
    }
    return undefined;
  };
  return until(leader, LEADER_WAIT_MS, 'the ZooKeeper servers elect no leader');
}

/** The answer to one of its commands of four letters; empty if there is none. */
function fourLetters(port: number, command: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(command));
    socket.on('data', (data) => (answer += data.toString()));
    socket.once('error', () => resolve(''));
    socket.once('close', () => resolve(answer));
  });
}
