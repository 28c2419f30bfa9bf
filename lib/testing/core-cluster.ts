import { Random } from '../core/random.ts';
import type { CoreOptions } from '../core/state.ts';
import type { Config, NodeId } from '../core/types.ts';
import { CoreChecker } from './core-checker.ts';
import { CoreNode, type Packet } from './core-node.ts';
import { EventQueue } from './event-queue.ts';
import { formatMessage } from './format-message.ts';
import { fairWeather, type Weather } from './weather.ts';

export interface CoreClusterOptions {
  readonly seed: number;
  /** Nodes that exist; those in `voters` form the first configuration. */
  readonly nodes: number;
  readonly voters: number;
  readonly core: Omit<CoreOptions, 'id' | 'seed'>;
  /** Clocks run up to this much too fast or too slow. */
  readonly clockDrift: number;
  /** Called with a line for everything that happens. */
  readonly trace?: ((line: string) => void) | undefined;
}

/** Cores on simulated disks, network and clocks, in one thread: one seed, one run. */
export class CoreCluster {
  readonly events: EventQueue = new EventQueue();
  readonly random: Random;
  readonly checker: CoreChecker = new CoreChecker();
  readonly weather: Weather = { ...fairWeather };
  readonly nodes: CoreNode[] = [];
  readonly clockDrift: number;
  readonly #options: CoreClusterOptions;
  readonly #cut = new Set<string>();
  /** When the last message on a connection arrives: the next does not overtake it. */
  readonly #laneBusy = new Map<string, number>();
  /** Incarnation of the sender that was last heard on a lane. */
  readonly #newestLife = new Map<string, number>();
  /** Incarnations with a sync under way. */
  readonly #syncing = new Map<NodeId, number>();
  #entryId = 0;
  #token = 0;

  constructor(options: CoreClusterOptions) {
    this.#options = options;
    this.random = new Random(options.seed);
    this.clockDrift = options.clockDrift;
    const ids = Array.from({ length: options.nodes }, (_, i) => i + 1);
    const bootstrap: Config = {
      voters: ids.slice(0, options.voters),
      outgoing: [],
      learners: [],
      learnersNext: [],
      members: ids.slice(0, options.voters).map((id) => ({ id, peerAddress: `node-${id}` })),
    };
    for (const id of ids) this.nodes.push(new CoreNode(this, id, bootstrap));
    for (const node of this.nodes) node.start(options.core);
  }

  get nowMs(): number {
    return this.events.nowMs;
  }

  node(id: NodeId): CoreNode | undefined {
    return this.nodes[id - 1];
  }

  nextEntryId(): number {
    return ++this.#entryId;
  }

  nextToken(): number {
    return ++this.#token;
  }

  trace(line: string): void {
    this.#options.trace?.(`${this.nowMs.toFixed(2).padStart(10)}  ${line}`);
  }

  get tracing(): boolean {
    return this.#options.trace !== undefined;
  }

  // --- network ------------------------------------------------------------------------------------------------------

  cut(from: NodeId, to: NodeId): void {
    this.#cut.add(`${from}>${to}`);
  }

  healLinks(): void {
    this.#cut.clear();
  }

