import type { ByteWriter } from '../../protocol/byte-writer.ts';
import type { LeaderHint } from '../../protocol/client-codec.ts';
import { Kind, Limits, ReadLevel, StackOp } from '../../protocol/constants.ts';
import { CordwoodError, type ErrorCode } from '../../protocol/errors.ts';
import { writeValue } from '../../protocol/msgpack.ts';
import { type Runtime, systemRuntime } from '../node/runtime.ts';
import type { NodeStatus, Requests } from '../node/types.ts';
import { type Decode, Retry } from './call.ts';
import type { Channel } from './channel.ts';
import { Dispatcher } from './dispatcher.ts';
import { Emitter } from './emitter.ts';
import { LocalChannel } from './local-channel.ts';
import { type CallOptions, type ClientOptions, clientSettings } from './options.ts';
import {
  copyOf,
  decodeAnswerValue,
  decodeCreated,
  decodeFound,
  decodePage,
  decodeSize,
  decodeTaken,
  decodeTakenBytes,
  decodeValues,
  type StackInfo,
  writeArrayHeader,
  writeList,
  writeStackOp,
} from './stack-operations.ts';
import { Stack } from './stack.ts';
import { TcpChannel } from './tcp-channel.ts';

export interface CommandOptions extends CallOptions {
  /**
   * The command runs once for all calls that carry this key, whichever client they come from, as long as the cluster
   * remembers the key. At most 255 bytes.
   */
  readonly idempotencyKey?: string | undefined;
}

/** How fresh the answer of a query must be: see `ReadLevel` in PROTOCOL.md. */
export type ReadLevelName = keyof typeof ReadLevel;

export interface QueryOptions extends CallOptions {
  /** Default `linearizable`: the answer reflects every command that was done before the query began. */
  readonly level?: ReadLevelName | undefined;
}

export interface ListOptions extends QueryOptions {
  /** Only names that begin with it. */
  readonly prefix?: string;
  /** Names asked for at a time. Default 1000. */
  readonly pageSize?: number;
}

/** What a machine answered. */
export interface Answer {
  /** Below 64; `Status.ok` is 0. */
  readonly status: number;
  /** The caller's own. */
  readonly body: Uint8Array;
}

export interface ConnectedNode {
  readonly nodeId: number;
  readonly address: string;
}

export interface ClientEvents {
  /** Requests go to this node from now on. */
  connect: ConnectedNode;
  /** The connection requests went to is lost; the client looks for another. */
  disconnect: { readonly address: string; readonly error: CordwoodError };
  /** As the connected node knows it; null: none. */
  leader: LeaderHint | null;
}

/** Errors of a first connection that further tries would only repeat. */
const lasting: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'INCOMPATIBLE_VERSION',
  'UNAUTHORIZED',
  'PROTOCOL_ERROR',
  'TOO_LARGE',
]);

/**
 * A client of a cluster. It finds the leader and follows it, sends what is asked of it in as few writes as
 * possible, and tries again where that is safe: with a session (the default) every command runs at most once
 * however often it is sent.
 *
 * Every call rejects with a `CordwoodError` whose `outcome` tells whether the command may have run. Calls made without
 * awaiting the ones before are sent in their order and, where nothing has to be sent again, run in it. Request
 * bodies are copied before a method returns.
 *
 * @example
 * await using client = await Client.connect({ addresses: ['127.0.0.1:12380', '127.0.0.1:22380'] });
 * await client.push('jobs', { id: 1 });
 * const job = await client.pop('jobs');
 */
export class Client implements AsyncDisposable {
  readonly #events = new Emitter<ClientEvents>();
  readonly #dispatcher: Dispatcher;
  #onFirst: { resolve: () => void; reject: (error: CordwoodError) => void } | null = null;

