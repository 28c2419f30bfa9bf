import type { Test } from 'tap';
import { MemoryDisk } from '../../../lib/log/memory-disk.ts';
import { StackMachine } from '../../../lib/machine/stack-machine.ts';
import { RaftNode } from '../../../lib/node/node.ts';
import type { Logger, NodeOptions } from '../../../lib/node/types.ts';
import { pause, until } from '../../e2e/support/until.ts';
import { DiskGate, freePorts, memoryEnvironment } from './memory-environment.ts';

export interface LogLine {
  readonly id: number;
  readonly level: keyof Logger;
  readonly code: string;
  readonly message: string;
}

const HEARTBEAT_MS = 20;
const ELECTION_TIMEOUT_MS = 400;

/** Real nodes in this process, on real sockets, with disks in memory that outlive them. */
export class TestCluster {
  readonly disks: Map<number, MemoryDisk> = new Map();
  readonly logs: LogLine[] = [];
  readonly ports: number[];
  readonly size: number;
  readonly #gates = new Map<number, DiskGate>();
  readonly #running = new Map<number, RaftNode>();
  readonly #options: Partial<NodeOptions>;

  private constructor(ports: number[], size: number, options: Partial<NodeOptions>) {
    this.ports = ports;
    this.size = size;
    this.#options = options;
  }

  /** Starts `size` nodes; `spares` more addresses are set aside for nodes that join. */
  static async start(
    t: Test,
    size: number,
    options: Partial<NodeOptions> = {},
    spares = 0,
  ): Promise<TestCluster> {
    const cluster = new TestCluster(await freePorts(size + spares), size, options);
    t.teardown(() => cluster.close());
    await Promise.all(Array.from({ length: size }, (_, i) => cluster.startNode(i + 1)));
    return cluster;
  }

  get nodes(): RaftNode[] {
    return [...this.#running.values()];
  }

  node(id: number): RaftNode {
    return this.#running.get(id)!;
  }

  /** Makes the disk of a node stand still, and go on. */
  gate(id: number): DiskGate {
    let gate = this.#gates.get(id);
    if (gate === undefined) this.#gates.set(id, (gate = new DiskGate()));
    return gate;
  }

  address(id: number): string {
    return `127.0.0.1:${this.ports[id - 1]!}`;
  }

  async startNode(id: number, options: Partial<NodeOptions> = {}): Promise<RaftNode> {
    let disk = this.disks.get(id);
    if (disk === undefined) this.disks.set(id, (disk = new MemoryDisk()));
    const cluster = Array.from({ length: this.size }, (_, i) => this.address(i + 1));
    const log = (level: keyof Logger) => (fields: object, message: string) => {
      const { code = '' } = fields as { code?: string };
      this.logs.push({ id, level, code, message });
    };
    const node = await RaftNode.start(
      {
        id,
        cluster: options.join === true ? [...cluster, this.address(id)] : cluster,
        dataDir: 'in memory',
        machine: new StackMachine(),
        heartbeatMs: HEARTBEAT_MS,
        electionTimeoutMs: ELECTION_TIMEOUT_MS,
        clientAddress: `127.0.0.1:${50_000 + id}`,
        logger: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
        ...this.#options,
        ...options,
      },
      memoryEnvironment(disk, {}, this.gate(id)),
    );
    this.#running.set(id, node);
    return node;
  }

  async stop(id: number): Promise<void> {
    const node = this.#running.get(id);
    this.#running.delete(id);
    await node?.close({ transfer: false });
  }

  /** The node that leads and is known to all others that run and take part. */
  async leader(): Promise<RaftNode> {
    await this.until('a leader', () => this.#leader() !== undefined);
    return this.#leader()!;
  }

  /** Waits until every running node is connected to every other. */
  meet(): Promise<void> {
    return this.until('everybody has met everybody', () => {
      const live = new Set(this.nodes.map(({ id }) => id));
      return this.nodes.every((node) => node.status().peers.every((p) => p.connected || !live.has(p.id)));
    });
  }

  async until(what: string, done: () => boolean): Promise<void> {
    await until(() => `${what}\n${this.#report()}`, done);
  }

  /** Lets so many election timeouts go by, in which something must not happen. */
  elapse(timeouts: number): Promise<void> {
    return pause(timeouts * ELECTION_TIMEOUT_MS);
  }

  async close(): Promise<void> {
    for (const gate of this.#gates.values()) gate.goOn();
    await Promise.all(this.nodes.map((node) => node.close({ transfer: false })));
    this.#running.clear();
  }

  #report(): string {
    const nodes = this.nodes.map((node) => {
      const { id, role, term, leader, lastIndex, commitIndex, config, peers } = node.status();
      const voters = config.voters.join(' ');
      const up = peers.filter((p) => p.connected).map((p) => p.id);
      return `${id}: ${role} term ${term} leader ${leader} log ${lastIndex}/${commitIndex} voters ${voters} up ${up.join(' ')}`;
    });
    return [...nodes, ...this.logs.slice(-20).map((l) => `${l.id} ${l.level} ${l.code} ${l.message}`)].join(
      '\n',
    );
  }

  #leader(): RaftNode | undefined {
    const leader = this.nodes.find((node) => node.status().role === 'leader');
    if (leader === undefined) return undefined;
    const { config } = leader.status();
    const followed = this.nodes.every(
      (node) =>
        !config.members.some(({ id }) => id === node.id) ||
        node.leader?.id === leader.id ||
        node.status().quarantine !== null,
    );
    return followed ? leader : undefined;
  }
}
