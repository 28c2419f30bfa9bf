import { readU32, readU64 } from '../../protocol/byte-writer.ts';
import { RECORD_HEADER_BYTES } from '../../protocol/constants.ts';
import { recordBytes } from '../../protocol/record.ts';
import { EntryKind, type Index } from '../core/types.ts';
import type { LogSlice, LogStore } from '../log/log-store.ts';
import type { ReplicatedState } from '../machine/replicated-state.ts';
import type { EntryCache } from './entry-cache.ts';
import type { Proposals } from './proposals.ts';
import type { Replies } from './replies.ts';

/** Applied in one turn at most, so that heartbeats and requests are never far behind. */
const MAX_TURN_BYTES = 4 << 20;
/** Small enough that applying begins soon: while one piece is applied the next is read. */
const READ_BYTES = 1 << 20;

export interface ApplierParts {
  readonly state: ReplicatedState;
  readonly cache: EntryCache;
  readonly log: LogStore;
  readonly proposals: Proposals;
  readonly replies: Replies;
}

export interface ApplierEvents {
  /** There is more to apply, or entries have come from disk: another turn is due. */
  more(): void;
  /** The entry at `index` has been applied. */
  applied(index: Index): void;
  failed(error: Error): void;
}

/** Applies committed entries, in order, from memory where they are there and from disk where not. */
export class Applier {
  readonly #state: ReplicatedState;
  readonly #cache: EntryCache;
  readonly #log: LogStore;
  readonly #proposals: Proposals;
  readonly #replies: Replies;
  readonly #events: ApplierEvents;
  #applied: Index;
  /** Records read from disk, not applied yet, from `#sliceAt` on. */
  #slice: Uint8Array | null = null;
  #sliceAt = 0;
  /** What follows it, read while it is applied. */
  #ahead: LogSlice | null = null;
  #reading = false;
  #generation = 0;
  #appliedBytes = 0;

  constructor(parts: ApplierParts, events: ApplierEvents) {
    this.#state = parts.state;
    this.#cache = parts.cache;
    this.#log = parts.log;
    this.#proposals = parts.proposals;
    this.#replies = parts.replies;
    this.#applied = parts.state.appliedIndex;
    this.#events = events;
  }

  get applied(): Index {
    return this.#applied;
  }

  /** Bytes of log applied since the node started; tells when a snapshot is due. */
  get appliedBytes(): number {
    return this.#appliedBytes;
  }

  /** Applies what is committed, as far as one turn allows. */
  advance(commit: Index): void {
    let bytes = 0;
    while (this.#applied < commit) {
      if (bytes >= MAX_TURN_BYTES) {
        this.#events.more();
        return;
      }
      const index = this.#applied + 1;
      if (this.#slice === null && this.#ahead !== null) this.#takeAhead(index, commit);
      if (this.#slice !== null) {
        bytes += this.#applyRecord(index, this.#slice, this.#sliceAt);
        this.#sliceAt += recordBytes(readU32(this.#slice, this.#sliceAt));
        if (this.#sliceAt >= this.#slice.length) this.#slice = null;
        continue;
      }
      const record = this.#cache.get(index);
      if (record === undefined) {
        this.#read(index, commit);
        return;
      }
      bytes += this.#applyRecord(index, record.slab.bytes, record.offset);
    }
  }

  /** A snapshot has replaced the state. */
  reset(applied: Index): void {
    this.#applied = applied;
    this.#slice = null;
    this.#ahead = null;
    this.#generation++;
  }

  /** The slice that has been read becomes the one that is applied, and the disk goes on with the next. */
  #takeAhead(index: Index, commit: Index): void {
    const { first, last, bytes } = this.#ahead!;
    this.#ahead = null;
    if (first !== index) return;
    this.#slice = bytes;
    this.#sliceAt = 0;
    if (last < commit && this.#cache.get(last + 1) === undefined) this.#read(last + 1, commit);
  }

  #applyRecord(index: Index, bytes: Uint8Array, at: number): number {
    const bodyBytes = readU32(bytes, at);
    const kind = bytes[at + 8]!;
    const meta = { index, timeMs: readU64(bytes, at + 32) };
    if (kind === EntryKind.batch) {
      const runs = this.#proposals.take(index);
      const body = at + RECORD_HEADER_BYTES;
      try {
        this.#state.applyBatch(bytes, body, body + bodyBytes, meta, runs);
      } finally {
        // After a failure, too: everyone in `runs` has been answered.
        for (const run of runs) if (run.sink !== null) this.#replies.touch(run.sink);
      }
    } else {
      this.#state.applyEmpty(meta);
    }
    this.#applied = index;
    this.#events.applied(index);
    this.#appliedBytes += RECORD_HEADER_BYTES + bodyBytes;
    return bodyBytes;
  }

  #read(from: Index, to: Index): void {
    if (this.#reading) return;
    this.#reading = true;
    const generation = this.#generation;
    // What memory holds need not be on disk yet.
    this.#log.read(from, Math.min(to, this.#cache.first - 1), READ_BYTES).then(
      (slice) => {
        this.#reading = false;
        if (generation === this.#generation) this.#ahead = slice;
        this.#events.more();
      },
      (error: unknown) => {
        this.#reading = false;
        // A snapshot that came meanwhile may have taken the place of what was to be read.
        if (generation === this.#generation) this.#events.failed(error as Error);
        else this.#events.more();
      },
    );
  }
}
