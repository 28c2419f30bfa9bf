/** Cuts a stream of bytes into lines. Holds one unfinished line, and no more of it than `maxLineBytes`. */
export class LineSplitter {
  readonly #maxLineBytes: number;
  #pending: Buffer[] = [];
  #pendingBytes = 0;

  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes;
  }

  /**
   * The lines that `chunk` completes, without their line breaks; views on `chunk` where they lie within it.
   *
   * Throws `RangeError` when a line grows too long: what follows could not be told from its rest.
   */
  push(chunk: Buffer): Buffer[] {
    const lines: Buffer[] = [];
    let start = 0;
    for (;;) {
      const newline = chunk.indexOf(0x0a, start);
      if (newline === -1) break;
      lines.push(this.#complete(chunk.subarray(start, newline)));
      start = newline + 1;
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start));
    return lines;
  }

  /** The last line, if the stream did not end with a line break. */
  end(): Buffer | null {
    return this.#pendingBytes === 0 ? null : this.#complete(Buffer.alloc(0));
  }

  #complete(tail: Buffer): Buffer {
    if (this.#pendingBytes === 0) {
      this.#check(tail.length);
      return tail;
    }
    this.#keep(tail);
    const line = Buffer.concat(this.#pending);
    this.#pending = [];
    this.#pendingBytes = 0;
    return line;
  }

  #keep(part: Buffer): void {
    this.#check(this.#pendingBytes + part.length);
    this.#pending.push(part);
    this.#pendingBytes += part.length;
  }

  #check(bytes: number): void {
    if (bytes > this.#maxLineBytes) throw new RangeError(`a line is longer than ${this.#maxLineBytes} bytes`);
  }
}
