import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Test } from 'tap';
import { Client } from '../../../lib/client/client.ts';
import type { ClientOptions } from '../../../lib/client/options.ts';
import type { NodeStatus } from '../../../lib/node/types.ts';
import { Link, type LinkState, PeerGate } from './link-proxy.ts';
import { freePorts } from './ports.ts';
import { TestNode } from './test-node.ts';
import { until } from './until.ts';

export interface ClusterOptions {
  readonly nodes?: number;
  /** Further arguments of every node. */
  readonly args?: readonly string[];
  /** Nodes talk to each other by way of proxies, so that links can be broken: see `link`. */
  readonly proxied?: boolean;
  /** Called before the nodes start, with the directory in which node N will find its data under the name N. */
  readonly prepare?: (dir: string) => void;
}

/**
 * A cluster of real processes on free ports and a directory of its own. What ends it is `close`, and, whatever
 * happens, the end of this process.
 */
export class TestCluster {
  readonly nodes: readonly TestNode[];
  readonly dir: string;
  readonly #clients = new Set<Client>();
  readonly #links = new Map<string, Link>();
  readonly #gates: PeerGate[] = [];

  private constructor(nodes: readonly TestNode[], dir: string) {
    this.nodes = nodes;
    this.dir = dir;
  }

  /** Starts all nodes and waits until they agree on a leader. */
  static async open(options: ClusterOptions = {}): Promise<TestCluster> {
    const count = options.nodes ?? 3;
    const dir = mkdtempSync(path.join(tmpdir(), 'cordwood-test-'));
    options.prepare?.(dir);
    const proxied = options.proxied === true;
    const ports = await freePorts(3 * count);
    const peers = ports.slice(count, 2 * count);
    const gates = proxied ? ports.slice(2 * count) : peers;
    const cluster = gates.map((port) => `http://127.0.0.1:${port}`).join(',');
    const nodes = peers.map(
      (peerPort, i) =>
        new TestNode({
          id: i + 1,
          clientPort: ports[i]!,
          peerPort,
          cluster,
          dir,
          args: [...(proxied ? ['--peer-listen', `127.0.0.1:${peerPort}`] : []), ...(options.args ?? [])],
        }),
    );
    const opened = new TestCluster(nodes, dir);
    try {
      if (proxied) await opened.#openGates(gates);
      await opened.startAll();
    } catch (error) {
      await opened.close();
      throw error;
    }
    return opened;
  }

  /** As `open`; the test closes it at its end, and shows the nodes' logs if it has failed. */
  static async start(t: Test, options: ClusterOptions = {}): Promise<TestCluster> {
    const cluster = await TestCluster.open(options);
    t.teardown(async () => {
      if (!t.passing()) t.comment(cluster.logs());
      await cluster.close();
    });
    return cluster;
  }

  get addresses(): string[] {
    return this.nodes.map((node) => node.address);
  }

  node(id: number): TestNode {
    const node = this.nodes[id - 1];
    if (node === undefined) throw new Error(`there is no node ${id}`);
    return node;
  }

  /** The way from one node to another. */
  link(from: TestNode, to: TestNode): Link {
    return this.#link(from.id, to.id);
  }

  /** Breaks every link between the two groups, in both directions, or mends it. */
  split(some: readonly TestNode[], others: readonly TestNode[], state: LinkState): void {
    for (const a of some) {
      for (const b of others) {
        if (a === b) continue;
        this.link(a, b).state = state;
        this.link(b, a).state = state;
      }
    }
  }

  /** No connection between nodes that is open now carries anything any more; new ones do. */
  strand(): void {
    for (const link of this.#links.values()) link.strand();
  }

  /** Nothing is broken any more. */
  heal(): void {
    for (const link of this.#links.values()) {
      link.delayMs = 0;
      if (link.state !== 'open') link.state = 'open';
    }
  }

  /** Nodes that run and are not frozen. */
  get live(): TestNode[] {
    return this.nodes.filter((node) => node.alive && !node.frozen);
  }

  async startAll(): Promise<void> {
    for (const node of this.nodes) if (!node.alive) node.start();
    await this.settled();
  }

  /**
   * Waits until all live nodes serve and follow the same leader, who is one of them, and returns that.
   *
   * @param other a node that must not be the leader any more
   */
  settled(other?: TestNode): Promise<TestNode> {
    return until(`a leader of ${this.live.length} nodes`, async () => {
      const live = this.live;
      const all = await Promise.all(live.map((node) => node.status()));
      const leader = all.find((status) => status?.role === 'leader')?.id;
      if (leader === undefined || leader === other?.id) return null;
      if (all.some((status) => status?.leader !== leader)) return null;
      return live.find((node) => node.id === leader);
    });
  }

  /** Some live node that leads, and by a majority's word. */
  leader(): Promise<TestNode> {
    return until('a leader', async () => {
      const all = await Promise.all(this.live.map((node) => node.status()));
      const votes = new Map<number, number>();
      for (const status of all)
        if (typeof status?.leader === 'number') votes.set(status.leader, (votes.get(status.leader) ?? 0) + 1);
      for (const [id, count] of votes) {
        const node = this.node(id);
        if (count > this.nodes.length / 2 && node.alive && !node.frozen) return node;
      }
      return null;
    });
  }

  /** Waits until all nodes run and have applied as much as the furthest of them. */
  async converged(): Promise<NodeStatus[]> {
    let last: (NodeStatus | null)[] = [];
    try {
      return await until('all nodes at the same place', async () => {
        last = await Promise.all(this.nodes.map((node) => node.status()));
        const known = last.filter((status) => status !== null);
        if (known.length < last.length) return null;
        const end = Math.max(...known.map((status) => status.lastIndex));
        return known.every((status) => status.appliedIndex === end && status.leader !== null) ? known : null;
      });
    } catch (cause) {
      throw new Error(`${(cause as Error).message}: ${JSON.stringify(last)}`, { cause });
    }
  }

  /** A client of all nodes, closed with the cluster. */
  async client(options: Partial<ClientOptions> = {}): Promise<Client> {
    const client = await Client.connect({ addresses: this.addresses, timeoutMs: 20_000, ...options });
    this.#clients.add(client);
    return client;
  }

  logs(): string {
    return this.nodes.map((node) => `--- node ${node.id}\n${node.logTail()}`).join('\n');
  }

  async close(): Promise<void> {
    for (const client of this.#clients) await client.close();
    await Promise.all(this.nodes.map((node) => node.kill()));
    for (const link of this.#links.values()) link.state = 'cut';
    await Promise.all(this.#gates.map((gate) => gate.close()));
    rmSync(this.dir, { recursive: true, force: true });
  }

  #link(from: number, to: number): Link {
    const name = `${from}>${to}`;
    let link = this.#links.get(name);
    if (link === undefined) {
      link = new Link();
      this.#links.set(name, link);
    }
    return link;
  }

  async #openGates(ports: readonly number[]): Promise<void> {
    for (const [i, node] of this.nodes.entries()) {
      this.#gates.push(await PeerGate.open(ports[i]!, node.peerPort, (from) => this.#link(from, node.id)));
    }
  }
}
