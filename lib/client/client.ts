import { StackOp } from '../../protocol/constants.ts';
import { writeArrayHeader } from '../../protocol/msgpack-header.ts';
import { writeValue } from '../../protocol/msgpack.ts';
import { checkOptions, having, MAX_TIMER_MS, required } from '../node/check-options.ts';
import type { Requests } from '../node/types.ts';
import type { Decode } from './call.ts';
import type { Channel } from './channel.ts';
import { ClientCore, type CommandOptions, notBytes, type QueryOptions } from './client-core.ts';
import { LocalChannel } from './local-channel.ts';
import { closeWithNode } from './local-clients.ts';
import type { ClientOptions } from './options.ts';
import {
  decodeCreated,
  decodeFound,
  decodePage,
  decodeSize,
  decodeTaken,
  decodeTakenBytes,
  decodeValues,
  type StackInfo,
  writeList,
  writeStackOp,
} from './stack-operations.ts';
import { Stack } from './stack.ts';
import { TcpChannel } from './tcp-channel.ts';

export interface ListOptions extends QueryOptions {
  /** Only names that begin with it. */
  readonly prefix?: string;
  /** Names asked for at a time. Default 1000. */
  readonly pageSize?: number;
}

const LOCAL_NODE = required(having('a node', 'submit', 'query', 'detach', 'onRoom', 'onLeader'));

/**
 * A client of a cluster. It finds the leader and follows it, sends what is asked of it in as few writes as
 * possible, and tries again where that is safe: with a session (the default) every command runs at most once
 * however often it is sent.
 *
 * Every call rejects with a `CordwoodError` whose `outcome` tells whether the command may have run. Commands made without
 * awaiting the ones before are sent in their order and run in it, unless one has to be sent again or, without a session,
 * its node falls silent. Request bodies are copied before a method returns.
 *
 * @example
 * await using client = await Client.connect({ addresses: ['127.0.0.1:12380', '127.0.0.1:22380'] });
 * await client.push('jobs', { id: 1 });
 * const job = await client.pop('jobs');
 */
export class Client extends ClientCore {
  #leaveNode: () => void = () => undefined;

  /**
   * Connects to a cluster; resolves as soon as one of its nodes has answered.
   *
   * @throws CordwoodError `CONNECTION_LOST` if none did within `connectTimeoutMs`, `ABORTED`, `BAD_OPTION`,
   *   `INCOMPATIBLE_VERSION`
   */
  static connect(options: ClientOptions): Promise<Client>;
  /** @internal For tools that watch the bytes. */
  static connect(options: ClientOptions, openChannel: (address: string) => Channel): Promise<Client>;
  static async connect(
    options: ClientOptions,
    openChannel: (address: string) => Channel = (address) => new TcpChannel(address),
  ): Promise<Client> {
    const client = new Client(options, openChannel);
    await client.firstConnection(options.signal);
    return client;
  }

  /**
   * A client of a node in the same process; that node forwards what it cannot do itself. It is closed with the node.
   * `preferLeader` and `stallMs` have no meaning for it.
   *
   * @throws CordwoodError `BAD_OPTION`
   */
  static local(requests: Requests, options: Omit<ClientOptions, 'addresses' | 'signal'> = {}): Client {
    checkOptions({ node: requests }, { node: LOCAL_NODE });
    const local = {
      addresses: ['local:1'],
      preferLeader: false,
      // There is no connection that could be dead. What is silent is a node that has no room: given up for another
      // connection to the same node, commands that it has never seen would end with an unknown outcome.
      stallMs: MAX_TIMER_MS,
    };
    const client = new Client({ ...options, ...local }, () => new LocalChannel(requests));
    client.start();
    // What waits for it is told so; and nothing keeps the process alive any more.
    client.#leaveNode = closeWithNode(requests, client);
    return client;
  }

  override close(): Promise<void> {
    this.#leaveNode();
    return super.close();
  }

  /** A handle on one stack. Nothing is sent. */
  stack<T = unknown>(name: string): Stack<T> {
    return new Stack<T>(this, name);
  }

  /** Makes an empty stack. Resolves to false if there was one, which stays as it is. */
  create(name: string, options?: CommandOptions): Promise<boolean> {
    return this.#writeStack(StackOp.create, name, options, decodeCreated);
  }

  /** Removes a stack with all that is on it. Resolves to false if there was none. */
  drop(name: string, options?: CommandOptions): Promise<boolean> {
    return this.#writeStack(StackOp.drop, name, options, decodeFound);
  }

