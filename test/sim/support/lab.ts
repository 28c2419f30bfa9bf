import type { NodeId } from '../../../lib/core/types.ts';
import { Random } from '../../../lib/core/random.ts';
import { CoreCluster } from '../../../lib/testing/core-cluster.ts';
import type { CoreNode } from '../../../lib/testing/core-node.ts';
import type { Weather } from '../../../lib/testing/weather.ts';

export const ELECTION_TIMEOUT_MS = 200;
/** As much time as anything here may take. */
const PATIENCE_MS = 20_000;

/** Messages get lost, doubled, late and out of order. */
export const unreliable: Partial<Weather> = {
  lossRate: 0.1,
  duplicateRate: 0.1,
  reorder: true,
  minDelayMs: 1,
  maxDelayMs: 30,
};

/** Late enough to be of another time: the "long reordering" of the labs. */
export const veryLate: Partial<Weather> = { lossRate: 0.1, reorder: true, minDelayMs: 1, maxDelayMs: 1200 };

export interface Sent {
  readonly from: NodeId;
  readonly to: NodeId;
  /** The message as `formatMessage` writes it. */
  readonly text: string;
}

/**
 * A cluster of cores for the scenarios of MIT 6.5840: nodes that can be cut off, crashed and asked for agreement, in
 * virtual time. Raft's properties are checked after each step, whatever the scenario is about.
 */
export class Lab {
  readonly cluster: CoreCluster;
  readonly sent: Sent[] = [];
  readonly dice: Random;
  readonly #apart = new Set<NodeId>();

  constructor(nodes: number, weather: Partial<Weather> = {}, seed = 1) {
    this.dice = new Random(seed ^ 0x1234567);
    this.cluster = new CoreCluster({
      seed,
      nodes,
      voters: nodes,
      core: {
        heartbeatMs: 40,
        electionTimeoutMs: ELECTION_TIMEOUT_MS,
        lostLeaderDelayMs: 10,
        maxMessageBytes: 4000,
        maxInflightMessages: 16,
        maxInflightBytes: 100_000,
        emptyEntryBytes: 40,
      },
      clockDrift: 0,
      trace: (line) => {
        const found = /(\d+) → (\d+) {2}(.*)$/.exec(line);
        if (found) this.sent.push({ from: Number(found[1]), to: Number(found[2]), text: found[3]! });
      },
    });
    Object.assign(this.cluster.weather, weather);
  }

  get nodes(): readonly CoreNode[] {
    return this.cluster.nodes;
  }

  node(id: NodeId): CoreNode {
    return this.cluster.node(id)!;
  }

  /** Up, and reached by the others. */
  get connected(): CoreNode[] {
    return this.nodes.filter((n) => n.up && !this.#apart.has(n.id));
  }

  run(ms: number): void {
    const { events } = this.cluster;
    events.runUntil(events.nowMs + ms);
  }

  until(what: string, done: () => boolean): void {
    const endMs = this.cluster.nowMs + PATIENCE_MS;
    while (!done()) {
      if (this.cluster.nowMs > endMs) throw new Error(`${what}: not within ${PATIENCE_MS} ms`);
      this.run(5);
    }
  }

  /** Nothing reaches it, and nothing of it reaches anyone. */
  isolate(...ids: readonly NodeId[]): void {
    for (const id of ids) this.#apart.add(id);
    this.#cut();
  }

  rejoin(...ids: readonly NodeId[]): void {
    for (const id of ids) this.#apart.delete(id);
    this.#cut();
  }

  /** Two sides that do not hear of each other; without arguments, everyone hears everyone. */
  split(side: readonly NodeId[] = []): void {
    this.cluster.healLinks();
    for (const a of this.nodes)
      for (const b of this.nodes)
        if (side.includes(a.id) !== side.includes(b.id)) this.cluster.cut(a.id, b.id);
  }

  crash(...ids: readonly NodeId[]): void {
    for (const id of ids) this.cluster.crash(this.node(id));
  }

  restart(...ids: readonly NodeId[]): void {
    for (const id of ids) this.cluster.restart(this.node(id));
  }

  /** The leader that all nodes that are connected follow. */
  leader(): CoreNode {
    this.until('one leader', () => this.findLeader() !== undefined);
    return this.findLeader()!;
  }

  findLeader(): CoreNode | undefined {
    const top = Math.max(...this.connected.map((n) => n.core.term));
    const leader = this.connected.find((n) => n.core.role === 'leader' && n.core.term === top);
    return leader && this.connected.every((n) => n.core.leader === leader.id) ? leader : undefined;
  }

  /** Proposes on a node that believes to lead. Returns the index; 0: it does not take it. */
  propose(node: CoreNode, sizeBytes = 100): number {
    let index = 0;
    node.act(() => (index = node.propose(sizeBytes)));
    this.run(0);
    return index;
  }

  /** Has an entry committed and applied by everyone who is connected, whoever leads by then. Returns its index. */
  agree(count = 1): number {
    for (let i = 0; i < count - 1; i++) this.propose(this.leader());
    let index = 0;
    this.until('agreement', () => {
      const leader = this.findLeader();
      if (index === 0 && leader) index = this.propose(leader);
      const applied = this.connected.every((n) => n.applied >= index);
      // Whoever was deposed meanwhile may have taken it in vain.
      if (index > 0 && leader && leader.core.lastIndex < index) index = 0;
      return index > 0 && applied && this.cluster.checker.committedIndex >= index;
    });
    return index;
  }

  get committed(): number {
    return this.cluster.checker.committedIndex;
  }

  /** Whether everyone who is connected has applied everything there is. */
  get settled(): boolean {
    const leader = this.findLeader();
    return (
      leader !== undefined &&
      this.connected.every(
        (n) => n.core.lastIndex === leader.core.lastIndex && n.applied === leader.core.lastIndex,
      )
    );
  }

  any(): CoreNode {
    return this.nodes[Math.floor(this.dice.next() * this.nodes.length)]!;
  }

  #cut(): void {
    this.cluster.healLinks();
    for (const a of this.#apart) {
      for (const { id: b } of this.nodes) {
        this.cluster.cut(a, b);
        this.cluster.cut(b, a);
      }
    }
  }
}
