import { copyBytes, type ByteWriter } from '../../protocol/byte-writer.ts';
import { RECORD_HEADER_BYTES } from '../../protocol/constants.ts';
import { recordBytes } from '../../protocol/record.ts';
import type { Sink } from './sink.ts';
import type { Slab, SlabArena } from './slab-arena.ts';

/**
 * A stretch of a batch whose answers go to one sink. `end` counts from the start of the batch's body. Once the sink is
 * gone both `sink` and `out` are null.
 */
export interface Run {
  end: number;
  sink: Sink | null;
  out: ByteWriter | null;
}

/** Client frames that will be one log entry: room for a record header, then the frames as they came. */
export interface Batch {
  readonly slab: Slab;
  /** Where the record begins in the slab. */
  readonly offset: number;
  bodyBytes: number;
  readonly runs: Run[];
}

/**
 * Collects what clients send into batches. A batch is sealed when the pipeline has room for it, not by a timer:
 * whatever queues up while the disk and the network are busy becomes the next entry by itself.
 */
export class Batcher {
  readonly #arena: SlabArena;
  readonly #maxBatchBytes: number;
  #open: Batch | null = null;
  #full: Batch[] = [];
  #queuedBytes = 0;

  constructor(arena: SlabArena, maxBatchBytes: number) {
    this.#arena = arena;
    this.#maxBatchBytes = maxBatchBytes;
  }

  /** Bytes of commands that wait for a place in the log. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Whether a whole batch is waiting, beyond the one that still grows. */
  get hasFull(): boolean {
    return this.#full.length > 0;
  }

  /** Copies whole frames: the only time their bytes are copied on their way into the log. */
  add(bytes: Uint8Array, start: number, end: number, sink: Sink): void {
    const length = end - start;
    let batch = this.#open;
    if (batch !== null && batch.bodyBytes + length > this.#maxBatchBytes) {
      this.#close(batch);
      batch = null;
    }
    batch = batch === null ? this.#begin(length) : this.#makeRoom(batch, length);
    copyBytes(bytes, start, end, batch.slab.bytes, batch.offset + RECORD_HEADER_BYTES + batch.bodyBytes);
    batch.bodyBytes += length;
    this.#queuedBytes += length;
    const last = batch.runs.at(-1);
    if (last?.sink === sink) last.end = batch.bodyBytes;
    else batch.runs.push({ end: batch.bodyBytes, sink, out: sink.out });
  }

  /**
   * The next batch to propose, its place in the slab made final. The caller writes the header and must add the
   * record to the cache (or release the slab) before it takes another.
   */
  take(): Batch | null {
    if (this.#full.length === 0 && this.#open !== null) this.#close(this.#open);
    const batch = this.#full.shift();
    if (batch === undefined) return null;
    this.#queuedBytes -= batch.bodyBytes;
    return batch;
  }

  /** A taken batch is in the cache, or will never be: its slab is not held on its account any more. */
  done(batch: Batch): void {
    this.#arena.release(batch.slab);
  }

  /** The sink takes no more answers. */
  detach(sink: Sink): void {
    for (const batch of this.#open ? [...this.#full, this.#open] : this.#full) detachRuns(batch.runs, sink);
  }

  #begin(length: number): Batch {
    const slab = this.#arena.reserve(recordBytes(length));
    slab.live++;
    const batch: Batch = { slab, offset: slab.used, bodyBytes: 0, runs: [] };
    this.#open = batch;
    return batch;
  }

  /** The open batch is always the last thing in its slab; where it does not fit it moves on to the next. */
  #makeRoom(batch: Batch, length: number): Batch {
    const needed = recordBytes(batch.bodyBytes + length);
    if (batch.offset + needed <= batch.slab.bytes.length) return batch;
    // As large as it may ever get, so that it moves once.
    const slab = this.#arena.reserve(recordBytes(Math.max(this.#maxBatchBytes, batch.bodyBytes + length)));
    slab.live++;
    const from = batch.offset + RECORD_HEADER_BYTES;
    const to = slab.used + RECORD_HEADER_BYTES;
    batch.slab.bytes.copy(slab.bytes, to, from, from + batch.bodyBytes);
    this.#arena.release(batch.slab);
    this.#open = { slab, offset: slab.used, bodyBytes: batch.bodyBytes, runs: batch.runs };
    return this.#open;
  }

  #close(batch: Batch): void {
    const size = recordBytes(batch.bodyBytes);
    batch.slab.bytes.fill(0, batch.offset + RECORD_HEADER_BYTES + batch.bodyBytes, batch.offset + size);
    batch.slab.used = batch.offset + size;
    this.#full.push(batch);
    this.#open = null;
  }
}

/** Takes `sink` out of `runs`: its answers go nowhere. */
export function detachRuns(runs: readonly Run[], sink: Sink): void {
  for (const run of runs) {
    if (run.sink !== sink) continue;
    run.sink = null;
    run.out = null;
  }
}
