import type { ByteWriter } from '../../protocol/byte-writer.ts';

/** What a machine may know of the command it applies. The same on every replica. */
export interface ApplyMeta {
  /** Index of the log entry. Many commands share one. */
  readonly index: number;
  /** The cluster's clock, stamped by the leader: never decreases, equal on every replica. */
  readonly timeMs: number;
}

/**
 * What is replicated. Every replica applies the same commands in the same order and must reach the same state:
 * no clock, no randomness, no I/O in `apply`.
 *
 * The bytes handed in belong to the caller and change after the call: copy what is kept (`slice` does).
 */
export interface StateMachine {
  /** Stored in snapshots; a node refuses a snapshot of another machine. 1 to 255 bytes. */
  readonly name: string;
  /**
   * Format of its snapshots, from 0 to 2^32 − 1: to be raised when that changes. What a command does must never change, for entries of the
   * log are run again by newer code (docs/embedding.md, "Changing a machine").
   */
  readonly version: number;
  /** The oldest version whose snapshots `restore` takes. Default: `version`. */
  readonly oldestVersion?: number;

  /**
   * Applies the command in `bytes[start, end)`, writes the result's body to `out` and returns the status
   * (`Status.ok` or another below 64). Bytes that are no command are a result like any other
   * (`Status.badCommand`): whatever comes in, this never throws. If it does, the node stops. `out` holds other
   * answers, too: append to it, and never take, clear or go back before where it stood.
   */
  apply(bytes: Uint8Array, start: number, end: number, out: ByteWriter, meta: ApplyMeta): number;

  /**
   * Told which commands `apply` will be given next: `count` of them, which begin at `starts` in `bytes`. A machine
   * whose state lies scattered in memory may touch what they will need, for all of them at once, so that the processor
   * does not wait for one after the other. Changes nothing; what it throws is ignored. The bytes may be anything, and not
   * every command is announced. Returns whether that is of use: if not, it is not told of the rest of the batch.
   */
  lookAhead?(bytes: Uint8Array, starts: Int32Array, count: number): boolean;

  /**
   * Answers a question about the state and changes nothing. Same conventions as `apply`, but if it throws, only whoever
   * asked is told (`Status.badCommand` with what was thrown).
   */
  query(bytes: Uint8Array, start: number, end: number, out: ByteWriter): number;

  /**
   * An immutable view of the state as it is now, taken in time independent of its size as far as the machine
   * can. The node reads it piece by piece between other work, while `apply` goes on.
   */
  snapshot(): SnapshotView;

  /**
   * Numbers worth watching, by name in snake_case: `_total` at the end means that it only grows. Not part of the
   * state; asked now and then, so cheap.
   */
  counts?(): Readonly<Record<string, number>>;

  /**
   * Replaces the state by that of a snapshot, which a machine of `version` made, and which is whole: its checksums were
   * verified. If this throws, the node stops with `MACHINE_FAILED`.
   */
  restore(chunks: AsyncIterable<Uint8Array>, version: number): Promise<void>;
}

/** What is wrong with a machine's name or versions: what a snapshot could not keep of them. null: nothing. */
export function faultOfName({
  name,
  version,
  oldestVersion = version,
}: Pick<StateMachine, 'name' | 'version' | 'oldestVersion'>): string | null {
  const nameBytes = typeof name === 'string' ? Buffer.byteLength(name) : 0;
  if (nameBytes < 1 || nameBytes > 255) return 'The name of a machine has 1 to 255 bytes.';
  const isWhole = (n: number): boolean => Number.isInteger(n) && n >= 0 && n <= 0xffffffff;
  if (isWhole(version) && isWhole(oldestVersion) && oldestVersion <= version) return null;
  return 'The version of a machine is a whole number from 0 to 4294967295, the oldest no larger.';
}

/**
 * More than one may be open at once (a backup beside a snapshot), and a `restore` may come meanwhile: each goes on showing
 * the moment it was taken.
 */
export interface SnapshotView {
  /** Bytes of the snapshot. Each chunk is valid until the next is asked for. */
  chunks(): Iterable<Uint8Array>;
  /** Ends the view; called exactly once, whether or not all chunks were read. */
  release(): void;
}
