/** Registered buffers beyond these are given up, oldest use first: the thread must not keep dead memory alive. */
const MAX_BUFFERS = 64;
const MAX_BYTES: number = 64 << 20;

/**
 * Numbers for the SharedArrayBuffers the thread knows. A buffer crosses once; afterwards its number does. Writers
 * reuse a few large ones, so nearly every append finds its buffer known.
 */
export class SharedBuffers {
  readonly #ids = new Map<SharedArrayBuffer, number>();
  readonly #announce: (id: number, buffer: SharedArrayBuffer) => void;
  readonly #forget: (id: number) => void;
  #nextId = 1;
  #bytes = 0;
  #lastBuffer: SharedArrayBuffer | null = null;
  #lastId = 0;

  constructor(announce: (id: number, buffer: SharedArrayBuffer) => void, forget: (id: number) => void) {
    this.#announce = announce;
    this.#forget = forget;
  }

  /** The buffer's number; announces it if it is new. */
  idOf(buffer: SharedArrayBuffer): number {
    if (buffer === this.#lastBuffer) return this.#lastId;
    let id = this.#ids.get(buffer);
    if (id === undefined) {
      id = this.#nextId++;
      this.#announce(id, buffer);
      this.#bytes += buffer.byteLength;
    } else {
      this.#ids.delete(buffer);
    }
    // A Map iterates in insertion order: what was used last stands last.
    this.#ids.set(buffer, id);
    this.#lastBuffer = buffer;
    this.#lastId = id;
    return id;
  }

  /** Gives up what is too much. Not before the message is on its way that speaks of the buffers: it may be of many. */
  trim(): void {
    for (const [buffer, id] of this.#ids) {
      if (this.#ids.size <= 1 || (this.#ids.size <= MAX_BUFFERS && this.#bytes <= MAX_BYTES)) return;
      this.#ids.delete(buffer);
      this.#bytes -= buffer.byteLength;
      this.#forget(id);
    }
  }
}
