import type { Random } from '../core/random.ts';
import type { NodeId } from '../core/types.ts';
import { PROTOCOL_VERSION, spokenVersions, type VersionRange } from '../../protocol/constants.ts';
import { Operator } from './operator.ts';
import { partition, partitionKinds } from './partitions.ts';
import type { DiskFault, Rot } from './sim-storage.ts';
import type { SimNode } from './sim-node.ts';
import type { Simulation } from './simulation.ts';
import { diceFor, pick, pickWeighted, type FaultPlan } from './story.ts';
import { fairWeather, type Weather } from './weather.ts';

/** Names of the faults a story can be told with. */
export const faultNames = [
  'kill',
  'power loss',
  'all lose power',
  'power loss at a call on the disk',
  'pause',
  'suspended machine',
  'partition',
  'healed network',
  'broken connections',
  'mute connection',
  'bad weather',
  'slow disk',
  'disk error',
  'no room for a write',
  'short write',
  'full disk',
  'rot',
  'lost sector',
  'misdirected write',
  'wall clock set',
  'snapshot',
  'transfer',
  'change of members',
  'wiped directory',
  'removed node comes back',
  'node of another cluster',
  'other version',
] as const;
export type FaultName = (typeof faultNames)[number];

interface Fault {
  readonly name: FaultName;
  readonly weight: number;
  readonly run: (nemesis: Nemesis, dice: Random) => void;
}

/** Everything that can happen to a cluster. */
const catalogue: readonly Fault[] = [
  { name: 'kill', weight: 8, run: (n, dice) => n.crash(dice, false) },
  { name: 'power loss', weight: 8, run: (n, dice) => n.crash(dice, true) },
  { name: 'all lose power', weight: 1, run: (n) => n.blackout() },
  { name: 'power loss at a call on the disk', weight: 6, run: (n, dice) => n.failDisk(dice, 'power') },
  { name: 'pause', weight: 7, run: (n, dice) => n.pause(dice, false) },
  { name: 'suspended machine', weight: 3, run: (n, dice) => n.pause(dice, true) },
  { name: 'partition', weight: 14, run: (n, dice) => n.partition(dice) },
  { name: 'healed network', weight: 12, run: (n) => n.simulation.network.heal() },
  { name: 'broken connections', weight: 5, run: (n, dice) => n.breakConnections(dice) },
  { name: 'mute connection', weight: 5, run: (n, dice) => n.muteConnection(dice) },
  { name: 'bad weather', weight: 5, run: (n, dice) => n.badWeather(dice) },
  { name: 'slow disk', weight: 5, run: (n, dice) => n.slowDisk(dice) },
  { name: 'disk error', weight: 3, run: (n, dice) => n.failDisk(dice, 'EIO') },
  { name: 'no room for a write', weight: 2, run: (n, dice) => n.failDisk(dice, 'ENOSPC') },
  { name: 'short write', weight: 3, run: (n, dice) => n.failDisk(dice, 'short') },
  { name: 'full disk', weight: 3, run: (n, dice) => n.fillDisk(dice) },
  { name: 'rot', weight: 4, run: (n, dice) => n.damage(dice, 'flip') },
  { name: 'lost sector', weight: 2, run: (n, dice) => n.damage(dice, 'zeros') },
  { name: 'misdirected write', weight: 3, run: (n, dice) => n.damage(dice, 'misdirected') },
  { name: 'wall clock set', weight: 4, run: (n, dice) => n.setClock(dice) },
  { name: 'snapshot', weight: 5, run: (n, dice) => n.snapshot(dice) },
  { name: 'transfer', weight: 6, run: (n, dice) => n.operator.transfer(dice) },
  { name: 'change of members', weight: 8, run: (n, dice) => n.operator.reconfigure(dice) },
  { name: 'wiped directory', weight: 3, run: (n, dice) => n.wipe(dice) },
  { name: 'removed node comes back', weight: 2, run: (n, dice) => n.comeBack(dice) },
  { name: 'node of another cluster', weight: 2, run: (n, dice) => n.stranger(dice) },
  { name: 'other version', weight: 3, run: (n, dice) => n.install(dice) },
];

export interface NemesisOptions {
  readonly seed: number;
  readonly plan: FaultPlan;
  /** Which faults; default all. */
  readonly faults?: readonly FaultName[] | undefined;
  /** What the weather goes back to. */
  readonly weather: Readonly<Weather>;
  /** Places of clients, which partitions may cut off too. */
  readonly clients: readonly number[];
}

/** Does everything to a cluster that its design says it survives, and stays within that. */
export class Nemesis {
  readonly simulation: Simulation;
  readonly operator: Operator;
  /** How often each fault took place. */
  readonly counts: Map<string, number> = new Map();
  readonly #options: NemesisOptions;
  readonly #faults: readonly Fault[];
  #calm = false;
  #restarts = 0;

