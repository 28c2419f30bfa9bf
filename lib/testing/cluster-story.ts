import { CordwoodError } from '../../protocol/errors.ts';
import type { Client } from '../client/client.ts';
import { Random } from '../core/random.ts';
import type { NodeId } from '../core/types.ts';
import type { StateMachine } from '../machine/state-machine.ts';
import { claimMachine } from '../node/machine-claim.ts';
import type { NodeOptions } from '../node/types.ts';
import { CheckedMachine, type AppliedLog } from './checked-machine.ts';
import { SafetyViolation } from './core-checker.ts';
import type { Operation } from './linearizability.ts';
import { Nemesis, type FaultName } from './nemesis.ts';
import { clientAddressOf } from './sim-addresses.ts';
import type { SimNode } from './sim-node.ts';
import { type SimClientOptions, Simulation } from './simulation.ts';
import { FaultPlan, pick, StoryFailure, type StoryOptions } from './story.ts';

/** A client of a story, and what it needs for its next step. */
export interface Actor<I, O> {
  readonly name: string;
  readonly client: Client;
  /** To be used instead of `Math.random`. */
  readonly dice: Random;
  /** Story-wide options that the seed has chosen. */
  readonly leases: boolean;
  /**
   * Makes a call and writes it down, for the model to judge. Resolves with its answer; undefined: there is none, or the
   * call was certainly not carried out. `reads`: without an answer it says nothing.
   */
  record(input: I, call: () => Promise<O>, reads?: boolean): Promise<O | undefined>;
}

export interface ClusterStoryOptions<I, O> extends StoryOptions {
  readonly seed: number;
  readonly machine: (node: NodeId) => StateMachine;
  /** What a client does, over and over while the weather is bad. `CordwoodError`s are part of life. */
  readonly step: (actor: Actor<I, O>) => Promise<unknown>;
  /** What one more client does when everything has come to rest. Nothing may fail any more. */
  readonly last?: ((actor: Actor<I, O>) => Promise<unknown>) | undefined;
  /** Called by each replica after each entry it has applied. Throws if something is wrong. */
  readonly onApplied?: ((machine: StateMachine, node: NodeId, index: number) => void) | undefined;
  /** Faults to choose from. Default: all. */
  readonly kinds?: readonly FaultName[] | undefined;
  /** Default: chosen by the seed. */
  readonly nodes?: number | undefined;
  readonly clients?: number | undefined;
  readonly options?: Partial<NodeOptions> | undefined;
}

/** What came of a story. */
export interface ClusterStoryResult {
  readonly seed: number;
  readonly virtualMs: number;
  readonly committed: number;
  readonly operations: number;
  /** Operations of which nobody knows whether they took place. */
  readonly unknown: number;
  /** How often each kind of fault took place. */
  readonly faults: ReadonlyMap<string, number>;
  /** What happened beside, by name: elections, snapshots, changes of members … */
  readonly events: ReadonlyMap<string, number>;
  /** Everything that makes two runs of a seed equal. */
  readonly digest: number;
}

/**
 * One story of a whole cluster: real nodes, logs, machines and clients under faults of every kind, then fair weather,
 * in which everything must come to rest and every client get its answers.
 */
export class ClusterStory<I, O> {
  readonly simulation: Simulation;
  readonly plan: FaultPlan;
  readonly nemesis: Nemesis;
  readonly history: Operation<I, O>[] = [];
  readonly #options: ClusterStoryOptions<I, O>;
  readonly #leases: boolean;
  readonly #chaosMs: number;
  readonly #pauseMs: number;
  readonly #timeoutMs: number;
  readonly #machines = new Map<NodeId, CheckedMachine>();
  readonly #clients: Client[] = [];
  #calm = false;
  /** Clients in the middle of a step. */
  #active = 0;

