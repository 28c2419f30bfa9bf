import { Random } from '../core/random.ts';
import type { Message, NodeId } from '../core/types.ts';
import { Client } from '../client/client.ts';
import type { DirectStep } from '../log/direct-log-store.ts';
import { StackMachine } from '../machine/stack-machine.ts';
import type { StateMachine } from '../machine/state-machine.ts';
import type { Logger, NodeOptions } from '../node/types.ts';
import { CoreChecker } from './core-checker.ts';
import { EventQueue } from './event-queue.ts';
import { formatMessage } from './format-message.ts';
import { SimChannel } from './sim-channel.ts';
import { SimNetwork } from './sim-network.ts';
import { clientAddressOf, memberOf } from './sim-addresses.ts';
import { SimNode, type SimNodeOptions } from './sim-node.ts';
import { SimRuntime } from './sim-runtime.ts';
import { fairWeather, type Weather } from './weather.ts';

export interface SimulationOptions {
  /** Decides everything: the same seed gives the same run. */
  readonly seed: number;
  readonly nodes: number;
  /** The machine of one process; called again at each start. */
  readonly machine: (node: NodeId) => StateMachine;
  /** Options of the nodes that differ from what simulations use. */
  readonly options?: Partial<NodeOptions>;
  /** Clocks run up to this share too fast or too slow. Default 0. */
  readonly clockDrift?: number;
  /** Called with a line for everything that happens. */
  readonly trace?: ((line: string) => void) | undefined;
}

export interface SimClientOptions {
  readonly timeoutMs?: number;
  /** Of the nodes the client is told of. Default: the first members. */
  readonly addresses?: readonly string[];
}

const DISK_BYTES_PER_MS = 100_000;
/** Links of chains of promises that are followed after each event. */
const HOPS = 10;
/** More events than that at one moment are a loop. */
const MAX_EVENTS_AT_ONCE = 10_000;

/**
 * A cluster in one thread over virtual time: real nodes, real logs, real clients, over a simulated network, disks and
 * clocks. One seed is one run. After every event the properties of Raft are checked from outside.
 *
 * @example
 * const simulation = new Simulation({ seed: 1, nodes: 3, machine: () => new StackMachine() });
 * const client = simulation.client();
 * const pushed = client.push('jobs', 1);
 * await simulation.run(500);
 * simulation.node(1)!.crash(true);
 * await simulation.run(2000);
 * await pushed;
 */