  /** A connection between two nodes ended; both notice, sooner or later. */
  disconnect(a: NodeId, b: NodeId): void {
    for (const [at, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const node = this.node(at)!;
      if (node.up) node.act(() => node.core.peerLost(other));
    }
  }

  send(from: CoreNode, to: NodeId, packet: Packet): void {
    const { random, weather } = this;
    const lost = this.#cut.has(`${from.id}>${to}`) || random.next() < weather.lossRate;
    if (this.tracing) this.trace(`${from.id} → ${to}  ${describe(packet)}${lost ? '  (lost)' : ''}`);
    if (lost) return;
    const lane = `${from.id}>${to}${laneOf(packet)}`;
    const { incarnation } = from;
    const addressee = this.node(to)?.incarnation;
    const copies = random.next() < weather.duplicateRate ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      let atMs = this.nowMs + random.between(weather.minDelayMs, weather.maxDelayMs);
      if (!weather.reorder && i === 0) {
        atMs = Math.max(atMs, this.#laneBusy.get(lane) ?? 0);
        this.#laneBusy.set(lane, atMs);
      }
      this.events.at(atMs, () => {
        const receiver = this.node(to);
        // A paused process still has its sockets; a dead one has not.
        if (!receiver?.up || this.#cut.has(`${from.id}>${to}`)) return;
        // Whatever else may happen on its way: what an earlier life of the sender said on a lane comes before what
        // a later one says, or never, because a new connection replaces the old one. An ack behind the `lostLog`
        // that takes it back would be counted (core story 277497307).
        if (incarnation < (this.#newestLife.get(lane) ?? 0)) return;
        this.#newestLife.set(lane, incarnation);
        // Nor does a later life hear on its connections what was meant for an earlier one. That it lacks what it has
        // acknowledged would be news to a node that nobody has verified since its start (core story 4271).
        if (isLossReport(packet) && receiver.incarnation !== addressee) return;
        receiver.receive(from.id, packet);
      });
    }
  }

  sendSnapshot(from: CoreNode, to: NodeId): void {
    const snapshot = from.disk.snapshot!;
    const { term } = from.core;
    const { incarnation } = from;
    const pieces = Math.floor(this.random.next() * 3);
    for (let i = 0; i < pieces; i++) this.send(from, to, { kind: 'chunk', term });
    this.send(from, to, { kind: 'snapshot', term, snapshot });
    // No progress for this long ends the transfer.
    this.events.after(this.#options.core.electionTimeoutMs * 2, () => {
      if (from.incarnation === incarnation && from.up) from.act(() => from.core.snapshotFinished(to));
    });
  }

  /** The receiver is done with a snapshot; its answer may be lost too. */
  snapshotDone(receiver: CoreNode, sender: NodeId): void {
    if (this.#cut.has(`${receiver.id}>${sender}`) || this.random.next() < this.weather.lossRate) return;
    this.events.after(this.random.between(this.weather.minDelayMs, this.weather.maxDelayMs), () => {
      const node = this.node(sender)!;
      if (node.up) node.act(() => node.core.snapshotFinished(receiver.id));
    });
  }

  // --- disks and processes ------------------------------------------------------------------------------------------

  /** One sync at a time; the next takes everything that came meanwhile. */
  writeSubmitted(node: CoreNode): void {
    if (this.#syncing.get(node.id) === node.incarnation) return;
    this.#sync(node);
  }

  #sync(node: CoreNode): void {
    const { incarnation } = node;
    const covered = node.disk.pending;
    this.#syncing.set(node.id, incarnation);
    this.events.after(this.random.between(this.weather.minDiskMs, this.weather.maxDiskMs), () => {
      if (node.incarnation !== incarnation || !node.up) return;
      let ticket = 0;
      for (let i = 0; i < covered; i++) ticket = node.disk.complete();
      node.durable(ticket);
      if (node.disk.pending > 0) this.#sync(node);
      else this.#syncing.delete(node.id);
    });
  }

  /** Runs `action` on `node` after a while of disk work outside the log's lane, unless it crashes before. */
  later(node: CoreNode, action: () => void): void {
    const { incarnation } = node;
    const delayMs = this.random.between(this.weather.minDiskMs, this.weather.maxDiskMs) * 4;
    this.events.after(delayMs, () => {
      if (node.incarnation === incarnation && node.up) node.act(action);
    });
  }

  crash(node: CoreNode): void {
    if (!node.up) return;
    if (this.tracing)
      this.trace(`${node.id} crashes in term ${node.core.term}, ${node.disk.pending} writes open`);
    node.crash();
    for (const other of this.nodes) {
      if (!other.up) continue;
      const noticed = !this.#cut.has(`${node.id}>${other.id}`) && this.random.next() < 0.7;
      this.events.after(this.random.between(0, 5), () => {
        if (!other.up) return;
        other.act(() => {
          other.core.peerLost(node.id);
          if (noticed && !node.up) other.core.leaderRefused(node.id);
        });
      });
    }
  }

  restart(node: CoreNode): void {
    if (node.up) return;
    node.start(this.#options.core);
    if (this.tracing) this.trace(`${node.id} starts: ${describeNode(node)}`);
    for (const other of this.nodes) if (other !== node) this.disconnect(node.id, other.id);
  }
}

const dataKinds = new Set(['append', 'appendAck', 'lostLog']);

function isLossReport(packet: Packet): boolean {
  return packet.kind === 'message' && packet.message.kind === 'refetch' && packet.message.nonce === 0;
}

function laneOf(packet: Packet): string {
  if (packet.kind !== 'message') return 'bulk';
  return dataKinds.has(packet.message.kind) ? 'data' : 'control';
}

function describe(packet: Packet): string {
  if (packet.kind === 'chunk') return `snapshot chunk term ${packet.term}`;
  if (packet.kind === 'message') return formatMessage(packet.message);
  return `snapshot ${packet.snapshot.index}/${packet.snapshot.term} term ${packet.term}`;
}

export function describeNode(node: CoreNode): string {
  const { core } = node;
  const log = `log ${node.log.prevIndex}…${node.log.lastIndex}/${node.log.lastTerm}`;
  return `${core.role} term ${core.term} leader ${core.leader} ${log} commit ${core.commitIndex}`;
}
