import { Random } from '../core/random.ts';
import { StackMachine } from '../machine/stack-machine.ts';
import { CheckedMachine, type AppliedLog } from './checked-machine.ts';
import { SafetyViolation } from './core-checker.ts';
import { checkLinearizable } from './linearizability.ts';
import type { SimNode } from './sim-node.ts';
import { Simulation } from './simulation.ts';
import { StackClients } from './stack-clients.ts';
import { stackModel } from './stack-model.ts';
import { fairWeather } from './weather.ts';

export interface StackChaosResult {
  readonly seed: number;
  readonly virtualMs: number;
  readonly committed: number;
  readonly operations: number;
  readonly unknown: number;
  /** Everything that makes two runs of a seed equal. */
  readonly digest: number;
}

/**
 * One random story of a whole cluster that serves stacks: real nodes, logs, machines and clients under faults of every
 * kind, then fair weather, in which everything must come to rest and every client get its answers. What the clients
 * were told must be linearizable. Throws with the seed in the message.
 */
export async function stackChaos(seed: number, trace?: (line: string) => void): Promise<StackChaosResult> {
  const story = new Story(seed, trace);
  const { simulation } = story;
  try {
    return await story.run();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    for (const node of simulation.nodes) simulation.trace(`${node.id}: ${describe(node)}`);
    throw new SafetyViolation(`seed ${seed} at ${simulation.nowMs.toFixed(2)} ms: ${message}`, {
      cause: error,
    });
  }
}

class Story {
  readonly simulation: Simulation;
  readonly #seed: number;
  readonly #dice: Random;
  readonly #clients: StackClients;
  readonly #machines = new Map<number, CheckedMachine>();
  readonly #maxDiskMs: number;
  readonly #chaosMs: number;
  #calm = false;

  constructor(seed: number, trace?: (line: string) => void) {
    this.#seed = seed;
    const dice = (this.#dice = new Random(seed ^ 0x2545f491));
    const applied: AppliedLog = { commands: new Map() };
    this.simulation = new Simulation({
      seed,
      nodes: this.#pick([1, 3, 3, 3, 5]),
      clockDrift: this.#pick([0, 0, 0.05]),
      machine: (id) => {
        const machine = new CheckedMachine(new StackMachine(), applied, (index) => {
          this.simulation.node(id)!.applied(index);
        });
        this.#machines.set(id, machine);
        return machine;
      },
      options: {
        snapshotLogBytes: this.#pick([4 << 10, 16 << 10, 1 << 20]),
        maxBatchBytes: this.#pick([300, 64 << 10]),
      },
      trace,
    });
    this.#maxDiskMs = this.#pick([1, 3, 20, 80]);
    Object.assign(this.simulation.weather, {
      lossRate: this.#pick([0, 0.02, 0.1]),
      maxDelayMs: this.#pick([2, 5, 20, 50]),
      maxDiskMs: this.#maxDiskMs,
    });
    this.#chaosMs = dice.between(1500, 5000);
    this.#clients = new StackClients(
      this.simulation,
      {
        clients: this.#pick([1, 3, 6]),
        stacks: this.#pick([1, 3]),
        pauseMs: this.#pick([10, 40, 100]),
        timeoutMs: this.#pick([500, 3000]),
      },
      new Random(seed ^ 0x7f4a7c15),
    );
  }

  async run(): Promise<StackChaosResult> {
    const { simulation } = this;
    this.#clients.start();
    this.#disturbLater();
    await simulation.run(this.#chaosMs);
    this.#calm = true;
    simulation.trace('fair weather');
    Object.assign(simulation.weather, fairWeather);
    simulation.network.heal();
    for (const node of simulation.nodes) {
      node.failDisk(Infinity, 'short');
      node.resume();
      if (!node.up) node.start();
    }
    this.#clients.stop();
    await this.#settle();
    return this.#judge();
  }

  async #settle(): Promise<void> {
    const { simulation } = this;
    const { nodes } = simulation;
    await simulation.until('a leader that all follow', () => this.#led(), 8000);
    await simulation.until('every client has its answers', () => this.#clients.active === 0, 8000);
    const last = simulation.client({ timeoutMs: 5000 });
    let done = false;
    void this.#clients.call(last, 'last', { kind: 'push', stack: 's0', value: 'last' }).then((answer) => {
      if (answer === undefined) simulation.fail(new Error('a push in fair weather got no answer'));
      done = true;
    });
    await simulation.until('a last push', () => done, 8000);
    await simulation.until('equal logs and states', () => this.#equal(), 8000);
    const digests = new Set(nodes.map((n) => this.#machines.get(n.id)!.digest()));
    if (digests.size > 1) throw new SafetyViolation('the same entries were applied, the states differ');
    await last.close();
    await this.#clients.close();
  }

  #judge(): StackChaosResult {
    const { history } = this.#clients;
    const verdict = checkLinearizable(stackModel(), history);
    if (!verdict.ok && !verdict.undecided) throw new SafetyViolation(verdict.explanation);
    const { checker, nowMs } = this.simulation;
    let digest = 0;
    for (const { output, returnMs } of history) {
      digest = (Math.imul(digest, 31) + Math.floor(returnMs * 1000) + String(output).length) | 0;
    }
    return {
      seed: this.#seed,
      virtualMs: nowMs,
      committed: checker.committedIndex,
      operations: history.length,
      unknown: history.filter((o) => o.output === undefined).length,
      digest: digest ^ checker.committedIndex,
    };
  }

  #led(): boolean {
    const { nodes, leader } = this.simulation;
    return leader !== undefined && nodes.every((n) => n.raft?.core.leader === leader.id);
  }

  #equal(): boolean {
    const { nodes, leader } = this.simulation;
    if (!leader || !this.#led()) return false;
    const { lastIndex } = leader.core;
    return nodes.every((n) => n.core.lastIndex === lastIndex && n.raft!.status().appliedIndex === lastIndex);
  }

  // --- faults -------------------------------------------------------------------------------------------------------

  #disturbLater(): void {
    this.simulation.events.after(this.#dice.between(20, 400), () => {
      if (this.#calm) return;
      this.#disturb();
      this.#disturbLater();
    });
  }

