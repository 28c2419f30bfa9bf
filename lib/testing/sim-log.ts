import { readRecordHeader, recordBytes } from '../../protocol/record.ts';
import { readU32 } from '../../protocol/byte-writer.ts';
import { decodeConfig } from '../../protocol/config-codec.ts';
import { RECORD_HEADER_BYTES } from '../../protocol/constants.ts';
import { EntryKind, type HardState, type Index } from '../core/types.ts';
import type {
  LogEvents,
  LogSlice,
  LogStats,
  LogStore,
  LogWrite,
  Recovery,
  SnapshotStore,
} from '../log/log-store.ts';
import type { CheckedDisk } from './core-checker.ts';
import { ModelLog, type ModelEntry } from './model-log.ts';

interface ModelWrite {
  readonly ticket: number;
  readonly hardState: HardState | null;
  readonly resetTo: { readonly index: Index; readonly term: number } | null;
  readonly first: Index;
  readonly entries: readonly ModelEntry[];
}

export interface SimLogEvents extends LogEvents {
  /** An entry becomes part of the node's log. */
  onEntry(entry: ModelEntry, prevTerm: number): void;
}

/**
 * A `LogStore` that is watched: beside the real one it keeps what the node believes its log to be, and what is durable
 * by the real one's own word, entry by entry.
 */
export class SimLog implements LogStore, CheckedDisk {
  readonly #store: LogStore;
  readonly #events: SimLogEvents;
  /** What the node believes. */
  readonly log: ModelLog;
  /** What is durable. */
  readonly durable: ModelLog = new ModelLog();
  hardState: HardState;
  #lane: ModelWrite[] = [];

  /** `identify` says which entry (index, term) is. */
  constructor(
    open: (events: LogEvents) => LogStore,
    events: SimLogEvents,
    identify: (index: Index, term: number) => number,
  ) {
    this.#events = events;
    this.#store = open({
      ...events,
      onDurable: (ticket, forMs) => {
        this.#becameDurable(ticket);
        events.onDurable(ticket, forMs);
      },
      onFailure: (error) => {
        events.onFailure(error);
      },
    });
    const { recovery } = this.#store;
    this.hardState = recovery.hardState;
    const { durable } = this;
    // Of a damaged log only what the snapshot holds is gone by.
    const whole = recovery.damage === null;
    const { index = 0, term = 0 } = recovery.snapshot ?? {};
    durable.reset(whole ? recovery.prevIndex : index, whole ? recovery.prevTerm : term);
    let run = 0;
    for (let index = recovery.prevIndex + 1; whole && index <= recovery.lastIndex; index++) {
      while (run + 1 < recovery.termRuns.length && recovery.termRuns[run + 1]!.first <= index) run++;
      const entryTerm = recovery.termRuns[run]!.term;
      const config = recovery.configs.find((c) => c.index === index)?.config ?? null;
      durable.append({
        index,
        term: entryTerm,
        kind: config ? EntryKind.config : EntryKind.batch,
        id: identify(index, entryTerm),
        sizeBytes: recovery.sizes[index - recovery.prevIndex - 1]!,
        config,
      });
    }
    this.log = new ModelLog();
    this.log.reset(durable.prevIndex, durable.prevTerm);
    this.log.entries = [...durable.entries];
  }

  get recovery(): Recovery {
    return this.#store.recovery;
  }

  get snapshots(): SnapshotStore {
    return this.#store.snapshots;
  }

  get stats(): LogStats {
    return this.#store.stats;
  }

  get lastIndex(): Index {
    return Math.max(this.durable.lastIndex, this.#snapshotIndex);
  }

  holds(index: Index, id: number): boolean {
    return this.#snapshotIndex >= index || this.durable.get(index)?.id === id;
  }

  append(write: LogWrite): void {
    const { log } = this;
    if (write.resetTo) log.reset(write.resetTo.index, write.resetTo.term);
    const entries = entriesOf(write.records);
    if (write.first > 0) log.truncateFrom(write.first);
    for (const entry of entries) {
      this.#events.onEntry(entry, log.lastTerm);
      log.append(entry);
    }
    const { ticket, hardState, resetTo, first } = write;
    this.#lane.push({ ticket, hardState, resetTo, first, entries });
    this.#store.append(write);
  }

  poll(): void {
    this.#store.poll();
  }

  announce(wanted: boolean): void {
    this.#store.announce(wanted);
  }

  read(from: Index, to: Index, maxBytes: number): Promise<LogSlice> {
    return this.#store.read(from, to, maxBytes);
  }

  compact(through: Index): void {
    this.log.compactTo(Math.min(through, this.log.lastIndex));
    this.#store.compact(through);
  }

  setQuarantine(reason: string | null): Promise<void> {
    return this.#store.setQuarantine(reason);
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  get #snapshotIndex(): Index {
    return this.snapshots.latest?.meta.index ?? 0;
  }

  #becameDurable(ticket: number): void {
    const { durable } = this;
    while (this.#lane.length > 0 && this.#lane[0]!.ticket <= ticket) {
      const write = this.#lane.shift()!;
      if (write.hardState) this.hardState = write.hardState;
      if (write.resetTo) durable.reset(write.resetTo.index, write.resetTo.term);
      if (write.first > 0) durable.truncateFrom(write.first);
      for (const entry of write.entries) durable.append(entry);
    }
  }
}

/** The entries whose records lie in `parts`, back to back. What tells entries apart is the checksum of their header. */
function entriesOf(parts: readonly Uint8Array[]): ModelEntry[] {
  const entries: ModelEntry[] = [];
  const bytes = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  for (let at = 0; at < bytes.length;) {
    const header = readRecordHeader(bytes, at);
    if (header === null) throw new Error('a record that does not verify is written to the log');
    const { index, term, kind, bodyBytes } = header;
    const body = at + RECORD_HEADER_BYTES;
    entries.push({
      index,
      term,
      kind,
      id: readU32(bytes, at + 4),
      sizeBytes: recordBytes(bodyBytes),
      config: kind === EntryKind.config ? decodeConfig(bytes.subarray(body, body + bodyBytes)) : null,
    });
    at += recordBytes(bodyBytes);
  }
  return entries;
}