  /** Puts a value on a stack, which is made if there is none. Resolves to the new size. */
  push(name: string, value: unknown, options?: CommandOptions): Promise<number> {
    return this.write(options, 64, decodeSize, (out) => {
      writeStackOp(out, StackOp.push, name, 3);
      writeValue(out, value);
    });
  }

  /** As `push`, for a value that is msgpack already. */
  pushEncoded(name: string, value: Uint8Array, options?: CommandOptions): Promise<number> {
    if (!(value instanceof Uint8Array)) return Promise.reject(notBytes('value', value));
    return this.write(options, value.length + 64, decodeSize, (out) => {
      writeStackOp(out, StackOp.push, name, 3);
      out.bytes(value);
    });
  }

  /** Puts all values on a stack, the last on top, in one step. Resolves to the new size. */
  pushMany(name: string, values: readonly unknown[], options?: CommandOptions): Promise<number> {
    return this.write(options, 64, decodeSize, (out) => {
      writeStackOp(out, StackOp.pushMany, name, 3);
      writeArrayHeader(out, values.length);
      for (const value of values) writeValue(out, value);
    });
  }

  /**
   * Takes the value on top off a stack. Resolves to undefined if the stack is empty.
   *
   * @throws CordwoodError `NOT_FOUND` if there is no such stack
   */
  pop(name: string, options?: CommandOptions): Promise<unknown> {
    return this.#writeStack(StackOp.pop, name, options, decodeTaken);
  }

  /** As `pop`; the value stays msgpack. */
  popEncoded(name: string, options?: CommandOptions): Promise<Uint8Array | undefined> {
    return this.#writeStack(StackOp.pop, name, options, decodeTakenBytes);
  }

  /**
   * Takes up to `count` values off a stack in one step, the one on top first. Fewer come if the stack has no more, or
   * if they would be more than about 1 MiB together.
   *
   * @throws CordwoodError `NOT_FOUND` if there is no such stack
   */
  popMany(name: string, count: number, options?: CommandOptions): Promise<unknown[]> {
    return this.write(options, 64, decodeValues, (out) => {
      if (!Number.isSafeInteger(count) || count < 0)
        throw new RangeError(`count must be an integer from 0 up, not ${count}`);
      writeStackOp(out, StackOp.popMany, name, 3);
      writeValue(out, count);
    });
  }

  /**
   * The value on top of a stack; undefined if the stack is empty.
   *
   * @throws CordwoodError `NOT_FOUND` if there is no such stack
   */
  top(name: string, options?: QueryOptions): Promise<unknown> {
    return this.#readStack(StackOp.top, name, options, decodeTaken);
  }

  /** As `top`; the value stays msgpack. */
  topEncoded(name: string, options?: QueryOptions): Promise<Uint8Array | undefined> {
    return this.#readStack(StackOp.top, name, options, decodeTakenBytes);
  }

  /** @throws CordwoodError `NOT_FOUND` if there is no such stack */
  size(name: string, options?: QueryOptions): Promise<number> {
    return this.#readStack(StackOp.size, name, options, decodeSize);
  }

  exists(name: string, options?: QueryOptions): Promise<boolean> {
    return this.#readStack(StackOp.exists, name, options, decodeFound);
  }

  /**
   * All stacks, sorted by the bytes of their names. Each page is read for itself: stacks made or dropped meanwhile may
   * or may not be among them.
   */
  async *list(options: ListOptions = {}): AsyncGenerator<StackInfo, void, undefined> {
    const { prefix = '', pageSize = 1000 } = options;
    if (!Number.isInteger(pageSize) || pageSize < 1)
      throw new RangeError(`pageSize must be an integer from 1 up, not ${pageSize}`);
    for (let after = ''; ;) {
      const from = after;
      const page = await this.read(options, 64, decodePage, (out) => {
        writeList(out, prefix, from, pageSize);
      });
      if (page.length === 0) return;
      yield* page;
      after = page[page.length - 1]!.name;
    }
  }

  #writeStack<T>(
    op: StackOp,
    name: string,
    options: CommandOptions | undefined,
    decode: Decode<T>,
  ): Promise<T> {
    return this.write(options, 64, decode, (out) => {
      writeStackOp(out, op, name);
    });
  }

  #readStack<T>(op: StackOp, name: string, options: QueryOptions | undefined, decode: Decode<T>): Promise<T> {
    return this.read(options, 64, decode, (out) => {
      writeStackOp(out, op, name);
    });
  }
}