  #disturb(): void {
    const { simulation } = this;
    const { network, weather } = simulation;
    const node = this.#any();
    const other = this.#any();
    const dice = this.#dice.next() * 100;
    if (dice < 22) this.#crash(node);
    else if (dice < 32) this.#pause(node);
    else if (dice < 46) this.#partition();
    else if (dice < 60) network.heal();
    else if (dice < 66) network.breakPipes(node.id, other.id);
    else if (dice < 72) {
      weather.maxDiskMs = this.#dice.between(50, 400);
      simulation.events.after(this.#dice.between(50, 500), () => {
        if (!this.#calm) weather.maxDiskMs = this.#maxDiskMs;
      });
    } else if (dice < 80) {
      const leader = simulation.leader;
      const target = this.#pick([0, other.id]);
      simulation.trace(`transfer from ${leader?.id ?? 0} to ${target}`);
      leader?.run(() => leader.raft?.transferLeadership(target));
    } else if (dice < 86) node.run(() => node.raft?.snapshot());
    else if (dice < 94) {
      // The process dies at some call on its disk, with whatever that call has left behind.
      const calls = Math.floor(this.#dice.between(1, 40));
      simulation.trace(`the disk of ${node.id} fails in ${calls} calls`);
      node.failDisk(calls, this.#pick(['EIO', 'ENOSPC', 'short']));
      this.#restartLater(node);
    } else node.jumpWallClock(this.#dice.between(-3_600_000, 3_600_000));
  }

  #crash(node: SimNode): void {
    const machine = this.#dice.next() < 0.6;
    const rest = this.#dice.next();
    const victims = rest < 0.05 ? this.simulation.nodes : rest < 0.2 ? [node, this.#any()] : [node];
    for (const victim of victims) victim.crash(machine);
    for (const n of this.simulation.nodes) if (!n.up) this.#restartLater(n);
  }

  #restartLater(node: SimNode): void {
    const { events } = this.simulation;
    events.after(this.#dice.between(0, this.#dice.next() < 0.5 ? 20 : 1200), () => {
      if (!node.up) node.start();
      else if (node.faulty && !this.#calm) this.#restartLater(node);
    });
  }

  #pause(node: SimNode): void {
    node.pause();
    this.simulation.events.after(this.#dice.between(10, 1000), () => {
      node.resume();
    });
  }

  #partition(): void {
    const { network, nodes } = this.simulation;
    const places = [...nodes.map((n) => n.id), 1001, 1002, 1003];
    const left = new Set(places.filter(() => this.#dice.next() < 0.5));
    const kind = this.#dice.next();
    for (const a of places) {
      for (const b of places) {
        if (a === b) continue;
        const apart = left.has(a) !== left.has(b);
        if (kind < 0.4 ? apart : kind < 0.6 ? apart && left.has(a) : this.#dice.next() < 0.2)
          network.cut(a, b);
      }
    }
    this.simulation.trace(`partition: ${[...left].join(' ')} on one side, kind ${kind.toFixed(2)}`);
  }

  #any(): SimNode {
    const { nodes } = this.simulation;
    return nodes[Math.floor(this.#dice.next() * nodes.length)]!;
  }

  #pick<T>(choices: readonly T[]): T {
    return choices[Math.floor(this.#dice.next() * choices.length)]!;
  }
}

function describe(node: SimNode): string {
  const core = node.raft?.core;
  if (!core) return node.up ? 'recovers' : 'down';
  const { role, term, leader, prevIndex, lastIndex, commitIndex, durableIndex } = core;
  return `${role} term ${term} leader ${leader} log ${prevIndex}…${lastIndex} durable ${durableIndex} commit ${commitIndex}`;
}
