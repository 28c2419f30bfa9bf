import { write, writeSync } from 'node:fs';

const RETRY_MS = 100;
const NOTHING = Buffer.alloc(0);

/**
 * Lines for a file, a device or a terminal. Another thread writes them: a slow disk does not stop the node.
 *
 * pino's own destination does that too, but at the end of the process it tries to write what is left again and again,
 * and blocks everything meanwhile: on a full disk, or where the terminal is gone, the process would never end.
 */
export class FileLog {
  readonly #fd: number;
  readonly #maxBytes: number;
  #lines: string[] = [];
  /** Has left the lines for the file, and is not all there yet. */
  #batch: Buffer = NOTHING;
  #bytes = 0;
  #writing = false;
  #stuck = false;
  #onRest: () => void = () => {};

  /** @param maxBytes lines that would be more than this, with those that wait, are dropped */
  constructor(fd: number, maxBytes: number) {
    this.#fd = fd;
    this.#maxBytes = maxBytes;
    // An exception that nobody catches ends the process without asking anybody.
    process.on('exit', () => this.flush());
  }

  write(line: string): void {
    const bytes = Buffer.byteLength(line);
    if (this.#bytes + bytes > this.#maxBytes) return;
    this.#bytes += bytes;
    this.#lines.push(line);
    // What could not be written goes first: the disk may have room again.
    if (!this.#writing) this.#next();
  }

  /** Writes what waits, once: what cannot be written now never will be. */
  flush(): void {
    // A write that does not come back from the other thread would not come back from this one.
    if (this.#stuck) return;
    const rest = [this.#writing ? NOTHING : this.#batch, Buffer.from(this.#lines.join(''))];
    this.#lines = [];
    if (!this.#writing) this.#batch = NOTHING;
    this.#bytes = this.#batch.length;
    try {
      let left = Buffer.concat(rest);
      while (left.length > 0) left = left.subarray(writeSync(this.#fd, left));
    } catch {
      // There is nowhere to say it.
    }
  }

  /** Resolves when all is written, or cannot be, or has not been in `patienceMs`. */
  drained(patienceMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#stuck = this.#writing;
        rest();
      }, patienceMs);
      const rest = (): void => {
        clearTimeout(timer);
        this.#onRest = () => {};
        resolve();
      };
      this.#onRest = rest;
      if (!this.#writing) this.#next();
    });
  }

  #next(): void {
    if (this.#batch.length === 0) {
      this.#batch = Buffer.from(this.#lines.join(''));
      this.#lines = [];
    }
    if (this.#batch.length === 0) {
      this.#onRest();
      return;
    }
    this.#writing = true;
    write(this.#fd, this.#batch, (error, written) => {
      this.#writing = false;
      if (error === null) {
        this.#batch = this.#batch.subarray(written);
        this.#bytes -= written;
        this.#next();
      } else if (error.code === 'EAGAIN') {
        // Whoever shares the terminal has made it so that it does not block.
        setTimeout(() => {
          if (!this.#writing) this.#next();
        }, RETRY_MS).unref();
      } else {
        this.#onRest();
      }
    });
  }
}
