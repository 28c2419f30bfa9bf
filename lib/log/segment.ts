import type { Index } from '../core/types.ts';
import { SEGMENT_HEADER_BYTES, segmentName } from './segment-format.ts';
import type { SegmentHeader } from './segment-format.ts';

/** What is known of one segment file: where its live entries lie, and how far it is written. */
export class Segment {
  readonly header: SegmentHeader;
  readonly path: string;
  /** Where the next block goes. */
  writeOffset: number = SEGMENT_HEADER_BYTES;
  /** Length of the file: up to here its blocks are allocated, and overwriting them costs no metadata. */
  fileBytes = 0;
  /** Index of the first live entry; meaningless while there are none. */
  first: Index = 0;
  #offsets: Uint32Array = new Uint32Array(16);
  #sizes: Uint32Array = new Uint32Array(16);
  #count = 0;

  constructor(directory: string, header: SegmentHeader) {
    this.header = header;
    this.path = `${directory}/${segmentName(header.sequence)}`;
  }

  get count(): number {
    return this.#count;
  }

  push(index: Index, offset: number, size: number): void {
    if (this.#count === 0) this.first = index;
    if (this.#count === this.#offsets.length) {
      this.#offsets = grow(this.#offsets);
      this.#sizes = grow(this.#sizes);
    }
    this.#offsets[this.#count] = offset;
    this.#sizes[this.#count] = size;
    this.#count++;
  }

  /** Forgets live entries from `index` on; their bytes stay where they are. */
  truncateFrom(index: Index): void {
    if (this.#count > 0 && index < this.first + this.#count) this.#count = Math.max(0, index - this.first);
  }

  has(index: Index): boolean {
    return this.#count > 0 && index >= this.first && index < this.first + this.#count;
  }

  offsetOf(index: Index): number {
    return this.#offsets[index - this.first]!;
  }

  sizeOf(index: Index): number {
    return this.#sizes[index - this.first]!;
  }
}

function grow(list: Uint32Array): Uint32Array {
  const grown = new Uint32Array(list.length * 2);
  grown.set(list);
  return grown;
}
