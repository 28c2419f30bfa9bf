/**
 * Shows a machine its bytes as what they are declared to be. A Buffer is a `Uint8Array` too, but its `slice` copies
 * nothing: a machine that kept one would see its state change with whatever comes next through the same memory.
 */
export class PlainBytes {
  #bytes: Uint8Array | null = null;
  #plain: Uint8Array = new Uint8Array(0);

  /** The same bytes at the same places; made anew only for another buffer than the last one. */
  of(bytes: Uint8Array): Uint8Array {
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#plain = Buffer.isBuffer(bytes)
        ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
        : bytes;
    }
    return this.#plain;
  }
}
