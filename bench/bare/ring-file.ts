import { closeSync, fdatasync, fsyncSync, openSync, writeSync } from 'node:fs';

const RING_BYTES = 64 << 20;
const FILL_BYTES = 1 << 20;

/**
 * A file that is written from front to end and then over again, filled with zeros beforehand: so a sync carries data
 * and no changes of the file's size. One sync runs at a time; what is appended meanwhile shares the next.
 */
export class RingFile {
  readonly #fd: number;
  #at = 0;
  #syncing = false;
  #waiting: (() => void)[] = [];

  constructor(path: string) {
    this.#fd = openSync(path, 'w+');
    const zeros = Buffer.alloc(FILL_BYTES);
    for (let at = 0; at < RING_BYTES; at += FILL_BYTES) writeSync(this.#fd, zeros, 0, FILL_BYTES, at);
    fsyncSync(this.#fd);
  }

  /** Calls `onDurable` once the bytes are. They are free again when this returns. */
  append(bytes: Uint8Array, onDurable: () => void): void {
    if (this.#at + bytes.length > RING_BYTES) this.#at = 0;
    writeSync(this.#fd, bytes, 0, bytes.length, this.#at);
    this.#at += bytes.length;
    this.#waiting.push(onDurable);
    if (!this.#syncing) this.#sync();
  }

  close(): void {
    closeSync(this.#fd);
  }

  #sync(): void {
    this.#syncing = true;
    const covered = this.#waiting;
    this.#waiting = [];
    fdatasync(this.#fd, (error) => {
      if (error !== null) throw error;
      this.#syncing = false;
      if (this.#waiting.length > 0) this.#sync();
      for (const onDurable of covered) onDurable();
    });
  }
}
