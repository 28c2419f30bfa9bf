import { isDeepStrictEqual } from 'node:util';
import { type ByteWriter, copyOf } from '../../protocol/byte-writer.ts';
import { Limits, Status } from '../../protocol/constants.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { ChunkReader, damaged } from './chunk-reader.ts';
import { lastScan, Scan } from '../../protocol/msgpack-scan.ts';
import { msgpackEnd, writeText } from './msgpack.ts';
import {
  assertValuesOnly,
  decodeInput,
  InexactError,
  decodeState,
  encodeAnswer,
  encodeSaved,
  encodeState,
} from './saved-state.ts';
import { faultOfName, type ApplyMeta, type SnapshotView, type StateMachine } from './state-machine.ts';

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
  /**
   * Of the shape of saved states: raise it when that changes. What a command does must never change, for entries of the
   * log are run again by newer code (docs/embedding.md, "Changing a machine").
   */
  readonly version: number;
  /** The oldest version whose saved states `load` understands. Default: `version`. */
  readonly oldestVersion?: number;
  /** The state of a new cluster. */
  readonly initial: () => State;
  /**
   * Changes `state` in place and returns the caller's result. Runs on every replica and must do the same on each:
   * no clock but `meta.timeMs`, no randomness, no I/O, no iteration over anything whose order may differ.
   *
   * `command` is what the client sent, of any shape: check it, and throw a `CommandError` if it will not do.
   * **Any other error stops the node** (and, as they all run the same, every node of the cluster): after it nobody
   * knows how much of the command was done. So does a result that msgpack cannot carry (a `Map`, a function, a bigint).
   */
  readonly apply: (state: State, command: Command, meta: ApplyMeta) => Result;
  /**
   * Answers a question and changes nothing. May throw a `CommandError`; whatever it throws, only whoever asked is told.
   */
  readonly query: (state: State, query: Query) => Answer;
  /**
   * The state as something msgpack can carry: plain objects, arrays, strings, numbers, booleans, null, `Uint8Array`,
   * `Date`. Default: the state itself. Needed for `Map`, `Set`, `Buffer`, classes, objects without a prototype, bigint, and
   * objects that can be reached on two ways: without it no snapshot of them is made, the log is kept, and the node's log
   * says why.
   */
  readonly save?: (state: State) => unknown;
  /**
   * The state from what `save` returned in a machine of that `version`. If it throws, the node stops with
   * `MACHINE_FAILED`.
   */
  readonly load?: (saved: unknown, version: number) => State;
}

/**
 * Makes a state machine of plain functions: commands and queries are decoded, results encoded, and snapshots are the
 * whole state as msgpack. Taking a snapshot encodes everything at once; a machine with much state is better written
 * as a `StateMachine` of its own. What it returns is one machine, with its state: call it again for each start of a node.
 *
 * @throws TypeError if something is missing or wrong; also if the initial state cannot be saved and loaded
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
  const fault = faultOfName(definition);
  if (fault !== null) throw new TypeError(fault);
  for (const name of ['initial', 'apply', 'query'] as const) {
    if (typeof definition[name] !== 'function') throw new TypeError(`A machine needs ${name}().`);
  }
  const machine = new DefinedMachine(definition);
  machine.tryOut();
  return machine;
}

const SNAPSHOT_CHUNK_BYTES = 256 * 1024;

class DefinedMachine<State, Command, Query, Result, Answer> implements StateMachine {
  readonly name: string;
  readonly version: number;
  readonly oldestVersion: number;
  readonly #definition: MachineDefinition<State, Command, Query, Result, Answer>;
  #state: State;

  constructor(definition: MachineDefinition<State, Command, Query, Result, Answer>) {
    this.name = definition.name;
    this.version = definition.version;
    this.oldestVersion = definition.oldestVersion ?? definition.version;
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

  /** Saves and loads the state once: a state that cannot be kept is found now, not with the first snapshot. */
  tryOut(): void {
    try {
      const saved = this.#save(this.#state);
      const loaded = this.#load(decodeState(saved), this.version);
      const again = this.#save(loaded);
      if (!isDeepStrictEqual(decodeState(saved), decodeState(again)))
        throw new TypeError('what load() makes of it is saved as something else');
      // After that: no object in it holds itself.
      if (this.#definition.save === undefined) assertValuesOnly(this.#state);
      // `{ ...DEFAULTS }` shares what lies deeper with every other machine of this process.
      this.#state = loaded;
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new TypeError(`The state of machine "${this.name}" cannot be saved and loaded: ${reason}.`, {
        cause,
      });
    }
  }

  snapshot(): SnapshotView {
    const bytes = this.#save(this.#state);
    return {
      *chunks() {
        for (let at = 0; at < bytes.length; at += SNAPSHOT_CHUNK_BYTES) {
          yield bytes.subarray(at, at + SNAPSHOT_CHUNK_BYTES);
        }
      },
      release() {},
    };
  }

  async restore(chunks: AsyncIterable<Uint8Array>, version: number): Promise<void> {
    const reader = new ChunkReader(chunks);
    let bytes = 0;
    for (;;) {
      bytes = reader.available;
      if (!(await reader.more())) break;
    }
    let saved: unknown;
    try {
      saved = decodeState(reader.buffer, reader.at, reader.at + bytes);
    } catch {
      throw damaged(`the state of machine "${this.name}" is not msgpack`);
    }
    try {
      this.#state = this.#load(saved, version);
    } catch (cause) {
      // The bytes are those that were written: their checksums were verified on the way here.
      throw new CordwoodError('MACHINE_FAILED', `machine "${this.name}" threw in load: ${String(cause)}`, {
        cause,
      });
    }
  }

  #save(state: State): Uint8Array {
    const { save } = this.#definition;
    return save === undefined ? encodeState(state) : encodeSaved(synchronous('save', save(state)));
  }

  #load(saved: unknown, version: number): State {
    const { load } = this.#definition;
    if (load === undefined) return saved as State;
    const state = synchronous('load', load(saved, version));
    // A `return` that was forgotten for an old version: the next snapshot would take the place of the good one.
    if (state === undefined) throw new TypeError('load returned nothing');
    return state;
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
      const isWide = (lastScan() & Scan.wideInteger) !== 0;
      // A copy, because decoded binary values are views, and the machine may keep them.
      input = decodeInput(copyOf(bytes, start, end), isWide);
    } catch (error) {
      writeText(out, error instanceof InexactError ? error.message : 'Not one msgpack value.');
      return Status.badCommand;
    }
    let result: unknown;
    try {
      result = synchronous('a machine', run(input));
    } catch (error) {
      if (!CommandError.is(error)) throw error;
      writeText(out, error.message);
      return Status.badCommand;
    }
    out.bytes(encodeAnswer(result));
    return Status.ok;
  }
}

/** Refuses a promise. What becomes of it nobody asks: rejected, it would end the process. */
function synchronous<T>(what: string, result: T): T {
  if (!(result instanceof Promise)) return result;
  result.catch(() => undefined);
  throw new TypeError(`${what} must answer at once, and not with a promise`);
}
