import { mkdirSync } from 'node:fs';
import path from 'node:path';
import type { DiskCounters } from '../support/disk-counters.ts';
import { freePorts } from '../support/free-ports.ts';
import type { Point, PointSpec } from '../support/measure.ts';
import { until } from '../support/until.ts';
import { type Absent, type Contestant, Meter } from './contestant.ts';
import { NOT_INSTALLED, npmPeer } from './npm-peer.ts';
import { PeerProcess } from './peer-process.ts';
import { type PipelineProtocol, runPipelineLoad } from './pipeline-load.ts';

const MEMBERS = ['a', 'b', 'c'];
/** Its ranges are directories: from the slash to the character behind it. */
const DIRECTORY = '/bench';
/** Each write dumps the whole database to disk, so few keys are its best case. */
const KEYS = 64;
/**
 * It collapses beyond. Seen with 1,000 outstanding: answers after 6.6 s, then 6 writes a second (its replication gives
 * up after 1 s). With the interval, at 10,000: not one answer in 3 s.
 */
const MAX_OUTSTANDING = 256;
const MAX_OUTSTANDING_WITH_INTERVAL = 1000;
const SETTLE_MS = 1000;
const SETTLE_WAIT_MS = 60_000;
const LEADER_WAIT_MS = 60_000;

interface Status {
  readonly header: { readonly revision: number };
  readonly raftState?: string;
  readonly followers?: readonly string[];
}

/**
 * Three AntiEtcd nodes (plain JavaScript, elections by TinyRaft); clients on the leader, which is their best case.
 * With `interval` its data goes to disk twice a second, behind the acknowledgements.
 */
export async function startAntietcd(
  directory: string,
  disk: DiskCounters,
  interval: boolean,
): Promise<Contestant | Absent> {
  const name = interval ? 'antietcd+interval' : 'antietcd';
  const program = npmPeer('antietcd/antietcd-app.js');
  if (program === null) return { name, why: NOT_INSTALLED };
  const ports = await freePorts(MEMBERS.length);
  const cluster = MEMBERS.map((member, i) => `${member}=http://127.0.0.1:${ports[i]!}`).join(',');
  const servers = MEMBERS.map((member, i) => {
    const data = path.join(directory, member);
    mkdirSync(data, { recursive: true });
    const args = [
      ...[program, '--ip', '127.0.0.1', '--port', String(ports[i]!), '--node_id', member],
      ...['--cluster', cluster, '--cluster_key', 'bench', '--data', path.join(data, 'data.gz')],
      ...(interval ? ['--persist_interval', '500'] : []),
    ];
    return new PeerProcess(process.execPath, args, data);
  });
  await Promise.all(servers.map((server, i) => server.listens(ports[i]!)));
  await leaderOf(ports);
  const made = { number: 0 };
  return {
    name,
    terms: interval
      ? 'AntiEtcd, 3 nodes, persist_interval=500: all three have it in memory at the acknowledgement, none on disk'
      : `AntiEtcd, 3 nodes, each write dumps and fsyncs the whole database (${KEYS} keys) on all three before its acknowledgement, without an fsync of the directory`,
    measure: async (spec) => {
      const most = interval ? MAX_OUTSTANDING_WITH_INTERVAL : MAX_OUTSTANDING;
      if (spec.operation !== 'push' || spec.outstanding > most) return null;
      const pids = servers.map(({ pid }) => pid);
      return measureAntietcd(name, ports, new Meter(disk, pids), spec, made);
    },
    stop: async () => {
      await Promise.all(servers.map((server) => server.kill()));
    },
  };
}

