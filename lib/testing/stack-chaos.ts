import type { Client } from '../client/client.ts';
import { StackMachine } from '../machine/stack-machine.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { SafetyViolation } from './core-checker.ts';
import { ClusterStory, tellStory, type Actor, type ClusterStoryResult } from './cluster-story.ts';
import { checkLinearizable } from './linearizability.ts';
import type { FaultName } from './nemesis.ts';
import type { StoryOptions } from './story.ts';
import { stackModel, type StackInput, type StackOutput } from './stack-model.ts';

export type StackChaosResult = ClusterStoryResult;

export interface StackChaosOptions extends StoryOptions {
  /** Faults to choose from. Default: all. */
  readonly kinds?: readonly FaultName[] | undefined;
  readonly nodes?: number | undefined;
}

/**
 * One random story of a whole cluster that serves stacks: real nodes, logs, machines and clients under faults of every
 * kind, then fair weather, in which everything must come to rest and every client get its answers. What the clients
 * were told must be linearizable, and no push may take place twice. Throws `StoryFailure` with the seed in the message.
 */
export async function stackChaos(seed: number, options: StackChaosOptions = {}): Promise<StackChaosResult> {
  const stacks = seed % 3 === 0 ? 1 : 3;
  let values = 0;
  const story = new ClusterStory<StackInput, StackOutput>({
    ...options,
    seed,
    machine: () => new StackMachine(),
    step: (actor) =>
      act(
        actor,
        choose(actor, stacks, () => `v${++values}`),
      ),
    last: async (actor) => {
      await act(actor, { kind: 'push', stack: 's0', value: 'last' });
      for (let i = 0; i < stacks; i++) await act(actor, { kind: 'drain', stack: `s${i}` });
    },
  });
  return tellStory(story, seed, () => {
    const verdict = checkLinearizable(stackModel(), story.history);
    if (!verdict.ok && !verdict.undecided) throw new SafetyViolation(verdict.explanation);
  });
}

function choose({ dice }: Actor<StackInput, StackOutput>, stacks: number, value: () => string): StackInput {
  const kind = dice.next();
  const stack = `s${Math.floor(dice.next() * stacks)}`;
  if (kind < 0.5) return { kind: 'push', stack, value: value() };
  return { kind: kind < 0.75 ? 'pop' : kind < 0.9 ? 'top' : 'size', stack };
}

function act(actor: Actor<StackInput, StackOutput>, input: StackInput): Promise<StackOutput | undefined> {
  const level = actor.leases && actor.dice.next() < 0.7 ? 'lease' : 'linearizable';
  const reads = input.kind === 'top' || input.kind === 'size';
  return actor.record(input, () => carryOut(actor.client, input, level), reads);
}

async function carryOut(
  client: Client,
  input: StackInput,
  level: 'lease' | 'linearizable',
): Promise<StackOutput> {
  const { stack } = input;
  try {
    switch (input.kind) {
      case 'push':
        return await client.push(stack, input.value);
      case 'pop':
        return ((await client.pop(stack)) as string | undefined) ?? null;
      case 'drain':
        return (await client.popMany(stack, 10_000)).join(' ');
      case 'top':
        return ((await client.top(stack, { level })) as string | undefined) ?? null;
      case 'size':
        return await client.size(stack, { level });
    }
  } catch (error) {
    // A stack nobody has pushed to yet is an empty one to the model.
    if (!CordwoodError.is(error) || error.code !== 'NOT_FOUND') throw error;
    return input.kind === 'size' ? 0 : input.kind === 'drain' ? '' : null;
  }
}