  constructor(options: ClusterStoryOptions<I, O>) {
    const { seed } = options;
    this.#options = options;
    const dice = new Random(seed ^ 0x2545f491);
    const applied: AppliedLog = { commands: new Map() };
    const nodes = options.nodes ?? pick(dice, [1, 3, 3, 3, 5]);
    this.#leases = options.options?.leaseReads ?? pick(dice, [false, false, true]);
    this.simulation = new Simulation({
      seed,
      nodes,
      clockDrift: pick(dice, [0, 0, 0.05]),
      machine: (id) => this.#watched(id, applied),
      options: {
        snapshotLogBytes: pick(dice, [4 << 10, 16 << 10, 1 << 20]),
        maxBatchBytes: pick(dice, [300, 64 << 10]),
        minFreeBytes: 8 << 10,
        leaseReads: this.#leases,
        ...options.options,
      },
      trace: options.trace,
    });
    const weather = Object.assign(this.simulation.weather, {
      lossRate: pick(dice, [0, 0.02, 0.1]),
      maxDelayMs: pick(dice, [2, 5, 20, 50]),
      maxDiskMs: pick(dice, [1, 3, 20, 80]),
    });
    this.#chaosMs = dice.between(1500, 5000);
    const clients = options.clients ?? pick(dice, [1, 3, 6]);
    this.#pauseMs = pick(dice, [10, 40, 100]);
    this.#timeoutMs = pick(dice, [500, 3000]);
    this.plan = new FaultPlan(seed, options.faults);
    this.nemesis = new Nemesis(this.simulation, {
      seed,
      plan: this.plan,
      faults: options.kinds,
      weather: { ...weather },
      clients: Array.from({ length: clients }, (_, i) => 1001 + i),
    });
    for (let i = 0; i < clients; i++) this.#plan(this.#actor(`${i}`, { timeoutMs: this.#timeoutMs }));
  }

  async run(): Promise<ClusterStoryResult> {
    const { simulation } = this;
    this.nemesis.start();
    await simulation.run(this.#chaosMs);
    this.#calm = true;
    this.nemesis.heal();
    await this.#settle();
    return this.#result();
  }

  /** Where everyone is, for traces of failures. */
  describe(): string[] {
    return this.simulation.nodes.map((node) => `${node.id}: ${describe(node)}`);
  }

  // --- clients ------------------------------------------------------------------------------------------------------

  #actor(name: string, options: SimClientOptions): Actor<I, O> {
    const client = this.simulation.client(options);
    this.#clients.push(client);
    const dice = new Random(this.#options.seed ^ Math.imul(this.#clients.length, 0x7f4a7c15));
    return {
      name,
      client,
      dice,
      leases: this.#leases,
      record: (input, call, reads = false) => this.#record(name, input, call, reads),
    };
  }

  #plan(actor: Actor<I, O>): void {
    const { simulation } = this;
    simulation.events.after(actor.dice.between(0, this.#pauseMs), () => {
      if (this.#calm) return;
      // Some die in the middle of what they do, and others take their place.
      const dies = actor.dice.next() < 0.01;
      if (dies) simulation.events.after(actor.dice.between(0, 20), () => void actor.client.close());
      void this.#carryOut(() => this.#options.step(actor)).then(() => {
        if (dies) this.#replace(actor);
        else this.#plan(actor);
      });
    });
  }

  /** A new client must not meet a node of another cluster first: it would stay with that. */
  #replace(actor: Actor<I, O>): void {
    if (this.simulation.strangers.size > 0) this.simulation.events.after(50, () => this.#replace(actor));
    else if (!this.#calm) this.#plan(this.#actor(`${actor.name}’`, { timeoutMs: this.#timeoutMs }));
  }

  async #carryOut(step: () => Promise<unknown>, mayFail = true): Promise<void> {
    this.#active++;
    try {
      await step();
    } catch (error) {
      if (!mayFail || !CordwoodError.is(error)) this.simulation.fail(error as Error);
    } finally {
      this.#active--;
    }
  }

  async #record(client: string, input: I, call: () => Promise<O>, reads: boolean): Promise<O | undefined> {
    const callMs = this.simulation.nowMs;
    let output: O | undefined;
    try {
      output = await call();
    } catch (error) {
      if (!CordwoodError.is(error)) throw error;
      // What was certainly not done is no part of the history, and neither is a read without an answer.
      if (error.outcome !== 'unknown' || reads) return undefined;
    }
    const returnMs = output === undefined ? Infinity : this.simulation.nowMs;
    this.history.push({ client, input, output, callMs, returnMs });
    return output;
  }

  #watched(id: NodeId, applied: AppliedLog): CheckedMachine {
    const { machine, onApplied } = this.#options;
    const inner = machine(id);
    claimMachine(inner);
    const checked = new CheckedMachine(inner, applied, {
      onEntry: (index) => {
        this.simulation.node(id)!.applied(index);
      },
      onApplied: (index) => onApplied?.(inner, id, index),
    });
    this.#machines.set(id, checked);
    return checked;
  }

  // --- fair weather -------------------------------------------------------------------------------------------------

  async #settle(): Promise<void> {
    const { simulation } = this;
    await simulation.until('a leader that all follow', () => this.#led(), 8000);
    await simulation.until('every client has its answers', () => this.#active === 0, 8000);
    const { last } = this.#options;
    if (last !== undefined) {
      // The first members may all have been replaced: whoever is new to the cluster is told of all there are.
      const addresses = simulation.nodes.map(({ id }) => clientAddressOf(id));
      void this.#carryOut(() => last(this.#actor('last', { timeoutMs: 5000, addresses })), false);
      await simulation.until('the last client has its answers', () => this.#active === 0, 8000);
    }
    await simulation.until('equal logs and states', () => this.#equal(), 8000);
    const digests = new Set(this.#members().map((n) => this.#machines.get(n.id)!.digest()));
    if (digests.size > 1) throw new SafetyViolation('the same entries were applied, the states differ');
    for (const client of this.#clients) await client.close();
  }

  /** Those of whom the leader's configuration speaks, and that have not lost what they held. */
  #members(): SimNode[] {
    const { leader, nodes } = this.simulation;
    const members = leader?.core.config.members ?? [];
    return nodes.filter((n) => !n.lost && members.some(({ id }) => id === n.id));
  }

  #led(): boolean {
    const { leader } = this.simulation;
    return leader !== undefined && this.#members().every((n) => n.raft?.core.leader === leader.id);
  }

  #equal(): boolean {
    const { leader } = this.simulation;
    if (!leader || !this.#led()) return false;
    const { lastIndex, config } = leader.core;
    if (config.outgoing.length > 0 || config.learnersNext.length > 0) return false;
    return this.#members().every((n) => {
      const { appliedIndex, quarantine } = n.raft!.status();
      return n.core.lastIndex === lastIndex && appliedIndex === lastIndex && quarantine === null;
    });
  }

  #result(): ClusterStoryResult {
    const { history, simulation, nemesis } = this;
    const { checker, nowMs } = simulation;
    let digest = checker.committedIndex;
    for (const { output, returnMs } of history) {
      digest = (Math.imul(digest, 31) + Math.floor(returnMs * 1000) + String(output).length) | 0;
    }
    return {
      seed: this.#options.seed,
      virtualMs: nowMs,
      committed: checker.committedIndex,
      operations: history.length,
      unknown: history.filter((o) => o.output === undefined).length,
      faults: nemesis.counts,
      events: new Map([...simulation.counts, ['changes of members', nemesis.operator.changes]]),
      digest,
    };
  }
}

