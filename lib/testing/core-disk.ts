import type { ConfigAt } from '../core/config-stack.ts';
import type { Random } from '../core/random.ts';
import type { CoreInit } from '../core/state.ts';
import type { Config, HardState, Index, SnapshotMeta, Term } from '../core/types.ts';
import { ModelLog, type ModelEntry } from './model-log.ts';

export interface ModelWrite {
  readonly ticket: number;
  readonly hardState: HardState | null;
  readonly resetTo: { readonly index: Index; readonly term: Term } | null;
  readonly first: Index;
  readonly entries: readonly ModelEntry[];
}

/**
 * The disk of a core: what is durable, and an ordered lane of writes under way. A crash keeps a prefix of the lane,
 * which may end within a write (hard state first, then some of its entries).
 */
export class CoreDisk {
  hardState: HardState = { term: 0, vote: 0 };
  readonly log: ModelLog = new ModelLog();
  snapshot: SnapshotMeta | null = null;
  /**
   * Something of the log was lost behind the node's back, and is not there again: `hole`, the log takes nothing but a
   * restart behind the snapshot; `short`, it is whole, but not all of it.
   */
  damage: 'hole' | 'short' | null = null;
  #lane: ModelWrite[] = [];

  submit(write: ModelWrite): void {
    this.#lane.push(write);
  }

  get pending(): number {
    return this.#lane.length;
  }

  /** The oldest write under way reaches the disk. Returns its ticket. */
  complete(): number {
    const write = this.#lane.shift()!;
    this.#apply(write, write.entries.length);
    return write.ticket;
  }

  crash(random: Random): void {
    let keep = Math.floor(random.next() * (this.#lane.length + 1));
    for (const write of this.#lane) {
      if (keep-- > 0) {
        this.#apply(write, write.entries.length);
        continue;
      }
      // The write that was interrupted. Without its reset nothing behind that may count.
      if (random.next() < 0.5) this.#apply(write, Math.floor(random.next() * write.entries.length));
      break;
    }
    this.#lane = [];
  }

  /** A crash that keeps none of the writes under way. */
  loseWrites(): void {
    this.#lane = [];
  }

  /** What was durable rots away, from a random entry on. The node must be down. */
  rot(random: Random): void {
    const { log } = this;
    const keep = Math.floor(random.next() * (log.entries.length + 1));
    this.damage = random.next() < 0.5 ? 'hole' : 'short';
    if (this.damage === 'short') log.truncateFrom(log.prevIndex + keep + 1);
    else log.reset(this.snapshot?.index ?? 0, this.snapshot?.term ?? 0);
  }

  storeSnapshot(snapshot: SnapshotMeta): void {
    if (!this.snapshot || snapshot.index > this.snapshot.index) this.snapshot = snapshot;
  }

  /** Whether the entry `id` at `index` would survive a crash now, in the log or within a snapshot. */
  holds(index: Index, id: number): boolean {
    // A log that contradicts the snapshot is emptied at the next start: the snapshot counts.
    return (this.snapshot?.index ?? 0) >= index || this.log.get(index)?.id === id;
  }

  /** Highest index that would survive a crash now. */
  get lastIndex(): Index {
    return Math.max(this.log.lastIndex, this.snapshot?.index ?? 0);
  }

  /** What a start finds. A log that does not lead up to the snapshot is emptied behind it. */
  recover(bootstrap: Config, nowMs: number): CoreInit {
    const { log } = this;
    const meta = this.snapshot;
    if (meta && log.termAt(meta.index) !== meta.term) log.reset(meta.index, meta.term);
    const configs: ConfigAt[] = [];
    const termRuns: { first: Index; term: Term }[] = [];
    for (const e of log.entries) {
      if (termRuns.at(-1)?.term !== e.term) termRuns.push({ first: e.index, term: e.term });
      if (e.config) configs.push({ index: e.index, config: e.config });
    }
    return {
      hardState: this.hardState,
      snapshot: meta,
      prevIndex: log.prevIndex,
      prevTerm: log.prevTerm,
      termRuns,
      lastIndex: log.lastIndex,
      sizes: log.entries.map((e) => e.sizeBytes),
      configs,
      bootstrap,
      nowMs,
    };
  }

  #apply(write: ModelWrite, entries: number): void {
    if (write.hardState) this.hardState = write.hardState;
    if (write.resetTo) {
      this.log.reset(write.resetTo.index, write.resetTo.term);
      if (this.damage === 'hole') this.damage = 'short';
    }
    for (let i = 0; i < entries; i++) {
      const entry = write.entries[i]!;
      // Compacted away while it was on its way.
      if (entry.index <= this.log.prevIndex) continue;
      if (i === 0 || entry.index === this.log.prevIndex + 1) this.log.truncateFrom(entry.index);
      this.log.append(entry);
    }
  }
}
