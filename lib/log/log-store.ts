import type { DiskSpace } from './space.ts';
import type { Config, HardState, Index, SnapshotMeta, Term } from '../core/types.ts';

/**
 * The log as the driver sees it: one ordered lane of writes that answers how far it is durable, reads of older
 * entries, and snapshots. Production runs it in a thread (`ThreadLogStore`), the simulator in place over a
 * simulated disk; both run the same code beneath.
 */
export interface LogStore {
  /** What was found on disk. */
  readonly recovery: Recovery;

  /**
   * Queues one write. Writes become durable in order. The record buffers must stay unchanged until `onDurable`
   * has been called with this ticket.
   */
  append(write: LogWrite): void;

  /**
   * Tells `onDurable`, from within this call, what is durable already but would be told a little later. For callers
   * that are about to act anyway.
   */
  poll(): void;

  /**
   * Whether `onDurable` is to come by itself, as it does at first. Otherwise the caller hears of what is durable by its
   * next `poll`, or once it wants to: each call that wakes a sleeping thread costs more than a hundred commands.
   */
  announce(wanted: boolean): void;

  /**
   * Entries from `from` up to at most `to` and about `maxBytes` (always at least one), in wire format
   * (PROTOCOL.md, "Record"), checksums verified. Rejects with `LOG_DAMAGED` if they cannot be read whole.
   */
  read(from: Index, to: Index, maxBytes: number): Promise<LogSlice>;

  /** Entries at or below `through` are covered by a durable snapshot: whole segments of such may go. */
  compact(through: Index): void;

  /**
   * Says why the node is in quarantine, or (null) that it is whole again. Durable when it resolves, and found as
   * `recovery.doubt` by the next start.
   */
  setQuarantine(reason: string | null): Promise<void>;

  readonly snapshots: SnapshotStore;

  /** Bytes of the directory this log accounts for. */
  readonly stats: LogStats;

  /** Waits for queued writes, syncs and releases everything. Idempotent. */
  close(): Promise<void>;
}

/** Answers of a `LogStore`, always called from a turn of their own, never from inside a call into it but `poll`. */
export interface LogEvents {
  /** Every write up to and including `ticket` is durable, and has been for `forMs` milliseconds (0: not known). */
  onDurable(ticket: number, forMs: number): void;
  /** A write or fsync failed: nothing after this is durable, the node must stop (reference: fsync is not retried). */
  onFailure(error: Error): void;
  /**
   * Something at rest does not verify any more, or cannot be read. What is in memory is whole: a new snapshot makes
   * what has rotted superfluous.
   */
  onDamage?(damage: LogDamage): void;
  /**
   * The snapshots are known and can be read, while the log itself is still being recovered. Only of a store that is
   * opened in a thread: time that reading the log takes can be used to read the newest snapshot.
   */
  onSnapshots?(snapshots: SnapshotStore): void;
  /** Room on the disk: told now and then, and at once when a write found none. */
  onSpace?(space: DiskSpace): void;
}

export interface LogWrite {
  readonly ticket: number;
  /** Goes before the entries of the same write: a term is durable no later than any entry accepted under it. */
  readonly hardState: HardState | null;
  /** Set: the log is emptied first and restarts behind this snapshot, which is durable already. */
  readonly resetTo: { readonly index: Index; readonly term: Term } | null;
  /** Index of the first record; at or below the last index, the tail from there on is replaced. 0: no records. */
  readonly first: Index;
  readonly last: Index;
  /** Records `first … last` in wire format, back to back. Backed by SharedArrayBuffer where the writer can. */
  readonly records: readonly Uint8Array[];
}

export interface LogSlice {
  readonly first: Index;
  readonly last: Index;
  /** The records, back to back. The caller owns it. */
  readonly bytes: Uint8Array;
}

export interface Recovery {
  /**
   * Null: everything on disk is whole (a torn tail has been cut off). Otherwise: which file, and where. The log then
   * takes nothing but terms, votes and a reset, which drops what is left of it.
   */
  readonly damage: LogDamage | null;
  /** What was wrong with a part of the log that the snapshot covers. That part is removed, and the log is whole without it. */
  readonly covered: LogDamage | null;
  /** The log is whole, but it may have been longer once: its own account of that is lost, or says so. */
  readonly doubt: LogDamage | null;
  /** `hardState` is at least what the node last acted on. With damage it may not be: then the node must not start. */
  readonly hardStateKnown: boolean;
  readonly hardState: HardState;
  /** The newest whole snapshot, or null. */
  readonly snapshot: SnapshotMeta | null;
  /** The log starts behind this: index and term of the entry before the first kept one. */
  readonly prevIndex: Index;
  readonly prevTerm: Term;
  readonly lastIndex: Index;
  /** Runs of equal term, ascending, covering `prevIndex + 1 … lastIndex`. */
  readonly termRuns: readonly { readonly first: Index; readonly term: Term }[];
  /** Record sizes in bytes of the entries `prevIndex + 1 … lastIndex`. */
  readonly sizes: readonly number[] | Uint32Array;
  /** Config entries in the kept log, ascending. */
  readonly configs: readonly { readonly index: Index; readonly config: Config }[];
  /** Highest `timeMs` of any kept entry. */
  readonly lastTimeMs: number;
}

export interface LogDamage {
  readonly file: string;
  readonly offset: number;
  readonly reason: string;
  /** A snapshot that holds this entry makes the file superfluous. Absent: any new one does, or none is needed. */
  readonly coveredBy?: Index;
}

export interface LogStats {
  readonly segments: number;
  readonly logBytes: number;
  readonly snapshotBytes: number;
}

export interface SnapshotStore {
  /** Newest durable snapshot. */
  readonly latest: StoredSnapshot | null;
  /** Starts writing one; it counts only after `commit()`. */
  create(meta: SnapshotMeta): Promise<SnapshotWriter>;
  /** Reads a durable snapshot. It is kept until the returned reader is closed, even when newer ones arrive. */
  open(snapshot: StoredSnapshot): Promise<SnapshotReader>;
}

export interface StoredSnapshot {
  readonly meta: SnapshotMeta;
  /** Size of the content in bytes. */
  readonly sizeBytes: number;
  /** SHA-256 of the content, hex. */
  readonly digest: string;
}

export interface SnapshotWriter {
  /** Appends a chunk; resolves when the writer is ready for the next (back-pressure). */
  write(chunk: Uint8Array): Promise<void>;
  /**
   * fsync, verify, rename, fsync of the directory: when this resolves the snapshot is durable and `latest`.
   * With `expectedDigest` the content must have that SHA-256, otherwise it rejects with `SNAPSHOT_DAMAGED`.
   */
  commit(expectedDigest?: string): Promise<StoredSnapshot>;
  /** Drops what was written. */
  abort(): Promise<void>;
}

export interface SnapshotReader {
  readonly snapshot: StoredSnapshot;
  /** `maxBytes` of the content from `offset`, less only at the end. Checksums are verified. */
  read(offset: number, maxBytes: number): Promise<Uint8Array>;
  close(): Promise<void>;
}