/** Runs a story; what goes wrong says when, with which seed, and where everyone was. */
export async function tellStory<I, O>(
  story: ClusterStory<I, O>,
  seed: number,
  judge: () => void,
): Promise<ClusterStoryResult> {
  const { simulation } = story;
  try {
    const result = await story.run();
    judge();
    return result;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    for (const line of story.describe()) simulation.trace(line);
    simulation.trace(`failed: ${message}`);
    throw new StoryFailure(`seed ${seed} at ${simulation.nowMs.toFixed(2)} ms: ${message}`, {
      cause: error,
      faults: story.plan.count,
    });
  }
}

function describe(node: SimNode): string {
  const core = node.raft?.core;
  if (node.refused !== null) return `refuses to start: ${node.refused.message}`;
  if (!core) return node.up ? 'recovers' : 'down';
  const { role, term, leader, prevIndex, lastIndex, commitIndex, durableIndex, config } = core;
  const { quarantine, appliedIndex } = node.raft.status();
  const log = `log ${prevIndex}…${lastIndex} durable ${durableIndex} commit ${commitIndex} applied ${appliedIndex}`;
  const members = `voters ${config.voters.join(' ')}${config.outgoing.length > 0 ? ` and ${config.outgoing.join(' ')}` : ''}`;
  return `${role} term ${term} leader ${leader} ${log} ${members}${quarantine === null ? '' : `, ${quarantine}`}`;
}
