import type { Config, EntryKind, HardState, Index, Message, NodeId, SnapshotMeta, Term } from './types.ts';

export interface Outgoing {
  readonly to: NodeId;
  readonly message: Message;
}

/** An entry the core appended by itself; the driver lays out its record before anything else of the same drain. */
export interface CreatedEntry {
  readonly index: Index;
  readonly term: Term;
  readonly kind: EntryKind;
  readonly config: Config | null;
}

/** One write for the log lane. `durable(ticket)` reports it. */
export interface Persist {
  readonly ticket: number;
  readonly hardState: HardState | null;
  readonly resetTo: SnapshotMeta | null;
  /** Entries to write, `first … last`; `first` 0: none. At or below an earlier last index: the tail is replaced. */
  readonly first: Index;
  readonly last: Index;
}

export interface ConfirmedRead {
  readonly token: number;
  /** Serve the read once this index is applied. */
  readonly index: Index;
}

/** What the driver must do now. The object is reused: valid until the next `drain`. */
export interface Effects {
  /** Entries that have no record yet. */
  created: readonly CreatedEntry[];
  /** Messages that may leave now; none of them depends on anything that is not durable. */
  messages: readonly Outgoing[];
  persist: Persist | null;
  /** Reads whose index is known. */
  reads: readonly ConfirmedRead[];
  /** Reads that must be asked again, or failed: the leader changed or none is known. */
  failedReads: readonly number[];
  /** Peers that need a snapshot: their next entry is compacted away. */
  snapshots: readonly NodeId[];
  /** When to call `tick` next at the latest (on the clock given to the core). */
  nextDeadlineMs: number;
}