export class Simulation {
  readonly events: EventQueue = new EventQueue();
  readonly random: Random;
  /** @internal */
  readonly checker: CoreChecker = new CoreChecker();
  readonly weather: Weather = { ...fairWeather };
  readonly network: SimNetwork;
  readonly nodes: SimNode[] = [];
  /** Disks that are slower than the weather has them: how long a sync takes there at most. */
  readonly slowDisks: Map<NodeId, number> = new Map();
  readonly clockDrift: number;
  readonly #options: SimulationOptions;
  /** Nodes of another cluster that answer at the addresses of nodes that are down. */
  readonly strangers: Map<NodeId, SimNode> = new Map();
  /** Those that are not closed. */
  readonly clients: Set<Client> = new Set();
  /** What happened, by name. */
  readonly counts: Map<string, number> = new Map();
  /** Called when a process has ended, whatever ended it. */
  onDown: (node: SimNode) => void = () => undefined;
  readonly #founders: readonly string[];
  #failure: Error | null = null;
  #clients = 0;
  #steps = 0;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.random = new Random(options.seed);
    this.clockDrift = options.clockDrift ?? 0;
    this.network = new SimNetwork(this.events, this.random, this.weather);
    const ids = Array.from({ length: options.nodes }, (_, i) => i + 1);
    this.#founders = ids.map((id) => memberOf(id).peerAddress);
    for (const id of ids) this.nodes.push(new SimNode(this, id, this.#optionsOf(id, this.#founders)));
    for (const node of this.nodes) node.start();
  }

  /** A machine more, with a node that waits to be added to the cluster under the next number. */
  add(): SimNode {
    const id = this.nodes.length + 1;
    const cluster = [...this.nodes.map((n) => memberOf(n.id).peerAddress), memberOf(id).peerAddress];
    const node = new SimNode(this, id, { ...this.#optionsOf(id, cluster), join: true });
    this.nodes.push(node);
    node.start();
    return node;
  }

  /**
   * Lets a node of another cluster answer at the addresses of node `id`, one of the first, which is down. Not while a
   * client does not know which cluster is its own: it would take the first that answers.
   */
  admitStranger(id: NodeId): void {
    const strange = [...this.clients].some((client) => client.clusterId === null);
    if (id > this.#founders.length || strange) return;
    const stranger = new SimNode(this, id, {
      // The first is alone, so that it serves whoever asks.
      ...this.#optionsOf(id, id === 1 ? [memberOf(1).peerAddress] : this.#founders),
      stranger: { clusterId: 'another', machine: new StackMachine() },
    });
    this.strangers.set(id, stranger);
    stranger.start();
  }

  /** What answers at the addresses of node `id`. */
  processAt(id: NodeId): SimNode | undefined {
    return this.strangers.get(id) ?? this.node(id);
  }

  #optionsOf(id: NodeId, cluster: readonly string[]): SimNodeOptions {
    return {
      cluster,
      heartbeatMs: 40,
      electionTimeoutMs: 200,
      snapshotLogBytes: 16 << 10,
      clientAddress: clientAddressOf(id),
      ...this.#options.options,
    };
  }

  get nowMs(): number {
    return this.events.nowMs;
  }

  get tracing(): boolean {
    return this.#options.trace !== undefined;
  }

  node(id: NodeId): SimNode | undefined {
    return this.nodes[id - 1];
  }

  /** The node that leads in the highest term, if one does. */
  get leader(): SimNode | undefined {
    let best: SimNode | undefined;
    for (const node of this.nodes) {
      if (node.raft?.core.role !== 'leader') continue;
      if (!best || node.core.term > best.core.term) best = node;
    }
    return best;
  }

  /** A client of its own place in the network, with the real client library. */
  client(options: SimClientOptions = {}): Client {
    const place = 1000 + ++this.#clients;
    const runtime = new SimRuntime(this.events, this.random, 0);
    const client = new SimClient(
      { addresses: this.#founders.map((_, i) => clientAddressOf(i + 1)), ...options },
      (address) => new SimChannel(this.network, place, address, (id) => this.processAt(id)),
      runtime,
    );
    this.clients.add(client);
    return client.begin(() => this.clients.delete(client));
  }

  /** Lets virtual time pass. Throws as soon as a property does not hold. */
  async run(ms: number): Promise<void> {
    const until = this.nowMs + ms;
    let sameMoment = 0;
    while (this.events.nextMs <= until) {
      sameMoment = this.events.nextMs > this.nowMs ? 0 : sameMoment + 1;
      if (sameMoment > MAX_EVENTS_AT_ONCE) throw new Error('something runs in circles: time does not go on');
      this.events.step();
      await settled();
      // Timers of the process that runs the simulation get their turn too.
      if (++this.#steps % 5000 === 0) await new Promise((resolve) => setImmediate(resolve));
      if (this.#failure) throw this.#failure;
      for (const node of this.nodes) node.check();
    }
    this.events.runUntil(until);
  }

  /** Lets time pass until `done`; throws if that takes more than `limitMs`. */
  async until(what: string, done: () => boolean, limitMs: number): Promise<void> {
    const end = this.nowMs + limitMs;
    while (!done()) {
      if (this.nowMs >= end) throw new Error(`no progress: ${what} not within ${limitMs} ms`);
      await this.run(20);
    }
  }

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  fail(error: Error): void {
    this.#failure ??= error;
  }

  trace(line: string): void {
    this.#options.trace?.(`${this.nowMs.toFixed(2).padStart(10)}  ${line}`);
  }

  // --- asked by the nodes -------------------------------------------------------------------------------------------

  /** @internal */
  makeMachine(id: NodeId): StateMachine {
    return this.#options.machine(id);
  }

  /** @internal */
  diskMs(id: NodeId, step: DirectStep, bytes: number): number {
    if (step === 'deliver') return 0;
    const { weather, random } = this;
    const maxMs = this.slowDisks.get(id) ?? weather.maxDiskMs;
    if (step === 'sync') return random.between(weather.minDiskMs, maxMs);
    // What a read may take at most says little: the logs are small.
    const moved = step === 'read' ? Math.min(bytes, 16 << 10) : bytes;
    return (
      random.between(0, maxMs > weather.maxDiskMs ? maxMs / 4 : weather.minDiskMs) + moved / DISK_BYTES_PER_MS
    );
  }

  /** @internal */
  traceMessage(from: NodeId, to: NodeId, message: Message): void {
    if (this.tracing) this.trace(`${from} → ${to}  ${formatMessage(message)}`);
  }

  /** @internal */
  loggerOf(id: NodeId): Logger {
    const say = (level: string) => (fields: object, message: string) => {
      if (this.tracing) this.trace(`${id} ${level}: ${message} ${JSON.stringify(fields)}`);
    };
    return { debug: () => undefined, info: say('info'), warn: say('warn'), error: say('error') };
  }
}

class SimClient extends Client {
  #onClose: () => void = () => undefined;

  /** `connect` without waiting for the first connection. */
  begin(onClose: () => void): this {
    this.#onClose = onClose;
    this.start();
    return this;
  }

  override close(): Promise<void> {
    this.#onClose();
    return super.close();
  }
}

const done = Promise.resolve();

/**
 * Lets what promises set in motion run. They run in one order whatever happens, so this has no need to wait for the end
 * of long chains; it only keeps virtual time from running away from them.
 */
async function settled(): Promise<void> {
  for (let hop = 0; hop < HOPS; hop++) await done;
}
