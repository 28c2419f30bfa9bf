import type { CoreOptions } from '../core/state.ts';
import { isMember, isVoter, memberIds } from '../core/quorum.ts';
import { Random } from '../core/random.ts';
import type { NodeId } from '../core/types.ts';
import { CoreCluster, describeNode } from './core-cluster.ts';
import { SafetyViolation } from './core-checker.ts';
import type { CoreNode } from './core-node.ts';
import { partition, partitionKinds } from './partitions.ts';
import { FaultPlan, pick, StoryFailure, type StoryOptions } from './story.ts';
import { fairWeather } from './weather.ts';

export interface CoreChaosResult {
  readonly seed: number;
  readonly virtualMs: number;
  readonly committed: number;
  readonly terms: number;
  /** Nodes that lost a part of their log, and times a lease was held. */
  readonly damages: number;
  readonly leasesHeld: number;
}

/**
 * One random story of a cluster of cores: faults of every kind under load, then fair weather, in which everything
 * must come to rest. Throws `StoryFailure` with the seed in the message.
 */
export function coreChaos(seed: number, options: StoryOptions = {}): CoreChaosResult {
  const story = new Story(seed, options);
  try {
    return story.run();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    for (const node of story.cluster.nodes)
      story.cluster.trace(`${node.id}: ${node.up ? describeNode(node) : 'down'}`);
    throw new StoryFailure(`seed ${seed} at ${story.cluster.nowMs.toFixed(2)} ms: ${message}`, {
      cause: error,
      faults: story.plan.count,
    });
  }
}

class Story {
  readonly cluster: CoreCluster;
  readonly plan: FaultPlan;
  readonly #seed: number;
  /** Decides about the load; faults have dice of their own, and the cluster's decide how long things take. */
  readonly #dice: Random;
  readonly #chaosMs: number;
  readonly #loadMs: number;
  readonly #snapshots: boolean;
  readonly #changes: boolean;
  readonly #readRate: number;
  readonly #maxDiskMs: number;
  #calm = false;
  #damages = 0;

