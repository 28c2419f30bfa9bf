import { randomFillSync } from 'node:crypto';
import { Limits } from '../../protocol/constants.ts';

/**
 * Hashes of names that nobody can prepare to collide: a sum of the name's 16-bit units, each multiplied by a secret
 * number of its place. For any two names chosen without knowing those numbers the upper halves of the sums agree with
 * a chance of at most 1 in 65,536, whatever the names are (Dietzfelbinger 1996, vector multiply-shift). A hash that
 * mixes word after word into one number has no such bound: with a secret seed alone, there are differences in one
 * word that a difference in the next one undoes for every seed.
 */
export class NameHash {
  /** One for the length, two for each word. */
  readonly #secrets: Int32Array = randomFillSync(new Int32Array(1 + Limits.maxStackNameBytes / 2));

  /** Of the bytes `[start, end)`: at most `Limits.maxStackNameBytes`. */
  of(source: DataView, start: number, end: number): number {
    const secrets = this.#secrets;
    let sum = Math.imul(end - start, secrets[0]!);
    for (let at = start, place = 1; at < end; at += 4, place += 2) {
      const word = at + 4 <= end ? source.getInt32(at, true) : lastBytes(source, at, end);
      sum += Math.imul(word & 0xffff, secrets[place]!) + Math.imul(word >>> 16, secrets[place + 1]!);
      sum |= 0;
    }
    // Tables are indexed by the lower bits; the upper ones are those that were promised.
    sum = Math.imul(sum ^ (sum >>> 16), 0x45d9f3b);
    return sum ^ (sum >>> 13);
  }
}

/** Fewer than four bytes as a word. */
function lastBytes(source: DataView, start: number, end: number): number {
  let word = 0;
  for (let at = start; at < end; at++) word = (word << 8) | source.getUint8(at);
  return word;
}
