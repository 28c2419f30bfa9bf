import { readU32, writeU32 } from '../../protocol/byte-writer.ts';

/** A value carries who pushed it and the how-manieth it was, so that each one can be accounted for afterwards. */
const MIN_VALUE_BYTES = 12;

const MARK = 0xc0;

/** Writes the next value to push over the last one: `push` copies what it is given. */
export class ValueMaker {
  readonly bytes: Uint8Array;
  #next = 0;

  constructor(worker: number, valueBytes: number) {
    if (valueBytes < MIN_VALUE_BYTES) throw new RangeError(`values need ${MIN_VALUE_BYTES} bytes at least`);
    this.bytes = new Uint8Array(valueBytes).fill(MARK);
    writeU32(this.bytes, 0, worker);
  }

  /** How many were made. */
  get made(): number {
    return this.#next;
  }

  /** Makes the next value and returns its number. */
  next(): number {
    const number = this.#next++;
    writeU32(this.bytes, 4, number);
    writeU32(this.bytes, 8, ~number >>> 0);
    return number;
  }
}

export function workerOf(value: Uint8Array, at = 0): number {
  return readU32(value, at);
}

/** The number in a value; -1 if the bytes are not what was pushed. */
export function numberOf(value: Uint8Array, at = 0, end: number = value.length): number {
  if (end - at < MIN_VALUE_BYTES) return -1;
  const number = readU32(value, at + 4);
  if (readU32(value, at + 8) !== ~number >>> 0) return -1;
  return end - at > MIN_VALUE_BYTES && value[end - 1] !== MARK ? -1 : number;
}

/** A set of numbers from 0 up, a bit each. */
export class NumberSet {
  bits: Uint32Array;
  size = 0;

  constructor(bits: Uint32Array = new Uint32Array(1024), size = 0) {
    this.bits = bits;
    this.size = size;
  }

  has(number: number): boolean {
    return ((this.bits[number >>> 5] ?? 0) & (1 << (number & 31))) !== 0;
  }

  /** False if it was there already. */
  add(number: number): boolean {
    const word = number >>> 5;
    if (word >= this.bits.length) {
      const grown = new Uint32Array(Math.max(this.bits.length * 2, word + 1));
      grown.set(this.bits);
      this.bits = grown;
    }
    if (this.has(number)) return false;
    this.bits[word] = this.bits[word]! | (1 << (number & 31));
    this.size++;
    return true;
  }
}