  constructor(seed: number, options: StoryOptions) {
    this.#seed = seed;
    this.plan = new FaultPlan(seed, options.faults);
    const dice = (this.#dice = new Random(seed ^ 0x5bd1e995));
    const voters = this.#pick([1, 2, 3, 3, 3, 3, 4, 5, 5]);
    const core: Omit<CoreOptions, 'id' | 'seed'> = {
      heartbeatMs: 40,
      idleHeartbeatMs: seed % 2 === 0 ? 140 : 40,
      electionTimeoutMs: 200,
      lostLeaderDelayMs: 10,
      maxMessageBytes: this.#pick([100, 400, 4000]),
      maxInflightMessages: this.#pick([1, 2, 4, 16]),
      maxInflightBytes: this.#pick([100, 1000, 100_000]),
      emptyEntryBytes: 40,
      leases: this.#pick([false, false, true]),
    };
    this.#chaosMs = dice.between(2000, 8000);
    this.#loadMs = this.#pick([5, 20, 60]);
    this.#snapshots = dice.next() < 0.7;
    this.#changes = dice.next() < 0.6;
    this.#readRate = this.#pick([0.1, 0.3, 1]);
    const spares = this.#changes ? this.#pick([0, 1, 2]) : 0;
    this.cluster = new CoreCluster({
      seed,
      nodes: voters + spares,
      voters,
      core,
      clockDrift: this.#pick([0, 0, 0.05]),
      trace: options.trace,
    });
    this.#maxDiskMs = this.#pick([1, 3, 20, 100]);
    Object.assign(this.cluster.weather, {
      lossRate: this.#pick([0, 0, 0.02, 0.1]),
      duplicateRate: this.#pick([0, 0.05, 0.2]),
      reorder: dice.next() < 0.4,
      maxDelayMs: this.#pick([2, 5, 20, 60]),
      maxDiskMs: this.#maxDiskMs,
    });
  }

  run(): CoreChaosResult {
    const { cluster } = this;
    this.#every(
      () => this.#dice.between(0, 2 * this.#loadMs),
      () => this.#load(),
    );
    this.#every(
      () => this.plan.pauseMs(10, 400),
      () => {
        const dice = this.plan.next();
        if (dice !== null) this.#disturb(dice);
      },
    );
    cluster.events.runUntil(this.#chaosMs);
    this.#calm = true;
    this.#heal();
    this.#settle();
    const terms = Math.max(...cluster.nodes.map((n) => n.core.term));
    const { committedIndex: committed, leasesHeld } = cluster.checker;
    const { nowMs: virtualMs } = cluster;
    return { seed: this.#seed, virtualMs, committed, terms, damages: this.#damages, leasesHeld };
  }

  #every(pauseMs: () => number, action: () => void): void {
    const { events } = this.cluster;
    const next = (): void => {
      if (this.#calm) return;
      action();
      events.after(pauseMs(), next);
    };
    events.after(pauseMs(), next);
  }

  // --- load ---------------------------------------------------------------------------------------------------------

  #load(): void {
    const running = this.cluster.nodes.filter((n) => n.running);
    for (const node of running) {
      if (node.core.role !== 'leader') continue;
      const sizeBytes = Math.floor(this.#dice.between(40, this.#dice.next() < 0.1 ? 900 : 120));
      node.act(() => node.propose(sizeBytes));
    }
    for (let node of running) {
      // A leader that has been replaced and does not know it is the most interesting one to ask.
      if (node.core.role !== 'leader') node = this.#any(running)!;
      if (this.#dice.next() < this.#readRate) node.act(() => node.read());
    }
    const saver = this.#any(running);
    if (saver && this.#snapshots && this.#dice.next() < 0.05) {
      const trailing = this.#pick([0, 0, 3, 20]);
      saver.act(() => saver.takeSnapshot(trailing));
    }
  }

  // --- faults -------------------------------------------------------------------------------------------------------

  #disturb(fate: Random): void {
    const { cluster } = this;
    const node = pick(fate, cluster.nodes);
    const other = pick(fate, cluster.nodes);
    const dice = fate.next() * 100;
    if (dice < 18) this.#crash(node, fate);
    else if (dice < 26) this.#pause(node, fate);
    else if (dice < 42) this.#partition(fate);
    else if (dice < 58) cluster.healLinks();
    else if (dice < 64) cluster.disconnect(node.id, other.id);
    else if (dice < 70) this.#slowDisk(fate);
    else if (dice < 78) this.#onLeader((leader) => this.#handOver(leader, node.id, fate));
    else if (dice < 96 && this.#changes) this.#onLeader((leader) => this.#changeConfig(leader, fate));
    else if (dice < 97) this.#onLeader((leader) => leader.core.stepDown());
    else if (dice < 98.5) this.#rot(node, fate);
    else if (node.running) node.act(() => node.core.leaderRefused(node.core.leader));
  }

  /** Now and then the old leader hears nothing of what follows: it may still believe that it leads. */
  #handOver(leader: CoreNode, target: NodeId, fate: Random): void {
    const { cluster } = this;
    leader.core.transfer(pick(fate, [0, target]));
    if (fate.next() < 0.5) return;
    cluster.events.after(fate.between(0, 20), () => {
      if (this.#calm) return;
      for (const node of cluster.nodes) if (node !== leader) cluster.cut(node.id, leader.id);
      cluster.trace(`${leader.id} hears nobody`);
    });
  }

  #crash(node: CoreNode, fate: Random): void {
    const { cluster } = this;
    cluster.crash(node);
    // Now and then a second goes with it, or all of them.
    const rest = fate.next();
    if (rest < 0.2) cluster.crash(pick(fate, cluster.nodes));
    if (rest < 0.05) for (const n of cluster.nodes) cluster.crash(n);
    for (const n of cluster.nodes) {
      if (!n.up)
        cluster.events.after(fate.between(0, fate.next() < 0.5 ? 20 : 1500), () => cluster.restart(n));
    }
  }

  /** One disk at a time, of a cluster that can do without it. */
  #rot(node: CoreNode, fate: Random): void {
    const { cluster } = this;
    const leader = cluster.nodes.find((n) => n.running && n.core.role === 'leader');
    const { config, configIndex, commitIndex } = leader?.core ?? {};
    if (!config || config.voters.length < 3 || config.outgoing.length > 0 || !isMember(config, node.id))
      return;
    if (configIndex! > commitIndex! || cluster.nodes.some((n) => n.tainted)) return;
    // Another may have led, heard of nobody, and have appended a change that counts as soon as it has that entry: with
    // too few others left this disk would be one too many (core story 319378480).
    if (cluster.nodes.some((n) => isMember(config, n.id) && n.core.configIndex !== configIndex)) return;
    cluster.crash(node);
    node.disk.rot(fate);
    this.#damages++;
    cluster.trace(
      `the log of ${node.id} is damaged (${node.disk.damage}), it ends at ${node.disk.log.lastIndex}`,
    );
    cluster.events.after(fate.between(0, 500), () => cluster.restart(node));
  }

