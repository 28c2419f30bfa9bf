import type { CommandOptions, QueryOptions } from './client-core.ts';
import type { Client } from './client.ts';

/**
 * One stack of a cluster. A handle costs nothing and says nothing about whether the stack exists.
 *
 * `T` is what the caller keeps on it; it is not checked.
 *
 * @example
 * const jobs = client.stack<Job>('jobs');
 * await jobs.push({ id: 1 });
 * const job = await jobs.pop(); // Job | undefined
 */
export class Stack<T = unknown> {
  readonly name: string;
  readonly #client: Client;

  constructor(client: Client, name: string) {
    this.#client = client;
    this.name = name;
  }

  /** @see Client.create */
  create(options?: CommandOptions): Promise<boolean> {
    return this.#client.create(this.name, options);
  }

  /** @see Client.push */
  push(value: T, options?: CommandOptions): Promise<number> {
    return this.#client.push(this.name, value, options);
  }

  /** @see Client.pushMany */
  pushMany(values: readonly T[], options?: CommandOptions): Promise<number> {
    return this.#client.pushMany(this.name, values, options);
  }

  /** @see Client.pop */
  pop(options?: CommandOptions): Promise<T | undefined> {
    return this.#client.pop(this.name, options) as Promise<T | undefined>;
  }

  /** @see Client.popMany */
  popMany(count: number, options?: CommandOptions): Promise<T[]> {
    return this.#client.popMany(this.name, count, options) as Promise<T[]>;
  }

  /** @see Client.top */
  top(options?: QueryOptions): Promise<T | undefined> {
    return this.#client.top(this.name, options) as Promise<T | undefined>;
  }

  /** @see Client.size */
  size(options?: QueryOptions): Promise<number> {
    return this.#client.size(this.name, options);
  }

  /** @see Client.exists */
  exists(options?: QueryOptions): Promise<boolean> {
    return this.#client.exists(this.name, options);
  }

  /** @see Client.drop */
  drop(options?: CommandOptions): Promise<boolean> {
    return this.#client.drop(this.name, options);
  }
}
