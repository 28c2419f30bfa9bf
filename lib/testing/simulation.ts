import { Random } from '../core/random.ts';
import type { Message, NodeId } from '../core/types.ts';
import { Client } from '../client/client.ts';
import type { DirectStep } from '../log/direct-log-store.ts';
import type { StateMachine } from '../machine/state-machine.ts';
import type { Logger, NodeOptions } from '../node/types.ts';
import { CoreChecker } from './core-checker.ts';
import { EventQueue } from './event-queue.ts';
import { formatMessage } from './format-message.ts';
import { SimChannel } from './sim-channel.ts';
import { SimNetwork } from './sim-network.ts';
import { clientAddressOf, memberOf, SimNode } from './sim-node.ts';
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
  readonly checker: CoreChecker = new CoreChecker();
  readonly weather: Weather = { ...fairWeather };
  readonly network: SimNetwork;
  readonly nodes: readonly SimNode[];
  readonly clockDrift: number;
  readonly #options: SimulationOptions;
  #failure: Error | null = null;
  #clients = 0;
  #steps = 0;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.random = new Random(options.seed);
    this.clockDrift = options.clockDrift ?? 0;
    this.network = new SimNetwork(this.events, this.random, this.weather);
    const ids = Array.from({ length: options.nodes }, (_, i) => i + 1);
    const cluster = ids.map((id) => memberOf(id).peerAddress);
    this.nodes = ids.map(
      (id) =>
        new SimNode(this, id, {
          cluster,
          heartbeatMs: 40,
          electionTimeoutMs: 200,
          snapshotLogBytes: 16 << 10,
          clientAddress: clientAddressOf(id),
          ...options.options,
        }),
    );
    for (const node of this.nodes) node.start();
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
  client(options: { readonly timeoutMs?: number } = {}): Client {
    const place = 1000 + ++this.#clients;
    const runtime = new SimRuntime(this.events, this.random, 0);
    return new SimClient(
      { addresses: this.nodes.map((n) => clientAddressOf(n.id)), ...options },
      (address) => new SimChannel(this.network, place, address, (id) => this.node(id)),
      runtime,
    ).begin();
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

  fail(error: Error): void {
    this.#failure ??= error;
  }

  trace(line: string): void {
    this.#options.trace?.(`${this.nowMs.toFixed(2).padStart(10)}  ${line}`);
  }

  // --- asked by the nodes -------------------------------------------------------------------------------------------

  makeMachine(id: NodeId): StateMachine {
    return this.#options.machine(id);
  }

  diskMs(step: DirectStep, bytes: number): number {
    if (step === 'deliver') return 0;
    const { weather, random } = this;
    if (step === 'sync') return random.between(weather.minDiskMs, weather.maxDiskMs);
    // What a read may take at most says little: the logs are small.
    const moved = step === 'read' ? Math.min(bytes, 16 << 10) : bytes;
    return random.between(0, weather.minDiskMs) + moved / DISK_BYTES_PER_MS;
  }

  sent(node: SimNode, to: NodeId, message: Message): void {
    if (this.tracing) this.trace(`${node.id} → ${to}  ${formatMessage(message)}`);
    this.checker.sent(node, to, message);
  }

  loggerOf(id: NodeId): Logger {
    const say = (level: string) => (fields: object, message: string) => {
      if (this.tracing) this.trace(`${id} ${level}: ${message} ${JSON.stringify(fields)}`);
    };
    return { debug: () => undefined, info: say('info'), warn: say('warn'), error: say('error') };
  }
}

class SimClient extends Client {
  /** `connect` without waiting for the first connection. */
  begin(): this {
    this.start();
    return this;
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
