/** Cuts a stream of bytes into lines. Holds one unfinished line, and no more of it than `maxLineBytes`. */
export class LineSplitter {
  readonly #maxLineBytes: number;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #overlong = false;

  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes;
  }

  /** A line was too long. No more lines come: what follows could not be told from its rest. */
  get overlong(): boolean {
    return this.#overlong;
  }

  /** The lines that `chunk` completes, without their line breaks; views on `chunk` where they lie within it. */
  push(chunk: Buffer): Buffer[] {
    const lines: Buffer[] = [];
    let start = 0;
    while (!this.#overlong) {
      const newline = chunk.indexOf(0x0a, start);
      const end = newline === -1 ? chunk.length : newline;
      if (this.#pendingBytes + end - start > this.#maxLineBytes) {
        this.#overlong = true;
        this.#pending = [];
      } else if (newline === -1) {
        this.#keep(chunk.subarray(start));
        break;
      } else lines.push(this.#complete(chunk.subarray(start, end)));
      start = end + 1;
    }
    return lines;
  }

  /** The last line, if the stream did not end with a line break. */
  end(): Buffer | null {
    return this.#overlong || this.#pendingBytes === 0 ? null : this.#complete(Buffer.alloc(0));
  }

  #complete(tail: Buffer): Buffer {
    if (this.#pendingBytes === 0) return tail;
    this.#keep(tail);
    const line = Buffer.concat(this.#pending);
    this.#pending = [];
    this.#pendingBytes = 0;
    return line;
  }

  #keep(part: Buffer): void {
    if (part.length === 0) return;
    this.#pending.push(part);
    this.#pendingBytes += part.length;
  }
}
