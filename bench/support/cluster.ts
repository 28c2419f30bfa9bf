import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, CordwoodError } from '../../lib/client/index.ts';
import type { NodeStatus } from '../../lib/node/types.ts';
import { freePorts } from './free-ports.ts';
import { roomAhead } from './room-ahead.ts';
import { until } from './until.ts';

/** The command whose nodes are measured: the one built together with this file. */
export const COMMAND: string = fileURLToPath(new URL('../../bin/cordwood.js', import.meta.url));
const SLOW_DISK = new URL('slow-disk.js', import.meta.url).href;
const START_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 15_000;

export interface ClusterOptions {
  readonly nodes: number;
  /** Each node gets a directory of its own in it. */
  readonly directory: string;
  /** Program of the nodes, a path to a `cordwood.js`. Default: `COMMAND`. */
  readonly command?: string | undefined;
  /** More arguments for `cordwood start`. */
  readonly args?: readonly string[];
  /** Flags for Node itself. */
  readonly nodeFlags?: readonly string[];
  /** CPU profiles of all nodes go here, a directory each. */
  readonly profileDirectory?: string | undefined;
  /** Added to each fsync, milliseconds. */
  readonly slowDiskMs?: number;
  /** Room that is ready ahead of each node's log before anything is measured; default 0: whatever a node does. */
  readonly logAheadMb?: number;
}

/** Children alive now: none of them outlives this process, however it ends. */
const alive = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => process.exit(130));
}

/** One node, a process of its own, started as often as wanted. */
export class ClusterNode {
  readonly id: number;
  readonly address: string;
  readonly directory: string;
  readonly #command: readonly string[];
  readonly #logFile: string;
  #child: ChildProcess | null = null;
  #exited: Promise<void> = Promise.resolve();

  constructor(id: number, address: string, directory: string, logFile: string, command: readonly string[]) {
    this.id = id;
    this.address = address;
    this.directory = directory;
    this.#logFile = logFile;
    this.#command = command;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Resolves when it serves. */
  async start(): Promise<void> {
    const log = openSync(this.#logFile, 'a');
    // The channel ties the node to this process: it stops when the channel breaks.
    const child = spawn(process.execPath, this.#command, { stdio: ['ignore', log, log, 'ipc'] });
    closeSync(log);
    this.#child = child;
    alive.add(child);
    let ready: () => void;
    const serving = new Promise<string>((resolve) => {
      ready = () => resolve('');
    });
    child.on('message', (message: { type?: string }) => {
      if (message.type === 'ready') ready();
    });
    this.#exited = new Promise((resolve) => {
      child.once('exit', () => {
        alive.delete(child);
        this.#child = null;
        resolve();
      });
    });
    const problem = await Promise.race([
      serving,
      this.#exited.then(() => 'ended'),
      after(START_TIMEOUT_MS).then(() => 'is not ready yet'),
    ]);
    if (problem !== '')
      throw new Error(`node ${this.id} ${problem}; its log ends:\n${tailOf(this.#logFile)}`);
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  /** Ends it where it stands; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#exited;
  }

  /** Stops it in an orderly way. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    const force = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    child.kill('SIGTERM');
    await this.#exited;
    clearTimeout(force);
  }
}

/** A durable cluster of real processes on this machine. */
export class Cluster implements AsyncDisposable {
  readonly nodes: readonly ClusterNode[];

  private constructor(nodes: readonly ClusterNode[]) {
    this.nodes = nodes;
  }

  /** Starts all nodes; resolves when they have a leader. */
  static async start(options: ClusterOptions): Promise<Cluster> {
    const { nodes: count, directory, logAheadMb: aheadMb = 0 } = options;
    const ports = await freePorts(2 * count);
    const peers = ports.slice(count).map((port) => `127.0.0.1:${port}`);
    const cluster = new Cluster(
      Array.from({ length: count }, (_, i) => {
        const id = i + 1;
        const dataDirectory = path.join(directory, `node-${id}`);
        mkdirSync(dataDirectory, { recursive: true });
        return new ClusterNode(
          id,
          `127.0.0.1:${ports[i]!}`,
          dataDirectory,
          path.join(directory, `node-${id}.log`),
          [
            ...flagsOf(options, id),
            options.command ?? COMMAND,
            'start',
            ...['--id', String(id), '--cluster', peers.join(','), '--port', String(ports[i]!)],
            ...['--data', dataDirectory],
            ...(aheadMb === 0 ? [] : ['--log-ahead-mb', String(aheadMb)]),
            ...(options.args ?? []),
          ],
        );
      }),
    );
    try {
      await Promise.all(cluster.nodes.map((node) => node.start()));
      await cluster.leader();
      for (const node of cluster.nodes) await roomAhead(node.directory, aheadMb);
    } catch (error) {
      await cluster.kill();
      throw error;
    }
    return cluster;
  }

  get addresses(): string[] {
    return this.nodes.map(({ address }) => address);
  }

  get pids(): number[] {
    return this.nodes.map(({ pid }) => pid).filter((pid) => pid > 0);
  }

  node(id: number): ClusterNode {
    return this.nodes[id - 1]!;
  }

  /** Waits until a node of this cluster says that it leads. */
  leader(): Promise<ClusterNode> {
    const leading = async (): Promise<ClusterNode | undefined> => {
      for (const node of this.nodes) {
        if (node.pid === 0) continue;
        const status = await statusOf(node.address);
        if (status?.role === 'leader') return node;
      }
      return undefined;
    };
    return until(leading, START_TIMEOUT_MS, 'the cluster has no leader');
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }

  async kill(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** What the node at `address` says of itself; null if it does not answer. */
export async function statusOf(address: string): Promise<NodeStatus | null> {
  try {
    await using client = await Client.connect({
      addresses: [address],
      connectTimeoutMs: 500,
      preferLeader: false,
    });
    return await client.status({ timeoutMs: 500 });
  } catch (error) {
    if (CordwoodError.is(error)) return null;
    throw error;
  }
}

function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}

function flagsOf({ nodeFlags = [], profileDirectory, slowDiskMs = 0 }: ClusterOptions, id: number): string[] {
  const flags = [...nodeFlags];
  if (profileDirectory !== undefined) {
    flags.push('--cpu-prof', '--cpu-prof-dir', path.join(profileDirectory, `node-${id}`));
  }
  if (slowDiskMs > 0) flags.push('--import', `${SLOW_DISK}?ms=${slowDiskMs}`);
  return flags;
}

function tailOf(file: string): string {
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-10).join('\n');
}
