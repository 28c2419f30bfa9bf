import { type ByteWriter, copyOf } from '../../protocol/byte-writer.ts';
import { type LeaderHint, writeStaleness } from '../../protocol/client-codec.ts';
import { FRAME_HEADER_BYTES, Limits, ReadLevel } from '../../protocol/constants.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { isWellFormed, writeValue } from '../../protocol/msgpack.ts';
import { type Runtime, systemRuntime } from '../node/runtime.ts';
import type { NodeStatus } from '../node/types.ts';
import type { Decode } from './call.ts';
import type { Channel } from './channel.ts';
import { Dispatcher } from './dispatcher.ts';
import { Emitter } from './emitter.ts';
import { type CallOptions, type ClientOptions, clientSettings } from './options.ts';
import { ClusterAdmin } from './cluster-admin.ts';
import { decodeAnswerValue } from './stack-operations.ts';

export interface CommandOptions extends CallOptions {
  /**
   * The command runs once for all calls that carry this key, whichever client they come from, as long as the cluster
   * remembers the key: 24 hours, but no more than the latest 100,000 keys, nor more than 64 MiB of them and their
   * answers. 1 to 255 bytes.
   */
  readonly idempotencyKey?: string | undefined;
}

/** How fresh the answer of a query must be: see `ReadLevel` in PROTOCOL.md. */
export type ReadLevelName = keyof typeof ReadLevel;

export interface QueryOptions extends CallOptions {
  /** Default `linearizable`: the answer reflects every command that was done before the query began. */
  readonly level?: ReadLevelName | undefined;
  /** Level `bounded` only: how old the answer may be, 1 to 65,535 ms. Default 1000. */
  readonly maxStalenessMs?: number | undefined;
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

/** What a client does for any machine: connect, carry commands and queries, tell what happens, end. */
export class ClientCore implements AsyncDisposable {
  readonly #events = new Emitter<ClientEvents>();
  readonly #dispatcher: Dispatcher;
  #onFirst: { resolve: () => void; reject: (error: CordwoodError) => void } | null = null;

  /** `openChannel` makes the way to an address. Nothing is done before the client is told to connect. */
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
        this.#onFirst?.reject(error);
      },
    });
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

  /** Whether calls made now would wait in the client because the wire is full, or be refused because the client is. */
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
    if (!(body instanceof Uint8Array)) return Promise.reject(notBytes('command', body));
    return this.write(options, body.length, decodeAnswer, (out) => out.bytes(body));
  }

  /** Asks the machine a question given as bytes. */
  query(body: Uint8Array, options?: QueryOptions): Promise<Answer> {
    if (!(body instanceof Uint8Array)) return Promise.reject(notBytes('query', body));
    return this.read(options, body.length, decodeAnswer, (out) => out.bytes(body));
  }

  /**
   * As `command`, for machines that take and give msgpack values. Any status but `ok` is an error. `Result` is what the
   * caller expects; it is not checked.
   *
   * @example
   * const total = await client.send<number>({ name: 'visits', by: 1 });
   */
  send<Result = unknown>(command: unknown, options?: CommandOptions): Promise<Result> {
    return this.write(options, 64, decodeAnswerValue as Decode<Result>, (out) => {
      writeValue(out, command);
    });
  }

  /** As `query`, for machines that take and give msgpack values; see `send`. */
  ask<Answer = unknown>(query: unknown, options?: QueryOptions): Promise<Answer> {
    return this.read(options, 64, decodeAnswerValue as Decode<Answer>, (out) => {
      writeValue(out, query);
    });
  }

  /** What the connected node says of itself and its cluster. */
  status(options?: CallOptions): Promise<NodeStatus> {
    const { calls, routes } = this.#dispatcher;
    const decode = decodeAnswerValue as Decode<NodeStatus>;
    return calls.make(routes.status, 0, writeNothing, decode, options);
  }

  /** Members of the cluster, changes of them, leadership, explanations. */
  get admin(): ClusterAdmin {
    return new ClusterAdmin((request, route, options) => {
      const { calls, routes } = this.#dispatcher;
      const writeBody = (out: ByteWriter): void => {
        writeValue(out, request);
      };
      return calls.make(routes[route], 256, writeBody, decodeAnswerValue, options);
    });
  }

  /** @internal The body is written by `writeBody`, at once. */
  protected write<T>(
    options: CommandOptions | undefined,
    bodyBytes: number,
    decode: Decode<T>,
    writeBody: (out: ByteWriter) => void,
  ): Promise<T> {
    const { calls, routes } = this.#dispatcher;
    const key = options?.idempotencyKey;
    if (key === undefined) return calls.make(routes.command, bodyBytes, writeBody, decode, options);
    const writeKeyed = (out: ByteWriter): void => {
      writeKey(out, key);
      writeBody(out);
    };
    return calls.make(routes.keyedCommand, bodyBytes, writeKeyed, decode, options);
  }

  /** @internal As `write`. */
  protected read<T>(
    options: QueryOptions | undefined,
    bodyBytes: number,
    decode: Decode<T>,
    writeBody: (out: ByteWriter) => void,
  ): Promise<T> {
    const { calls, routes } = this.#dispatcher;
    const level = ReadLevel[options?.level ?? 'linearizable'] as ReadLevel | undefined;
    if (level === undefined)
      return Promise.reject(new RangeError(`there is no read level ${String(options?.level)}`));
    const maxStalenessMs = level === ReadLevel.bounded ? options?.maxStalenessMs : undefined;
    // In a frame it stands for the default.
    if (maxStalenessMs === 0) return Promise.reject(new RangeError('maxStalenessMs must be 1 at least'));
    const write =
      maxStalenessMs === undefined
        ? writeBody
        : (out: ByteWriter): void => {
            writeStaleness(out, out.position - FRAME_HEADER_BYTES, maxStalenessMs);
            writeBody(out);
          };
    return calls.make(routes.query(level), bodyBytes, write, decode, options);
  }

  /** @internal Begins to connect and does not wait for it. */
  protected start(): void {
    this.#dispatcher.link.pump();
  }

  /** @internal */
  protected async firstConnection(signal: AbortSignal | undefined): Promise<void> {
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

function writeNothing(): void {}

/** Anything else with a length would be sent as some bytes, and without one it would spoil the frames of other calls. */
export function notBytes(what: string, given: unknown): TypeError {
  return new TypeError(`a ${what} must be a Uint8Array, not ${given === null ? 'null' : typeof given}`);
}

function writeKey(out: ByteWriter, key: string): void {
  if (!isWellFormed(key)) throw new TypeError('an idempotency key is a string without half a surrogate pair');
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
