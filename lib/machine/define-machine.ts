import { Decoder, Encoder } from '@msgpack/msgpack';
import { type ByteWriter, copyOf } from '../../protocol/byte-writer.ts';
import { Limits, Status } from '../../protocol/constants.ts';
import { ChunkReader, damaged } from './chunk-reader.ts';
import { msgpackEnd, writeText } from './msgpack.ts';
import type { ApplyMeta, SnapshotView, StateMachine } from './state-machine.ts';

const brand = Symbol.for('cordwood.commandError');

/**
 * Thrown by the functions of a defined machine to refuse a command or query: the caller gets `BAD_COMMAND` with this
 * message. It must be thrown **before** the state was changed, on every replica alike.
 */
export class CommandError extends Error {
  override readonly name = 'CommandError';

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    Object.defineProperty(this, brand, { value: true });
  }

  /** Recognises errors of any copy of this package. */
  static is(error: unknown): error is CommandError {
    return typeof error === 'object' && error !== null && brand in error;
  }
}

/** What `defineMachine` takes. Commands, queries, results and states are whatever msgpack can carry. */
export interface MachineDefinition<State, Command, Query, Result, Answer> {
  /** Stored in snapshots: a node refuses those of another machine. At most 255 bytes. */
  readonly name: string;
  /** Change it together with the meaning of commands or the shape of saved states. */
  readonly version: number;
  /** The state of a new cluster. */
  readonly initial: () => State;
  /**
   * Changes `state` in place and returns the caller's result. Runs on every replica and must do the same on each:
   * no clock but `meta.timeMs`, no randomness, no I/O, no iteration over anything whose order may differ.
   *
   * `command` is what the client sent, of any shape: check it, and throw a `CommandError` if it will not do.
   * **Any other error stops the node** (and, as they all run the same, every node of the cluster): after it nobody
   * knows how much of the command was done.
   */
  readonly apply: (state: State, command: Command, meta: ApplyMeta) => Result;
  /**
   * Answers a question and changes nothing. May throw a `CommandError`; whatever it throws, only whoever asked is told.
   */
  readonly query: (state: State, query: Query) => Answer;
  /** The state as something msgpack can carry. Default: the state itself. Needed for `Map`, `Set`, classes, bigint. */
  readonly save?: (state: State) => unknown;
  /** The state from what `save` returned. Throws if it cannot be. */
  readonly load?: (saved: unknown) => State;
}

/**
 * Makes a state machine of plain functions: commands and queries are decoded, results encoded, and snapshots are the
 * whole state as msgpack. Taking a snapshot encodes everything at once; a machine with much state is better written
 * as a `StateMachine` of its own.
 *
 * @example
 * const counters = defineMachine({
 *   name: 'counters',
 *   version: 1,
 *   initial: () => ({ total: 0 }),
 *   apply(state, by: number) {
 *     if (!Number.isSafeInteger(by)) throw new CommandError('Not a whole number.');
 *     return (state.total += by);
 *   },
 *   query: (state) => state.total,
 * });
 */
export function defineMachine<State, Command = unknown, Query = unknown, Result = unknown, Answer = unknown>(
  definition: MachineDefinition<State, Command, Query, Result, Answer>,
): StateMachine {
  const nameBytes = Buffer.byteLength(definition.name);
  if (nameBytes < 1 || nameBytes > 255) throw new TypeError('The name of a machine has 1 to 255 bytes.');
  const { version } = definition;
  if (!Number.isInteger(version) || version < 0 || version > 0xffffffff) {
    throw new TypeError('The version of a machine is a whole number from 0 to 4294967295.');
  }
  for (const name of ['initial', 'apply', 'query'] as const) {
    if (typeof definition[name] !== 'function') throw new TypeError(`A machine needs ${name}().`);
  }
  return new DefinedMachine(definition);
}

const SNAPSHOT_CHUNK_BYTES = 256 * 1024;

class DefinedMachine<State, Command, Query, Result, Answer> implements StateMachine {
  readonly name: string;
  readonly version: number;
  readonly #definition: MachineDefinition<State, Command, Query, Result, Answer>;
  /** What is undefined stays away: as nil it would be null on a node that started from a snapshot. */
  readonly #encoder = new Encoder({ ignoreUndefined: true, maxDepth: 1000 });
  readonly #decoder = new Decoder();
  #state: State;

  constructor(definition: MachineDefinition<State, Command, Query, Result, Answer>) {
    this.name = definition.name;
    this.version = definition.version;
    this.#definition = definition;
    this.#state = definition.initial();
  }

  apply(bytes: Uint8Array, start: number, end: number, out: ByteWriter, meta: ApplyMeta): number {
    const run = (command: unknown): unknown => this.#definition.apply(this.#state, command as Command, meta);
    return this.#answer(bytes, start, end, out, run);
  }

  query(bytes: Uint8Array, start: number, end: number, out: ByteWriter): number {
    const run = (query: unknown): unknown => this.#definition.query(this.#state, query as Query);
    return this.#answer(bytes, start, end, out, run);
  }

  snapshot(): SnapshotView {
    const { save } = this.#definition;
    const bytes = this.#encoder.encode(save === undefined ? this.#state : save(this.#state));
    return {
      *chunks() {
        for (let at = 0; at < bytes.length; at += SNAPSHOT_CHUNK_BYTES) {
          yield bytes.subarray(at, at + SNAPSHOT_CHUNK_BYTES);
        }
      },
      release() {},
    };
  }

  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const reader = new ChunkReader(chunks);
    let bytes = 0;
    for (;;) {
      bytes = reader.available;
      if (!(await reader.more())) break;
    }
    let saved: unknown;
    try {
      saved = this.#decoder.decode(copyOf(reader.buffer, reader.at, reader.at + bytes));
    } catch {
      throw damaged(`the state of machine "${this.name}" is not msgpack`);
    }
    const { load } = this.#definition;
    this.#state = load === undefined ? (saved as State) : load(saved);
  }

  #answer(
    bytes: Uint8Array,
    start: number,
    end: number,
    out: ByteWriter,
    run: (input: unknown) => unknown,
  ): number {
    let input: unknown;
    try {
      // Depth first: what nests too deeply for the encoder must not get into the state.
      if (msgpackEnd(bytes, start, end, Limits.maxValueDepth) !== end) throw new RangeError();
      // A copy, because decoded binary values are views, and the machine may keep them.
      input = this.#decoder.decode(copyOf(bytes, start, end));
    } catch {
      writeText(out, 'Not one msgpack value.');
      return Status.badCommand;
    }
    let result: unknown;
    try {
      result = run(input);
    } catch (error) {
      if (!CommandError.is(error)) throw error;
      writeText(out, error.message);
      return Status.badCommand;
    }
    const encoded = this.#encoder.encodeSharedRef(result);
    out.bytes(encoded);
    return Status.ok;
  }
}
