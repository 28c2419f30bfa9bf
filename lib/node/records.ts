import { copyBytes } from '../../protocol/byte-writer.ts';
import { encodeConfig } from '../../protocol/config-codec.ts';
import { RECORD_HEADER_BYTES } from '../../protocol/constants.ts';
import { crcOf, readRecordHeader, recordBytes, writeRecordHeader } from '../../protocol/record.ts';
import type { CreatedEntry, Persist } from '../core/effects.ts';
import { EntryKind, type Append, type Index, type Term } from '../core/types.ts';
import type { LogStore } from '../log/log-store.ts';
import type { Batch } from './batcher.ts';
import type { ClusterClock } from './cluster-clock.ts';
import { EntryCache } from './entry-cache.ts';
import { SlabArena } from './slab-arena.ts';

/** Room for four full batches with their headers. */
const SLAB_BYTES = (4 << 20) + 4096;
/**
 * Newest records kept in memory for followers that are a little behind; others get theirs from the disk. Kept small: the
 * memory that records pass through goes round, and the less it is the more of it the processor's caches hold.
 */
const CACHE_BYTES = 4 << 20;

/**
 * The records of the log's newest entries in memory: laid out once, and read from there by the log thread, by the
 * followers' sockets and by the machine.
 */
export class Records {
  readonly cache: EntryCache;
  /** For the batcher alone: an open batch always is the last thing in it. */
  readonly batchArena: SlabArena = new SlabArena(SLAB_BYTES);
  /** Records that came from a leader or that the core made. */
  readonly #recordArena = new SlabArena(SLAB_BYTES);
  /** The log has read what was written with this ticket and before. */
  durableTicket = 0;
  readonly #clock: ClusterClock;

  /** `next`: index of the first entry to come. */
  constructor(next: Index, clock: ClusterClock) {
    this.cache = new EntryCache(next);
    this.#clock = clock;
  }

  /** Bytes that must stay in memory, beyond what is kept there anyway: this node's disk or machine is behind with them. */
  get pinnedBytes(): number {
    return Math.max(0, this.cache.bytes - CACHE_BYTES);
  }

  /** Completes the record of a batch that has got its place in the log. */
  seal(batch: Batch, index: Index, term: Term): void {
    const { slab, offset, bodyBytes } = batch;
    const body = offset + RECORD_HEADER_BYTES;
    writeRecordHeader(slab.bytes, offset, {
      kind: EntryKind.batch,
      term,
      index,
      timeMs: this.#clock.stamp(),
      bodyBytes,
      bodyCrc: crcOf(slab.bytes, body, body + bodyBytes),
    });
    this.cache.add(index, { slab, arena: this.batchArena, offset, length: recordBytes(bodyBytes) });
  }

  /** Lays out the records of entries that the core made by itself. */
  layCreated(created: readonly CreatedEntry[]): void {
    for (const entry of created) {
      const body = entry.config === null ? empty : encodeConfig(entry.config);
      const length = recordBytes(body.length);
      const slab = this.#recordArena.reserve(length);
      const offset = slab.used;
      slab.used += length;
      slab.bytes.fill(0, offset, offset + length);
      slab.bytes.set(body, offset + RECORD_HEADER_BYTES);
      writeRecordHeader(slab.bytes, offset, {
        kind: entry.kind,
        term: entry.term,
        index: entry.index,
        timeMs: this.#clock.stamp(),
        bodyBytes: body.length,
        bodyCrc: crcOf(body, 0, body.length),
      });
      this.cache.add(entry.index, { slab, arena: this.#recordArena, offset, length });
    }
  }

  /**
   * Copies the records `first … message.last` out of the frame they came in, where they begin at `recordsAt`: their
   * only copy on this node. What the cache has from `first` on is replaced.
   */
  keep(message: Append, first: Index, bytes: Uint8Array, recordsAt: number): void {
    this.cache.truncateFrom(first);
    let at = recordsAt;
    let timeMs = 0;
    for (let index = message.prevIndex + 1; index <= message.last; index++) {
      const length = message.entries[index - message.prevIndex - 1]!.sizeBytes;
      if (index >= first) {
        const slab = this.#recordArena.reserve(length);
        const offset = slab.used;
        slab.used += length;
        copyBytes(bytes, at, at + length, slab.bytes, offset);
        this.cache.add(index, { slab, arena: this.#recordArena, offset, length });
        const header = readRecordHeader(slab.bytes, offset);
        if (header !== null) timeMs = Math.max(timeMs, header.timeMs);
      }
      at += length;
    }
    this.#clock.observe(timeMs);
  }

  /** Hands to the log what is to be persisted. Its records are being read from here until it is durable. */
  write({ ticket, hardState, resetTo, first, last }: Persist, log: LogStore): void {
    const records = first === 0 ? [] : this.cache.views(first, last);
    this.batchArena.writing(ticket);
    this.#recordArena.writing(ticket);
    log.append({
      ticket,
      hardState,
      resetTo: resetTo === null ? null : { index: resetTo.index, term: resetTo.term },
      first,
      last,
      records,
    });
  }

  /** Drops records that nobody needs in memory: at or below `safe` they are applied and durable. */
  evict(safe: Index): void {
    if (this.cache.bytes > CACHE_BYTES) this.cache.evict(safe, CACHE_BYTES);
  }

  /** No socket is reading from any record released before now. */
  drained(): void {
    this.batchArena.drained(this.durableTicket);
    this.#recordArena.drained(this.durableTicket);
  }
}

const empty = new Uint8Array(0);