  constructor(simulation: Simulation, options: NemesisOptions) {
    this.simulation = simulation;
    this.#options = options;
    this.#faults = catalogue.filter(({ name }) => options.faults?.includes(name) ?? true);
    const damages = this.#faults.some(({ name }) => damaging.has(name));
    this.operator = new Operator(simulation, damages ? 3 : 1);
    simulation.onDown = (node) => {
      this.#restartLater(node);
    };
  }

  start(): void {
    const { simulation } = this;
    if (this.#faults.length === 0) return;
    simulation.events.after(this.#options.plan.pauseMs(20, 300), () => {
      if (this.#calm) return;
      const dice = this.#options.plan.next();
      if (dice !== null) {
        const fault = pickWeighted(dice, this.#faults);
        this.counts.set(fault.name, (this.counts.get(fault.name) ?? 0) + 1);
        simulation.trace(`fault ${this.#options.plan.count}: ${fault.name}`);
        fault.run(this, dice);
      }
      this.start();
    });
  }

  /** Ends every fault that can be ended. */
  heal(): void {
    const { simulation } = this;
    this.#calm = true;
    simulation.trace('fair weather');
    Object.assign(simulation.weather, fairWeather);
    simulation.network.heal();
    simulation.slowDisks.clear();
    for (const node of simulation.nodes) {
      node.storage.empty();
      node.failDisk(Infinity, 'short');
      node.resume();
      simulation.strangers.get(node.id)?.crash(false);
      simulation.strangers.delete(node.id);
      if (node.versions !== spokenVersions) {
        node.versions = spokenVersions;
        node.crash(false);
      }
      if (!node.up) node.start();
    }
  }

  // --- processes ----------------------------------------------------------------------------------------------------

  crash(dice: Random, machine: boolean): void {
    this.#any(dice).crash(machine);
    // Now and then another goes with it.
    if (dice.next() < 0.2) this.#any(dice).crash(machine);
  }

  blackout(): void {
    for (const node of this.simulation.nodes) node.crash(true);
  }

  pause(dice: Random, suspend: boolean): void {
    const node = this.#any(dice);
    node.pause(suspend);
    this.#later(dice.between(10, 1000), () => {
      node.resume();
    });
  }

  /** It comes up again sooner or later, as long as its place is not taken. */
  #restartLater(node: SimNode): void {
    const dice = diceFor(this.#options.seed, 1e6 * node.id + ++this.#restarts);
    // Also in fair weather: what was injected before may show late.
    this.simulation.events.after(dice.between(0, dice.next() < 0.5 ? 20 : 1200), () => {
      if (!this.simulation.strangers.has(node.id)) node.start();
    });
  }

  // --- network ------------------------------------------------------------------------------------------------------

  partition(dice: Random): void {
    const { network, nodes } = this.simulation;
    const kind = pick(dice, partitionKinds);
    const places = nodes.map((n) => n.id);
    if (dice.next() < 0.7) places.push(...this.#options.clients);
    const cuts = partition(kind, places, dice);
    for (const [from, to] of cuts) network.cut(from, to);
    this.simulation.trace(`partition, ${kind}: ${cuts.map(([from, to]) => `${from}→${to}`).join(' ')}`);
  }

  breakConnections(dice: Random): void {
    this.simulation.network.breakPipes(this.#any(dice).id, this.#any(dice).id);
  }

  /** One of all connections, in one direction: no cut is needed for a few packets to get lost. */
  muteConnection(dice: Random): void {
    const { pipes } = this.simulation.network;
    if (pipes.length > 0) pick(dice, pipes).mute();
  }

  badWeather(dice: Random): void {
    const { weather } = this.simulation;
    weather.lossRate = pick(dice, [0.05, 0.3]);
    weather.maxDelayMs = dice.between(20, 200);
    this.#later(dice.between(100, 1000), () => {
      const { lossRate, maxDelayMs } = this.#options.weather;
      Object.assign(weather, { lossRate, maxDelayMs });
    });
  }

  // --- disks and clocks ---------------------------------------------------------------------------------------------