/** `made` goes on from point to point: it takes a put of the value that is there already for none at all. */
async function measureAntietcd(
  name: string,
  ports: readonly number[],
  meter: Meter,
  spec: PointSpec,
  made: { number: number },
): Promise<Point> {
  const leader = await leaderOf(ports);
  const revisionBefore = (await status(leader)).header.revision;
  const madeBefore = made.number;
  const { outstanding } = spec;
  const figures = await runPipelineLoad(
    protocol(spec, () => made.number++),
    leader,
    spec,
    meter,
  );
  const point = meter.point(name, spec, figures);
  const least = made.number - madeBefore - outstanding;
  const writes = (await settledRevision(leader)) - revisionBefore;
  const faults = await Promise.all(ports.map((port) => faultOf(port, made.number, outstanding)));
  if (writes < least) faults.push(`at least ${least} writes were acknowledged, but ${writes} done`);
  return { ...point, faults: faults.filter((fault) => fault !== '') };
}

/** The writes still under way are waited for, or they would slow down whoever is next. */
function settledRevision(port: number): Promise<number> {
  let revision = -1;
  const settled = async (): Promise<number | undefined> => {
    const before = revision;
    ({ revision } = (await status(port)).header);
    return revision === before ? revision : undefined;
  };
  return until(settled, SETTLE_WAIT_MS, 'AntiEtcd does not end the writes it was given', SETTLE_MS);
}

/** What is wrong with the values a node holds; empty if nothing is. */
async function faultOf(port: number, made: number, outstanding: number): Promise<string> {
  const range = { key: base64(`${DIRECTORY}/`), range_end: base64(`${DIRECTORY}0`) };
  const { kvs } = (await post(port, 'kv/range', range)) as { kvs: { key: string; value: string }[] };
  if (kvs.length < Math.min(KEYS, made - outstanding)) return `a node holds ${kvs.length} keys only`;
  const wrong = kvs.find(({ key, value }) => {
    const number = Number(Buffer.from(value, 'base64').toString().slice(0, 12));
    return number >= made || Buffer.from(key, 'base64').toString() !== `${DIRECTORY}/${number % KEYS}`;
  });
  return wrong === undefined ? '' : `a node holds what was never written: ${JSON.stringify(wrong)}`;
}

/** Requests are pipelined: the cheapest client an HTTP server can have. */
function protocol({ valueBytes }: PointSpec, next: () => number): PipelineProtocol {
  const padding = '-'.repeat(valueBytes);
  return {
    request: () => {
      const number = next();
      const value = `${String(number).padStart(12, '0')}${padding}`.slice(0, valueBytes);
      const body = JSON.stringify({ key: base64(`${DIRECTORY}/${number % KEYS}`), value: base64(value) });
      return Buffer.from(
        'POST /v3/kv/put HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n' +
          `Content-Length: ${body.length}\r\n\r\n${body}`,
      );
    },
    answerEnd: (bytes, at, end) => {
      const bodyAt = bytes.indexOf('\r\n\r\n', at) + 4;
      if (bodyAt < 4) return -1;
      const head = bytes.toString('latin1', at, bodyAt);
      const next = bodyAt + Number(/^content-length: (\d+)/im.exec(head)?.[1]);
      if (next > end) return -1;
      if (!head.startsWith('HTTP/1.1 200 ')) {
        throw new Error(`antietcd: ${bytes.toString('latin1', at, next)}`);
      }
      return next;
    },
  };
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

/** The port of the node that leads both others: it begins with one, and joins the other in later. */
function leaderOf(ports: readonly number[]): Promise<number> {
  const leader = async (): Promise<number | undefined> => {
    for (const port of ports) {
      const { raftState, followers } = await status(port);
      if (raftState === 'leader' && followers?.length === MEMBERS.length) return port;
    }
    return undefined;
  };
  return until(leader, LEADER_WAIT_MS, 'the AntiEtcd nodes elect no leader');
}

async function status(port: number): Promise<Status> {
  return (await post(port, 'maintenance/status', {})) as Status;
}

async function post(port: number, call: string, body: unknown): Promise<unknown> {
  const answer = await fetch(`http://127.0.0.1:${port}/v3/${call}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`antietcd: ${await answer.text()}`);
  return answer.json();
}
