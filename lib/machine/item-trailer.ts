/** Bytes an item of `length` bytes takes in a stack: the value, and its length behind it. */
export function itemBytes(length: number): number {
  return length + trailerBytes(length);
}

/** Bytes of the length trailer behind a value of `length` bytes. */
export function trailerBytes(length: number): number {
  return length < 0x80 ? 1 : length < 0x4000 ? 2 : length < 0x200000 ? 3 : length < 0x10000000 ? 4 : 5;
}

/** Writes the trailer of `length` to `target` and returns its size. */
export function writeTrailer(target: Uint8Array, length: number): number {
  const size = trailerBytes(length);
  let rest = length;
  // The byte read first stands last; every byte but the outermost says that another stands before it.
  for (let i = size - 1; i > 0; i--) {
    target[i] = (rest & 0x7f) | 0x80;
    rest = Math.floor(rest / 128);
  }
  target[0] = rest;
  return size;
}