  slowDisk(dice: Random): void {
    const { slowDisks, nodes } = this.simulation;
    const slow = dice.next() < 0.7 ? [this.#any(dice)] : nodes;
    for (const node of slow) slowDisks.set(node.id, dice.between(50, 600));
    this.#later(dice.between(50, 800), () => {
      for (const node of slow) slowDisks.delete(node.id);
    });
  }

  failDisk(dice: Random, fault: DiskFault): void {
    const node = this.#any(dice);
    const calls = Math.floor(dice.between(1, 40));
    this.simulation.trace(`the disk of ${node.id}: ${fault} in ${calls} calls`);
    node.failDisk(calls, fault);
  }

  fillDisk(dice: Random): void {
    const node = this.#any(dice);
    if (!node.up) return;
    const freeBytes = Math.floor(dice.between(0, 24 << 10));
    this.simulation.trace(`the disk of ${node.id} has room for ${freeBytes} bytes`);
    node.storage.fill(freeBytes);
    this.#later(dice.between(100, 1500), () => {
      node.storage.empty();
    });
  }

  damage(dice: Random, rot: Rot): void {
    const node = this.#any(dice);
    if (!this.#mayDamage(node)) return;
    const what = node.storage.damage(rot);
    if (what !== '') this.simulation.trace(`damage at ${node.id}: ${what}`);
    // Until it starts again it may not notice.
    if (dice.next() < 0.7) this.#later(dice.between(0, 500), () => node.crash(dice.next() < 0.5));
  }

  setClock(dice: Random): void {
    this.#any(dice).jumpWallClock(pick(dice, [1, 1000]) * dice.between(-3600, 3600));
  }

  snapshot(dice: Random): void {
    const node = this.#any(dice);
    node.run(() => node.raft?.snapshot());
  }

  // --- identities ---------------------------------------------------------------------------------------------------

  wipe(dice: Random): void {
    const node = this.#any(dice);
    const { nodes } = this.simulation;
    // Whom nobody has met, nobody can recognise: a cluster in its first moments is not protected yet.
    if (!this.#mayDamage(node) || !nodes.every((n) => n === node || n.storage.hasMet(node.id))) return;
    node.crash(true);
    node.wipe();
  }

  /** Under its old number, with an empty directory. */
  comeBack(dice: Random): void {
    const { nodes, leader } = this.simulation;
    const retired = leader?.core.config.retired ?? [];
    const node = nodes.find((n) => retired.includes(n.id) && !n.lost);
    if (node === undefined || leader!.core.configIndex > leader!.core.commitIndex) return;
    node.crash(true);
    const wipes = dice.next() < 0.7;
    // Two of the first members without their data and out of reach of the others are a new cluster, as far as anybody
    // could tell (seed 325702547).
    if (wipes && !nodes.some((n) => n !== node && n.tainted)) node.wipe();
  }

  /** A node is stopped and started with a program that speaks other versions of the protocol. */
  install(dice: Random): void {
    const node = this.#any(dice);
    // Mostly what a rolling upgrade does: what the programs next to each other have in common.
    node.versions = dice.next() < 0.7 ? programs[1]! : pick(dice, programs);
    this.simulation.trace(`${node.id} gets versions ${node.versions.lowest} to ${node.versions.highest}`);
    node.crash(false);
  }

  stranger(dice: Random): void {
    const { simulation } = this;
    const node = this.#any(dice);
    if (node.up || simulation.strangers.has(node.id)) return;
    simulation.admitStranger(node.id);
    this.#later(dice.between(100, 1000), () => {
      simulation.strangers.get(node.id)?.crash(false);
      simulation.strangers.delete(node.id);
      node.start();
    });
  }

  /**
   * A disk at a time: what two disks lose together may be gone for good. And not where a joint configuration or a lost
   * voter makes one disk matter more than that.
   */
  #mayDamage(node: SimNode): boolean {
    const { nodes, leader } = this.simulation;
    if (leader === undefined || nodes.some((n) => n.tainted && !isRetired(leader, n.id))) return false;
    const { config, configIndex, commitIndex } = leader.core;
    if (config.voters.length < 3 || config.outgoing.length > 0 || configIndex > commitIndex) return false;
    return config.members.some(({ id }) => id === node.id);
  }

  #later(delayMs: number, action: () => void): void {
    this.simulation.events.after(delayMs, () => {
      if (!this.#calm) action();
    });
  }

  #any(dice: Random): SimNode {
    return pick(dice, this.simulation.nodes);
  }
}

/** Programs that can be installed. The first and the last have no version in common. */
const programs: readonly VersionRange[] = [
  spokenVersions,
  { lowest: PROTOCOL_VERSION, highest: PROTOCOL_VERSION + 1 },
  { lowest: PROTOCOL_VERSION + 1, highest: PROTOCOL_VERSION + 1 },
];

const damaging: ReadonlySet<string> = new Set<FaultName>([
  'rot',
  'lost sector',
  'misdirected write',
  'wiped directory',
]);

function isRetired(leader: SimNode, id: NodeId): boolean {
  const { config, configIndex, commitIndex } = leader.core;
  return configIndex <= commitIndex && config.retired?.includes(id) === true;
}
