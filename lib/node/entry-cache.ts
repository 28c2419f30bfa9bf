import type { Index } from '../core/types.ts';
import type { Slab, SlabArena } from './slab-arena.ts';

/** One record in memory: `slab.bytes[offset, offset + length)`. */
export interface CachedRecord {
  readonly slab: Slab;
  readonly arena: SlabArena;
  readonly offset: number;
  readonly length: number;
}

/**
 * The newest records of the log, by index, without gaps: what is being written, sent and applied. Older ones come
 * back from disk when someone needs them.
 */
export class EntryCache {
  #records: (CachedRecord | undefined)[] = [];
  /** Position in `#records` of the first live one; what stood before it is undefined. */
  #head = 0;
  #first: Index;
  #bytes = 0;

  /** `next`: index of the first record that will be added. */
  constructor(next: Index) {
    this.#first = next;
  }

  /** Index of the oldest cached record (or of the next to come, if there is none). */
  get first(): Index {
    return this.#first;
  }

  get last(): Index {
    return this.#first + this.#records.length - this.#head - 1;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Adds the record behind the last one and keeps its slab alive. */
  add(index: Index, record: CachedRecord): void {
    if (index !== this.last + 1) throw new RangeError(`record ${index} behind ${this.last}`);
    record.slab.live++;
    this.#records.push(record);
    this.#bytes += record.length;
  }

  get(index: Index): CachedRecord | undefined {
    return index < this.#first ? undefined : this.#records[this.#head + index - this.#first];
  }

  /** The records `first … last`, all of them cached, as few views as possible. */
  views(first: Index, last: Index): Uint8Array[] {
    const views: Uint8Array[] = [];
    let run: CachedRecord | null = null;
    let end = 0;
    for (let index = first; index <= last; index++) {
      const record = this.get(index)!;
      if (run !== null && record.slab === run.slab && record.offset === end) {
        end += record.length;
        continue;
      }
      if (run !== null) views.push(run.slab.bytes.subarray(run.offset, end));
      run = record;
      end = record.offset + record.length;
    }
    if (run !== null) views.push(run.slab.bytes.subarray(run.offset, end));
    return views;
  }

  /** Drops `index` and everything behind it. */
  truncateFrom(index: Index): void {
    while (this.last >= index && this.#records.length > this.#head) this.#release(this.#records.pop()!);
    if (index < this.#first) this.#first = index;
  }

  /** Drops records from the front up to and including `through`, as long as more than `keepBytes` are held. */
  evict(through: Index, keepBytes: number): void {
    while (this.#first <= through && this.#bytes > keepBytes && this.#records.length > this.#head) {
      this.#release(this.#records[this.#head]!);
      // Not only left behind: a record keeps its slab from the garbage collector, and with entries of some megabytes a
      // thousand of them are gigabytes.
      this.#records[this.#head] = undefined;
      this.#head++;
      this.#first++;
    }
    if (this.#head > 1024 && this.#head * 2 > this.#records.length) {
      this.#records.splice(0, this.#head);
      this.#head = 0;
    }
  }

  /** Drops everything; the next record will be `next`. */
  reset(next: Index): void {
    for (let i = this.#head; i < this.#records.length; i++) this.#release(this.#records[i]!);
    this.#records = [];
    this.#head = 0;
    this.#first = next;
  }

  #release(record: CachedRecord): void {
    this.#bytes -= record.length;
    record.arena.release(record.slab);
  }
}
