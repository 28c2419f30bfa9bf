import { crc32 } from 'node:zlib';
import type { ByteWriter } from '../../protocol/byte-writer.ts';
import type { ApplyMeta, SnapshotView, StateMachine } from '../machine/state-machine.ts';

/** What was applied at each index, by whichever process came there first. */
export interface AppliedLog {
  /** One digest for each command of an entry, answers included. */
  readonly commands: Map<number, number[]>;
}

export interface AppliedEvents {
  /** The first command of an entry is about to run. */
  onEntry(index: number): void;
  /** A command of an entry has run. */
  onApplied(index: number): void;
}

/**
 * A machine that is watched: every replica must run the same commands with the same answers at the same index, over
 * all restarts.
 */
export class CheckedMachine implements StateMachine {
  readonly name: string;
  readonly version: number;
  readonly oldestVersion: number;
  readonly #inner: StateMachine;
  readonly #applied: AppliedLog;
  readonly #events: AppliedEvents;
  #index = 0;
  #position = 0;

  constructor(inner: StateMachine, applied: AppliedLog, events: AppliedEvents) {
    this.name = inner.name;
    this.version = inner.version;
    this.oldestVersion = inner.oldestVersion ?? inner.version;
    this.#inner = inner;
    this.#applied = applied;
    this.#events = events;
  }

  apply(bytes: Uint8Array, start: number, end: number, out: ByteWriter, meta: ApplyMeta): number {
    if (meta.index !== this.#index) {
      this.#index = meta.index;
      this.#position = 0;
      this.#events.onEntry(meta.index);
    }
    const before = out.position;
    const status = this.#inner.apply(bytes, start, end, out, meta);
    const answer = crc32(out.buffer.subarray(before, out.position));
    const digest = crc32(bytes.subarray(start, end), (answer ^ status) >>> 0);
    let known = this.#applied.commands.get(meta.index);
    if (!known) this.#applied.commands.set(meta.index, (known = []));
    const place = this.#position++;
    if (place === known.length) known.push(digest);
    else if (known[place] !== digest) {
      throw new Error(
        `entry ${meta.index}, command ${place}: another replica ran something else or answered otherwise`,
      );
    }
    this.#events.onApplied(meta.index);
    return status;
  }

  lookAhead(bytes: Uint8Array, starts: Int32Array, count: number): boolean {
    return this.#inner.lookAhead?.(bytes, starts, count) ?? false;
  }

  query(bytes: Uint8Array, start: number, end: number, out: ByteWriter): number {
    return this.#inner.query(bytes, start, end, out);
  }

  snapshot(): SnapshotView {
    return this.#inner.snapshot();
  }

  async restore(chunks: AsyncIterable<Uint8Array>, version: number): Promise<void> {
    await this.#inner.restore(chunks, version);
    this.#index = 0;
  }

  /** The whole state, as a snapshot writes it. */
  digest(): number {
    const view = this.#inner.snapshot();
    let sum = 0;
    for (const chunk of view.chunks()) sum = crc32(chunk, sum);
    view.release();
    return sum;
  }
}
