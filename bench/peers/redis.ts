import { mkdirSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import type { DiskCounters } from '../support/disk-counters.ts';
import { freePorts } from '../support/free-ports.ts';
import type { Point, PointSpec } from '../support/measure.ts';
import { until } from '../support/until.ts';
import { type Absent, type Contestant, Meter } from './contestant.ts';
import { installed, PeerProcess } from './peer-process.ts';
import { type PipelineProtocol, runPipelineLoad } from './pipeline-load.ts';

const MINUS = 0x2d;
const DOLLAR = 0x24;
const LINE_FEED = 0x0a;
const KEY = 'bench';
const REPLICA_WAIT_MS = 10_000;

/**
 * Redis with its append-only file, fsync always. Alone it survives no lost disk; with `replicas`, each push is
 * followed by WAIT 1, so that one of two replicas has it too (it still fails over by hand only).
 */
export async function startRedis(
  directory: string,
  disk: DiskCounters,
  replicas: boolean,
): Promise<Contestant | Absent> {
  const name = replicas ? 'redis+wait' : 'redis';
  const program = installed('redis-server');
  if (program === null) return { name, why: 'no redis-server on the PATH (Debian: redis-server)' };
  const ports = await freePorts(replicas ? 3 : 1);
  const servers: PeerProcess[] = [];
  for (const [i, port] of ports.entries()) {
    const data = path.join(directory, `${name}-${i + 1}`);
    mkdirSync(data, { recursive: true });
    const args = [
      ...['--port', String(port), '--bind', '127.0.0.1', '--dir', data, '--save', ''],
      ...['--appendonly', 'yes', '--appendfsync', 'always', '--repl-diskless-sync-delay', '0'],
      ...(i === 0 ? [] : ['--replicaof', `127.0.0.1 ${ports[0]!}`]),
    ];
    const server = new PeerProcess(program, args, data);
    servers.push(server);
    await server.listens(port);
  }
  if (replicas) await replicated(ports[0]!);
  return {
    name,
    terms: replicas
      ? 'append-only file, fsync always, 2 replicas, WAIT 1 after each push; no automatic failover'
      : 'one server, append-only file, fsync always; a copy on one disk only',
    measure: (spec) =>
      measureRedis(
        name,
        ports[0]!,
        replicas,
        new Meter(
          disk,
          servers.map(({ pid }) => pid),
        ),
        spec,
      ),
    stop: async () => {
      await Promise.all(servers.map((server) => server.kill()));
    },
  };
}

async function measureRedis(
  name: string,
  port: number,
  wait: boolean,
  meter: Meter,
  spec: PointSpec,
): Promise<Point | null> {
  if (spec.operation === 'mixed') return null;
  if (spec.operation !== 'push') await call(port, ['LPUSH', KEY, '-'.repeat(spec.valueBytes)]);
  const figures = await runPipelineLoad(protocol(spec, wait), port, spec, meter);
  await call(port, ['DEL', KEY]);
  return meter.point(name, spec, figures);
}

function protocol({ operation, valueBytes }: PointSpec, wait: boolean): PipelineProtocol {
  const padding = '-'.repeat(valueBytes);
  const suffix = wait && operation !== 'top' ? command(['WAIT', '1', '0']) : '';
  const fixed = operation === 'top' ? command(['LINDEX', KEY, '0']) : command(['LPOP', KEY]);
  const answers = suffix === '' ? 1 : 2;
  return {
    request: (number) =>
      Buffer.from(
        (operation === 'push'
          ? command(['LPUSH', KEY, `${String(number).padStart(12, '0')}${padding}`.slice(0, valueBytes)])
          : fixed) + suffix,
      ),
    answerEnd: (bytes, at, end) => {
      for (let i = 0; i < answers && at !== -1; i++) at = lineEnd(bytes, at, end);
      return at;
    },
  };
}

/** Behind one reply: a line, or a line with a length and that many bytes. */
function lineEnd(bytes: Buffer, at: number, end: number): number {
  const line = bytes.indexOf(LINE_FEED, at);
  if (line === -1 || line >= end) return -1;
  if (bytes[at] === MINUS) throw new Error(`redis: ${bytes.toString('latin1', at + 1, line - 1)}`);
  if (bytes[at] !== DOLLAR) return line + 1;
  const length = Number(bytes.toString('latin1', at + 1, line - 1));
  const next = length < 0 ? line + 1 : line + 1 + length + 2;
  return next <= end ? next : -1;
}

function command(words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`;
}

/** One command on a connection of its own; resolves to the first bytes of the answer. */
function call(port: number, words: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(command(words)));
    socket.once('error', reject);
    socket.once('data', (data) => {
      socket.destroy();
      resolve(data.toString('latin1'));
    });
  });
}

function replicated(port: number): Promise<true> {
  const joined = async (): Promise<true | undefined> => {
    const online = (await call(port, ['INFO', 'replication'])).match(/state=online/g)?.length ?? 0;
    return online === 2 || undefined;
  };
  return until(joined, REPLICA_WAIT_MS, 'the replicas do not join');
}
