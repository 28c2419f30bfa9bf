import type { Runtime } from './runtime.ts';

const MAX_TOKEN = 0xffffffff;

/**
 * Numbers for questions to other nodes, by which their answers are known again. The first is random: a node that has
 * just started may be sent answers to the process before it, which must match nothing it has asked itself. Counted from
 * 1, a client was given the answer to another one's command, and a read was served at an index from before it was asked
 * (stack-chaos seed 89).
 */
export class Tokens {
  #next: number;

  constructor(runtime: Runtime) {
    this.#next = Math.max(1, runtime.random());
  }

  /** From 1 to 2³² − 1. */
  next(): number {
    const token = this.#next;
    this.#next = token === MAX_TOKEN ? 1 : token + 1;
    return token;
  }
}
