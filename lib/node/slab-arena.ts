/**
 * A stretch of shared memory that records are laid out in, one behind the other. Shared, so that the log thread
 * writes the very bytes that go to the followers.
 */
export class Slab {
  readonly bytes: Buffer;
  /** Bytes handed out so far. */
  used = 0;
  /** Records in it that are still needed. */
  live = 0;
  /** No more records will be laid out in it. */
  sealed = false;

  constructor(sizeBytes: number) {
    this.bytes = Buffer.from(new SharedArrayBuffer(sizeBytes));
  }
}

const MAX_POOLED = 8;

/**
 * Hands out memory for records and takes it back a slab at a time, so that a busy node allocates nothing.
 *
 * A released slab is not reused at once. A socket may still be reading from it; and so may the log: entries that were
 * replaced while their write was under way are written all the same, and what the disk got would not fit its checksum.
 */
export class SlabArena {
  readonly #slabBytes: number;
  #current: Slab | null = null;
  readonly #pool: Slab[] = [];
  /** Released, and the last write that may still read from it. */
  #limbo: { readonly slab: Slab; readonly ticket: number }[] = [];
  #ticket = 0;

  constructor(slabBytes: number) {
    this.#slabBytes = slabBytes;
  }

  /** A slab with at least `bytes` of room at `used`. The caller advances `used` and counts its record in `live`. */
  reserve(bytes: number): Slab {
    const current = this.#current;
    if (current !== null && current.bytes.length - current.used >= bytes) return current;
    if (current !== null) this.#seal(current);
    const fits = bytes <= this.#slabBytes;
    const next = (fits ? this.#pool.pop() : undefined) ?? new Slab(Math.max(bytes, this.#slabBytes));
    next.used = 0;
    next.live = 0;
    next.sealed = false;
    this.#current = next;
    return next;
  }

  /** A record of `slab` is needed no more. */
  release(slab: Slab): void {
    slab.live--;
    if (slab.live === 0 && slab.sealed) this.#retire(slab);
  }

  /** The log has been given a write with this ticket. */
  writing(ticket: number): void {
    this.#ticket = ticket;
  }

  /**
   * No socket reads from what was released before this call, and the writes up to `durableTicket` are done.
   */
  drained(durableTicket: number): void {
    if (this.#limbo.length === 0) return;
    const stay: { readonly slab: Slab; readonly ticket: number }[] = [];
    for (const entry of this.#limbo) {
      if (entry.ticket > durableTicket) stay.push(entry);
      else if (this.#pool.length < MAX_POOLED) this.#pool.push(entry.slab);
    }
    this.#limbo = stay;
  }

  #seal(slab: Slab): void {
    slab.sealed = true;
    if (slab.live === 0) this.#retire(slab);
  }

  /** Slabs of an odd size, and more than the pool takes, are left to the garbage collector: always safe. */
  #retire(slab: Slab): void {
    if (slab.bytes.length !== this.#slabBytes || this.#limbo.length >= MAX_POOLED) return;
    this.#limbo.push({ slab, ticket: this.#ticket });
  }
}
