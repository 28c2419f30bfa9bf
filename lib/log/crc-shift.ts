/**
 * Checksums of joined bytes out of the checksums of the parts: `crc(a + b) = shift(crc(a), length of b) ^ crc(b)`, as
 * zlib's `crc32_combine`. CRC-32 is a remainder modulo a polynomial; to shift is to multiply by a power of x. Bits are
 * reflected: bit 31 is x⁰.
 */
const POLYNOMIAL = 0xedb88320;

/** What leaves a checksum as it is: x⁰. */
export const NO_SHIFT = 0x80000000;

/** `a * b` modulo the polynomial: applies the shift `b` to the checksum (or to the shift) `a`. */
export function shiftBy(a: number, b: number): number {
  let product = 0;
  let factor = b;
  for (let bit = NO_SHIFT; bit !== 0; bit >>>= 1) {
    if ((a & bit) !== 0) product ^= factor;
    factor = (factor & 1) === 1 ? (factor >>> 1) ^ POLYNOMIAL : factor >>> 1;
  }
  return product >>> 0;
}

/** Shifts by any number of pieces of one size. */
export class CrcShift {
  /** By 1, 2, 4, … pieces. */
  readonly #powers: number[] = [];

  constructor(pieceBytes: number) {
    let power = NO_SHIFT;
    for (let byte = 0; byte < pieceBytes; byte++) power = shiftBy(power, NO_SHIFT >>> 8);
    for (let i = 0; i < 32; i++) {
      this.#powers.push(power);
      power = shiftBy(power, power);
    }
  }

  /** The shift by `pieces` of them. */
  of(pieces: number): number {
    let shift = NO_SHIFT;
    for (let left = pieces, i = 0; left > 0; left >>>= 1, i++)
      if ((left & 1) === 1) shift = shiftBy(shift, this.#powers[i]!);
    return shift;
  }
}