  /** @internal Use `Client.connect` or `Client.local`. */
  constructor(
    options: ClientOptions,
    openChannel: (address: string) => Channel,
    runtime: Runtime = systemRuntime,
  ) {
    this.#dispatcher = new Dispatcher(clientSettings(options), openChannel, runtime, {
      onConnect: ({ address, welcome }) => {
        this.#onFirst?.resolve();
        this.#events.emit('connect', { nodeId: welcome!.nodeId, address });
      },
      onDisconnect: ({ address }, error) => {
        this.#events.emit('disconnect', { address, error });
      },
      onLeader: (leader) => {
        this.#events.emit('leader', leader);
      },
      onUnreachable: (error) => {
        if (lasting.has(error.code)) this.#onFirst?.reject(error);
      },
    });
  }

  /**
   * Connects to a cluster; resolves as soon as one of its nodes has answered.
   *
   * @throws CordwoodError `CONNECTION_LOST` if none did within `connectTimeoutMs`, `ABORTED`, `BAD_OPTION`,
   *   `INCOMPATIBLE_VERSION`
   */
  static async connect(options: ClientOptions): Promise<Client> {
    if (options.addresses.length === 0) throw new CordwoodError('BAD_OPTION', 'addresses is empty');
    const client = new Client(options, (address) => new TcpChannel(address));
    await client.#connected(options.signal);
    return client;
  }

  /** A client of a node in the same process; that node forwards what it cannot do itself. */
  static local(requests: Requests, options: Omit<ClientOptions, 'addresses' | 'signal'> = {}): Client {
    const address = 'local:1';
    const client = new Client(
      { ...options, addresses: [address], preferLeader: false },
      () => new LocalChannel(requests),
    );
    client.#dispatcher.link.pump();
    return client;
  }

  /** Cluster the client belongs to; null before the first connection. */
  get clusterId(): string | null {
    return this.#dispatcher.link.clusterId;
  }

  /** The leader, as the connected node knows it. */
  get leader(): LeaderHint | null {
    return this.#dispatcher.link.leader;
  }

  /** Where requests go; null while the client is looking. */
  get node(): ConnectedNode | null {
    const { active } = this.#dispatcher.link;
    return active === null ? null : { nodeId: active.welcome!.nodeId, address: active.address };
  }

  /** Calls that have not ended. */
  get outstanding(): number {
    return this.#dispatcher.calls.outstanding;
  }

  /** Whether calls made now would wait in the client because the wire is full. */
  get saturated(): boolean {
    return this.#dispatcher.calls.saturated;
  }

  /** Calls `listener` at each event; the returned function ends that. */
  on<Name extends keyof ClientEvents>(name: Name, listener: (event: ClientEvents[Name]) => void): () => void {
    return this.#events.on(name, listener);
  }

  /** Resolves when the client is not `saturated`. Rejects only with the reason of the signal. */
  ready(signal?: AbortSignal): Promise<void> {
    return this.#dispatcher.calls.ready(signal);
  }

  /** Resolves when all calls made so far have ended, one way or another. */
  drain(): Promise<void> {
    return this.#dispatcher.calls.drained();
  }

  /** Ends the client at once: calls that have not ended reject with `CLOSED`. Use `drain` before to let them end. */
  async close(): Promise<void> {
    this.#onFirst?.reject(new CordwoodError('CLOSED', 'the client was closed'));
    this.#dispatcher.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Has the machine apply a command given as bytes. */
  command(body: Uint8Array, options?: CommandOptions): Promise<Answer> {
    return this.#write(options, body.length, decodeAnswer, (out) => out.bytes(body));
  }

  /** Asks the machine a question given as bytes. */
  query(body: Uint8Array, options?: QueryOptions): Promise<Answer> {
    return this.#read(options, body.length, decodeAnswer, (out) => out.bytes(body));
  }

  /** As `command`, for machines that take and give msgpack values. Any status but `ok` is an error. */
  send(command: unknown, options?: CommandOptions): Promise<unknown> {
    return this.#write(options, 64, decodeAnswerValue, (out) => {
      writeValue(out, command);
    });
  }

  /** As `query`, for machines that take and give msgpack values. Any status but `ok` is an error. */
  ask(query: unknown, options?: QueryOptions): Promise<unknown> {
    return this.#read(options, 64, decodeAnswerValue, (out) => {
      writeValue(out, query);
    });
  }

  /** What the connected node says of itself and its cluster. */
  status(options?: CallOptions): Promise<NodeStatus> {
    const dispatcher = this.#dispatcher;
    dispatcher.calls.begin(dispatcher.localReads, Kind.status, 0, 0);
    return dispatcher.calls.commit(Retry.always, decodeAnswerValue as Decode<NodeStatus>, options);
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
    return this.#write(options, 64, decodeSize, (out) => {
      writeStackOp(out, StackOp.push, name, 3);
      writeValue(out, value);
    });
  }

  /** As `push`, for a value that is msgpack already. */
  pushEncoded(name: string, value: Uint8Array, options?: CommandOptions): Promise<number> {
    return this.#write(options, value.length + 64, decodeSize, (out) => {
      writeStackOp(out, StackOp.push, name, 3);
      out.bytes(value);
    });
  }

  /** Puts all values on a stack, the last on top, in one step. Resolves to the new size. */
  pushMany(name: string, values: readonly unknown[], options?: CommandOptions): Promise<number> {
    return this.#write(options, 64, decodeSize, (out) => {
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
    return this.#write(options, 64, decodeValues, (out) => {
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
      const page = await this.#read(options, 64, decodePage, (out) => {
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
    return this.#write(options, 64, decode, (out) => {
      writeStackOp(out, op, name);
    });
  }

  #readStack<T>(op: StackOp, name: string, options: QueryOptions | undefined, decode: Decode<T>): Promise<T> {
    return this.#read(options, 64, decode, (out) => {
      writeStackOp(out, op, name);
    });
  }

  #write<T>(
    options: CommandOptions | undefined,
    bodyBytes: number,
    decode: Decode<T>,
    writeBody: (out: ByteWriter) => void,
  ): Promise<T> {
    const dispatcher = this.#dispatcher;
    const key = options?.idempotencyKey;
    const out = dispatcher.calls.begin(
      dispatcher.writes,
      key === undefined ? Kind.command : Kind.keyedCommand,
      0,
      bodyBytes,
    );
    try {
      if (key !== undefined) writeKey(out, key);
      writeBody(out);
    } catch (error) {
      dispatcher.calls.cancel();
      return rejected(error);
    }
    const retry = key !== undefined || dispatcher.settings.session ? Retry.always : Retry.never;
    return dispatcher.calls.commit(retry, decode, options);
  }

  #read<T>(
    options: QueryOptions | undefined,
    bodyBytes: number,
    decode: Decode<T>,
    writeBody: (out: ByteWriter) => void,
  ): Promise<T> {
    const dispatcher = this.#dispatcher;
    const level = ReadLevel[options?.level ?? 'linearizable'];
    const lane = level >= ReadLevel.bounded ? dispatcher.localReads : dispatcher.reads;
    const out = dispatcher.calls.begin(lane, Kind.query, level, bodyBytes);
    try {
      writeBody(out);
    } catch (error) {
      dispatcher.calls.cancel();
      return rejected(error);
    }
    return dispatcher.calls.commit(Retry.always, decode, options);
  }

  async #connected(signal: AbortSignal | undefined): Promise<void> {
    const { link, runtime, settings } = this.#dispatcher;
    let cancelTimer: (() => void) | undefined;
    let onAbort: (() => void) | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#onFirst = { resolve, reject };
        onAbort = () => {
          reject(new CordwoodError('ABORTED', 'connecting was aborted', { cause: signal?.reason }));
        };
        if (signal?.aborted === true) {
          onAbort();
          return;
        }
        signal?.addEventListener('abort', onAbort);
        cancelTimer = runtime.timer(settings.connectTimeoutMs, () => {
          reject(new CordwoodError('CONNECTION_LOST', `no node could be reached: ${link.book.describe()}`));
        });
        link.pump();
      });
    } catch (error) {
      this.#dispatcher.close();
      throw error;
    } finally {
      this.#onFirst = null;
      cancelTimer?.();
      if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort);
    }
  }
}

function rejected(error: unknown): Promise<never> {
  return Promise.reject(error instanceof Error ? error : new Error(String(error)));
}

function writeKey(out: ByteWriter, key: string): void {
  const bytes = Buffer.from(key);
  if (bytes.length === 0 || bytes.length > Limits.maxIdempotencyKeyBytes) {
    throw new RangeError(
      `an idempotency key has 1 to ${Limits.maxIdempotencyKeyBytes} bytes, not ${bytes.length}`,
    );
  }
  out.u16(bytes.length).bytes(bytes);
}

function decodeAnswer(status: number, bytes: Uint8Array, start: number, end: number): Answer {
  return { status, body: copyOf(bytes, start, end) };
}
