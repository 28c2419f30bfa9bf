import { CordwoodError } from '../../protocol/errors.ts';
import type { Client } from '../client/client.ts';
import type { Random } from '../core/random.ts';
import type { Operation } from './linearizability.ts';
import type { Simulation } from './simulation.ts';
import type { StackInput, StackOutput } from './stack-model.ts';

export interface StackClientsOptions {
  readonly clients: number;
  readonly stacks: number;
  /** Longest pause of a client between two calls. */
  readonly pauseMs: number;
  readonly timeoutMs: number;
}

/** Clients that push, pop and look at stacks, and write down what they are told. */
export class StackClients {
  readonly history: Operation<StackInput, StackOutput>[] = [];
  readonly #simulation: Simulation;
  readonly #options: StackClientsOptions;
  readonly #dice: Random;
  readonly #clients: Client[] = [];
  #values = 0;
  #stopped = false;
  /** Clients in the middle of a call. */
  active = 0;

  constructor(simulation: Simulation, options: StackClientsOptions, dice: Random) {
    this.#simulation = simulation;
    this.#options = options;
    this.#dice = dice;
  }

  start(): void {
    for (let i = 0; i < this.#options.clients; i++) {
      const client = this.#simulation.client({ timeoutMs: this.#options.timeoutMs });
      this.#clients.push(client);
      this.#plan(client, i);
    }
  }

  /** No new calls; those under way still end. */
  stop(): void {
    this.#stopped = true;
  }

  async close(): Promise<void> {
    for (const client of this.#clients) await client.close();
  }

  #plan(client: Client, name: number): void {
    this.#simulation.events.after(this.#dice.between(0, this.#options.pauseMs), () => {
      if (!this.#stopped)
        void this.call(client, name, this.#choose()).finally(() => this.#plan(client, name));
    });
  }

  /** One call, written down. */
  async call(client: Client, name: number | string, input: StackInput): Promise<StackOutput | undefined> {
    const callMs = this.#simulation.nowMs;
    this.active++;
    let output: StackOutput | undefined;
    try {
      output = await carryOut(client, input);
    } catch (error) {
      if (!CordwoodError.is(error)) throw error;
      // What was certainly not done is no part of the history.
      if (error.outcome !== 'unknown') return undefined;
    } finally {
      this.active--;
    }
    // A read without an answer says nothing.
    if (output === undefined && (input.kind === 'top' || input.kind === 'size')) return undefined;
    const returnMs = output === undefined ? Infinity : this.#simulation.nowMs;
    this.history.push({ client: name, input, output, callMs, returnMs });
    return output;
  }

  #choose(): StackInput {
    const dice = this.#dice.next();
    const stack = `s${Math.floor(this.#dice.next() * this.#options.stacks)}`;
    if (dice < 0.5) return { kind: 'push', stack, value: `v${++this.#values}` };
    return { kind: dice < 0.75 ? 'pop' : dice < 0.9 ? 'top' : 'size', stack };
  }
}

async function carryOut(client: Client, input: StackInput): Promise<StackOutput> {
  const { stack } = input;
  try {
    switch (input.kind) {
      case 'push':
        return await client.push(stack, input.value);
      case 'pop':
        return ((await client.pop(stack)) as string | undefined) ?? null;
      case 'top':
        return ((await client.top(stack)) as string | undefined) ?? null;
      case 'size':
        return await client.size(stack);
    }
  } catch (error) {
    // A stack nobody has pushed to yet is an empty one to the model.
    if (CordwoodError.is(error) && error.code === 'NOT_FOUND') return input.kind === 'size' ? 0 : null;
    throw error;
  }
}
