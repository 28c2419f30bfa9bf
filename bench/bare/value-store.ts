import { copyBytes, readU32 } from '../../protocol/byte-writer.ts';
import { REQUEST_HEADER_BYTES } from './format.ts';

const SLAB_BYTES = 1 << 20;
const MAX_SLABS = 64;
const MAX_VALUES = 1 << 20;

/** The cheapest state that still keeps what is pushed: whole runs copied into slabs, and where each value begins. */
export class ValueStore {
  #slabs: Buffer[] = [];
  #slab: Buffer = Buffer.alloc(0);
  #used = 0;
  readonly #slabOf = new Uint32Array(MAX_VALUES);
  readonly #startOf = new Uint32Array(MAX_VALUES);
  readonly #bytesOf = new Uint32Array(MAX_VALUES);
  #values = 0;

  /** Takes a run of whole requests. Returns how many there were. */
  push(bytes: Uint8Array, start: number, end: number): number {
    const length = end - start;
    if (this.#used + length > this.#slab.length) this.#nextSlab(length);
    copyBytes(bytes, start, end, this.#slab, this.#used);
    const shift = this.#used - start;
    this.#used += length;
    let count = 0;
    for (let at = start; at < end; count++) {
      const requestBytes = readU32(bytes, at) + 4;
      const i = this.#values++ & (MAX_VALUES - 1);
      this.#slabOf[i] = this.#slabs.length - 1;
      this.#startOf[i] = at + shift + REQUEST_HEADER_BYTES;
      this.#bytesOf[i] = requestBytes - REQUEST_HEADER_BYTES;
      at += requestBytes;
    }
    return count;
  }

  #nextSlab(length: number): void {
    // It forgets: this measures the way in, not how much fits.
    if (this.#slabs.length === MAX_SLABS) this.#slabs = [];
    this.#slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, length));
    this.#slabs.push(this.#slab);
    this.#used = 0;
  }
}
