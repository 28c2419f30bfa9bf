import type { TestCluster } from './cluster.ts';
import type { TestNode } from './test-node.ts';
import { Random } from './random.ts';
import { pause } from './until.ts';

export type Deed =
  | 'kill'
  | 'kill-leader'
  | 'kill-all'
  | 'freeze'
  | 'freeze-leader'
  | 'stop'
  | 'storm'
  | 'flap'
  | 'isolate'
  | 'isolate-leader'
  | 'one-way'
  | 'split'
  | 'slow';
export const ALL_DEEDS: readonly Deed[] = [
  'kill',
  'kill-leader',
  'kill-all',
  'freeze',
  'freeze-leader',
  'stop',
  'storm',
  'flap',
];
/** Deeds on links: for clusters whose nodes talk by way of proxies. */
export const LINK_DEEDS: readonly Deed[] = ['isolate', 'isolate-leader', 'one-way', 'split', 'slow'];

/**
 * Does bad things to the nodes of a cluster, one after another, and undoes each after a while. Never more than what a
 * cluster must survive without loss, which is anything that leaves the disks alone.
 */
export class Nemesis {
  readonly done: Map<Deed, number> = new Map();
  /** Processes that got a SIGKILL. */
  killed = 0;
  /** Nodes that ended by themselves, or not as they were asked to. */
  readonly crashes: string[] = [];
  readonly #cluster: TestCluster;
  readonly #random: Random;
  #expected = new Set<number>();

  constructor(cluster: TestCluster, seed: number) {
    this.#cluster = cluster;
    this.#random = new Random(seed);
  }

  /** Goes on until the time is up; then all nodes run. */
  async rage(durationMs: number, deeds: readonly Deed[] = ALL_DEEDS): Promise<void> {
    const end = performance.now() + durationMs;
    while (performance.now() < end) {
      await this.commit(this.#random.pick(deeds));
      await pause(this.#random.below(400));
      this.#checkAlive();
    }
    await this.#cluster.settled();
  }

  /** Does one thing, and undoes it. */
  async commit(deed: Deed): Promise<void> {
    this.done.set(deed, (this.done.get(deed) ?? 0) + 1);
    const random = this.#random;
    const { nodes } = this.#cluster;
    switch (deed) {
      case 'kill':
        await this.#down(this.#some(), 'SIGKILL');
        break;
      case 'kill-leader':
        await this.#down([await this.#cluster.leader()], 'SIGKILL');
        break;
      case 'kill-all':
        await this.#down(nodes, 'SIGKILL');
        break;
      case 'stop':
        await this.#down(this.#some(), 'SIGTERM');
        break;
      case 'freeze':
        await this.#freeze(this.#some());
        break;
      case 'freeze-leader':
        await this.#freeze([await this.#cluster.leader()]);
        break;
      case 'storm':
        // A node dies while another is frozen, and comes back before that one does.
        for (const node of this.#some()) {
          node.freeze();
          await this.#down([random.pick(nodes.filter((other) => other !== node))], 'SIGKILL');
          node.thaw();
        }
        break;
      case 'flap':
        // Dies again and again, wherever in its start it is.
        for (const node of this.#some()) {
          for (let lives = 1 + random.below(6); lives > 0; lives--) {
            await this.#down([node], 'SIGKILL');
            await pause(random.below(1200));
          }
        }
        break;
      case 'isolate':
        await this.#splitOff(this.#some());
        break;
      case 'isolate-leader':
        await this.#splitOff([await this.#cluster.leader()]);
        break;
      case 'split':
        await this.#splitOff(nodes.filter(() => random.next() < 0.5));
        break;
      case 'one-way':
        for (const node of this.#some()) {
          for (const other of nodes) {
            if (other === node) continue;
            const link =
              random.next() < 0.5 ? this.#cluster.link(node, other) : this.#cluster.link(other, node);
            link.state = 'hole';
          }
        }
        await this.#heal();
        break;
      case 'slow':
        for (const a of nodes) {
          for (const b of nodes) if (a !== b) this.#cluster.link(a, b).delayMs = random.below(60);
        }
        await this.#heal();
    }
  }

  async #splitOff(some: readonly TestNode[]): Promise<void> {
    const others = this.#cluster.nodes.filter((node) => !some.includes(node));
    this.#cluster.split(some, others, this.#random.next() < 0.7 ? 'hole' : 'cut');
    await this.#heal();
  }

  async #heal(): Promise<void> {
    await pause(this.#random.below(2500));
    this.#cluster.heal();
  }

  async #down(nodes: readonly TestNode[], signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    for (const node of nodes) this.#expected.add(node.id);
    if (signal === 'SIGKILL') this.killed += nodes.length;
    await Promise.all(
      nodes.map(async (node) => {
        // One that has not come as far as taking signals dies of this one, which is its right.
        const { ready } = node;
        const exit = await node.signal(signal);
        if (signal === 'SIGTERM' && ready && exit.code !== 0) this.#report(node, JSON.stringify(exit));
      }),
    );
    await pause(this.#random.below(600));
    for (const node of nodes) {
      node.start();
      this.#expected.delete(node.id);
    }
  }

  async #freeze(nodes: readonly TestNode[]): Promise<void> {
    for (const node of nodes) node.freeze();
    await pause(this.#random.below(2000));
    for (const node of nodes) node.thaw();
  }

  /** One node or two, as long as that leaves a majority. */
  #some(): TestNode[] {
    const { nodes } = this.#cluster;
    const most = Math.max(1, (nodes.length - 1) >> 1);
    const count = 1 + this.#random.below(most);
    const left = [...nodes];
    return Array.from({ length: count }, () => left.splice(this.#random.below(left.length), 1)[0]!);
  }

  #checkAlive(): void {
    for (const node of this.#cluster.nodes) {
      if (!node.alive && !this.#expected.has(node.id)) {
        this.#report(node, 'ended by itself');
        node.start();
      }
    }
  }

  #report(node: TestNode, how: string): void {
    this.crashes.push(`node ${node.id} ${how}:\n${node.logTail()}`);
  }
}
