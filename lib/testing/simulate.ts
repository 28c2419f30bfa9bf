import { Status } from '../../protocol/constants.ts';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { decodeValue, encodeValue } from '../../protocol/msgpack.ts';
import type { NodeId } from '../core/types.ts';
import type { StateMachine } from '../machine/state-machine.ts';
import type { NodeOptions } from '../node/types.ts';
import { ClusterStory, tellStory, type Actor, type ClusterStoryResult } from './cluster-story.ts';
import { SafetyViolation } from './core-checker.ts';
import { checkLinearizable, type SequentialModel } from './linearizability.ts';
import type { FaultName } from './nemesis.ts';

/** A replica that has just applied a command. */
export interface Replica {
  readonly node: NodeId;
  /** Index of the entry that held the command. */
  readonly index: number;
  readonly machine: StateMachine;
  /** Puts a query to this replica's own state, as it is now: msgpack in, msgpack out, as `client.ask`. */
  ask(query: unknown): unknown;
}

export interface SimulateOptions<I = unknown, O = unknown> {
  /** A new machine for a process that starts. */
  readonly machine: (node: NodeId) => StateMachine;
  /**
   * What a client does, over and over: a call, or a few. All randomness comes from `actor.dice`, or a seed is not a run.
   * A `CordwoodError` is part of life; any other error fails the run.
   */
  readonly step: (actor: Actor<I, O>) => Promise<unknown>;
  /** Called with each replica after each command it has applied. Throws if something is wrong. */
  readonly invariant?: (replica: Replica) => void;
  /** What one more client does once all faults are over; now nothing may fail. For checks of what is left. */
  readonly last?: (actor: Actor<I, O>) => Promise<unknown>;
  /** A new model for each run; what `actor.record` wrote down is checked for linearizability against it. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- the state is the model's own business
  readonly model?: () => SequentialModel<any, I, O>;
  /** How many runs. Default 100. */
  readonly seeds?: number;
  /** The first seed. Default 1. */
  readonly from?: number;
  /** Just this one. */
  readonly seed?: number;
  /** Kinds of faults to choose from, see `faultNames`. Default: all; `[]`: none. */
  readonly faults?: readonly FaultName[];
  /** Default: 1, 3 or 5, chosen by the seed. */
  readonly nodes?: number;
  /** Default: 1, 3 or 6, chosen by the seed. */
  readonly clients?: number;
  /** Options of the nodes that differ from what simulations use. */
  readonly options?: Partial<NodeOptions>;
  /** Called with a line for everything that happens, times in virtual milliseconds. */
  readonly trace?: (line: string) => void;
}

/** What all runs did together. */
export interface SimulateResult {
  readonly seeds: number;
  readonly simulatedMs: number;
  /** Calls that were written down with `actor.record`, and of these such without an answer. */
  readonly operations: number;
  readonly unknown: number;
  /** How often each kind of fault took place, and what else happened. */
  readonly faults: ReadonlyMap<string, number>;
  readonly events: ReadonlyMap<string, number>;
}

/**
 * Runs a state machine of one's own on simulated clusters, under every fault there is: one seed, one run. Beside what
 * the caller checks, replicas must agree on every command and its answer, Raft's own properties must hold after every
 * step, and once the faults are over everything must come to rest in equal states.
 *
 * @throws StoryFailure with the seed in its message; `simulate({ ...options, seed, trace: console.log })` shows the run
 *
 * @example
 * const { seeds } = await simulate({
 *   machine: () => counters(),
 *   step: ({ client, dice }) => client.send({ name: 'visits', by: Math.floor(dice.next() * 9) }),
 *   invariant: ({ ask }) => assert(ask('visits') >= 0),
 * });
 */
export async function simulate<I = unknown, O = unknown>(
  options: SimulateOptions<I, O>,
): Promise<SimulateResult> {
  const first = options.seed ?? options.from ?? 1;
  const count = options.seed === undefined ? (options.seeds ?? 100) : 1;
  const faults = new Map<string, number>();
  const events = new Map<string, number>();
  let simulatedMs = 0;
  let operations = 0;
  let unknown = 0;
  for (let seed = first; seed < first + count; seed++) {
    const result = await runOne(options, seed);
    simulatedMs += result.virtualMs;
    operations += result.operations;
    unknown += result.unknown;
    add(faults, result.faults);
    add(events, result.events);
  }
  return { seeds: count, simulatedMs, operations, unknown, faults, events };
}

function runOne<I, O>(options: SimulateOptions<I, O>, seed: number): Promise<ClusterStoryResult> {
  const { machine, step, invariant, last, model, nodes, clients, trace } = options;
  const story = new ClusterStory<I, O>({
    seed,
    machine,
    step,
    last,
    onApplied: invariant && ((own, node, index) => invariant(replicaOf(own, node, index))),
    kinds: options.faults,
    nodes,
    clients,
    options: options.options,
    trace,
  });
  return tellStory(story, seed, () => {
    if (model === undefined) return;
    const verdict = checkLinearizable(model(), story.history);
    if (!verdict.ok && !verdict.undecided) throw new SafetyViolation(verdict.explanation);
  });
}

function replicaOf(machine: StateMachine, node: NodeId, index: number): Replica {
  return {
    node,
    index,
    machine,
    ask: (query) => {
      const bytes = encodeValue(query);
      const out = new ByteWriter(256);
      const status = machine.query(bytes, 0, bytes.length, out);
      const answer = out.buffer.subarray(0, out.position);
      if (status !== Status.ok) throw new Error(`the query is refused: ${Buffer.from(answer).toString()}`);
      return decodeValue(answer, 0, answer.length);
    },
  };
}

function add(total: Map<string, number>, counts: ReadonlyMap<string, number>): void {
  for (const [name, count] of counts) total.set(name, (total.get(name) ?? 0) + count);
}