  #pause(node: CoreNode, fate: Random): void {
    if (!node.running) return;
    this.cluster.trace(`${node.id} stands still`);
    node.pause(fate.next() < 0.3);
    this.cluster.events.after(fate.between(10, 1000), () => {
      if (node.up && node.paused) node.resume();
    });
  }

  #partition(fate: Random): void {
    const { cluster } = this;
    const kind = pick(fate, partitionKinds);
    const ids = cluster.nodes.map((n) => n.id);
    for (const [from, to] of partition(kind, ids, fate)) {
      cluster.cut(from, to);
      if (fate.next() < 0.5) cluster.disconnect(from, to);
    }
    cluster.trace(`partition, ${kind}`);
  }

  #slowDisk(fate: Random): void {
    const { weather, events } = this.cluster;
    weather.maxDiskMs = fate.between(50, 600);
    events.after(fate.between(50, 500), () => {
      if (!this.#calm) weather.maxDiskMs = this.#maxDiskMs;
    });
  }

  #changeConfig(leader: CoreNode, fate: Random): void {
    // Whoever must not vote before it is whole must not be needed for a majority.
    if (this.cluster.nodes.some((n) => n.tainted)) return;
    const ids = this.cluster.nodes.map((n) => n.id);
    const voters = ids.filter(() => fate.next() < 0.6);
    const learners = ids.filter((id) => !voters.includes(id) && fate.next() < 0.5);
    const members = ids.map((id) => ({ id, peerAddress: `node-${id}` }));
    const result = leader.core.proposeConfig({ voters, learners, members }, leader.core.configIndex);
    this.cluster.trace(
      `${leader.id} config voters ${voters.join(' ')} learners ${learners.join(' ')}: ${result}`,
    );
  }

  #onLeader(action: (leader: CoreNode) => void): void {
    const leader = this.cluster.nodes.find((n) => n.running && n.core.role === 'leader');
    leader?.act(() => action(leader));
  }

  // --- fair weather -------------------------------------------------------------------------------------------------

  #heal(): void {
    const { cluster } = this;
    cluster.trace('fair weather');
    Object.assign(cluster.weather, fairWeather);
    cluster.healLinks();
    for (const node of cluster.nodes) {
      if (!node.up) cluster.restart(node);
      else if (node.paused) node.resume();
    }
    // Connections that only lost messages are new ones now.
    for (const a of cluster.nodes)
      for (const b of cluster.nodes) if (a.id < b.id) cluster.disconnect(a.id, b.id);
  }

  #settle(): void {
    const { cluster } = this;
    const { events } = cluster;
    const until = (what: string, done: () => boolean, limitMs: number): void => {
      const end = events.nowMs + limitMs;
      while (!done()) {
        if (events.nowMs > end) throw new SafetyViolation(`no progress: ${what} not within ${limitMs} ms`);
        events.runUntil(events.nowMs + 20);
      }
    };
    until('one leader that all members follow', () => this.#leader() !== undefined, 10_000);
    // With the smallest window a follower gets an entry for each round trip.
    const entries = Math.max(...cluster.nodes.map((n) => n.core.lastIndex));
    until('equal logs', () => this.#equal(), 10_000 + 20 * entries);
    // Once more from here: an entry gets through, and a read on every member.
    const before = cluster.checker.committedIndex;
    let proposed = 0;
    const propose = (): void => {
      const leader = this.#leader();
      // Refused while leadership is being handed over.
      leader?.act(() => (proposed = Math.max(proposed, leader.propose(50))));
    };
    until(
      'a new entry committed',
      () => {
        if (proposed === 0) propose();
        return cluster.checker.committedIndex > before && this.#equal();
      },
      5000,
    );
    for (const id of memberIds(this.#leader()!.core.config)) {
      const node = cluster.node(id)!;
      node.act(() => node.read());
    }
    until('reads settled', () => cluster.checker.unsettledReads.length === 0, 5000);
  }

  /** The one leader, once all members follow it. */
  #leader(): CoreNode | undefined {
    const { nodes } = this.cluster;
    // Whoever was removed may have gone on to a higher term: it is nobody's leader, and nobody hears it.
    const leaders = nodes.filter((n) => n.core.role === 'leader');
    const top = Math.max(...leaders.map((n) => n.core.term));
    const leader = leaders.find((n) => n.core.term === top);
    if (!leader || !isVoter(leader.core.config, leader.id)) return undefined;
    const { config } = leader.core;
    if (!nodes.every((n) => !isMember(config, n.id) || n.core.leader === leader.id)) return undefined;
    return leader;
  }

  #equal(): boolean {
    const leader = this.#leader();
    if (!leader) return false;
    const { core } = leader;
    if (core.commitIndex !== core.lastIndex || core.config.outgoing.length > 0) return false;
    return this.cluster.nodes.every(
      (n) =>
        !isMember(core.config, n.id) ||
        (n.core.lastIndex === core.lastIndex && n.applied === core.lastIndex && !n.core.quarantined),
    );
  }

  #pick<T>(choices: readonly T[]): T {
    return choices[Math.floor(this.#dice.next() * choices.length)]!;
  }

  #any<T extends CoreNode | NodeId>(things: readonly T[]): T | undefined {
    return things[Math.floor(this.#dice.next() * things.length)];
  }
}
