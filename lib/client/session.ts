/**
 * The client's side of a session: numbers commands and knows the lowest number whose answer it still waits for,
 * which lets the cluster forget the answers below it.
 *
 * A number given up (timeout, abort) counts as answered: the caller was told `unknown`, and the first later
 * command that tells the cluster so makes sure that no copy still under way runs any more.
 */
export class Session {
  readonly id: number;
  readonly ttlMs: number;
  /** Its commands are not taken any more; a new one is needed. */
  ended = false;
  nextSeq = 1;
  #lowest = 1;
  /** 1 for each open number, at `seq & mask`. */
  #open: Uint8Array = new Uint8Array(1024);

  constructor(id: number, ttlMs: number) {
    this.id = id;
    this.ttlMs = ttlMs;
  }

  /** Lowest number still waited for; `nextSeq` if none. */
  get lowest(): number {
    return this.#lowest;
  }

  /** Whether another number would make the window reach `maxWindow`. */
  full(maxWindow: number): boolean {
    return this.nextSeq - this.#lowest >= maxWindow;
  }

  /** The number for the next command. The caller has seen that the session is not `full`. */
  take(): number {
    const seq = this.nextSeq++;
    if (seq - this.#lowest >= this.#open.length) this.#grow();
    this.#open[seq & (this.#open.length - 1)] = 1;
    return seq;
  }

  /** The number is answered, or given up. */
  release(seq: number): void {
    if (seq < this.#lowest) return;
    const open = this.#open;
    const mask = open.length - 1;
    open[seq & mask] = 0;
    while (this.#lowest < this.nextSeq && open[this.#lowest & mask] === 0) this.#lowest++;
  }

  #grow(): void {
    const old = this.#open;
    const grown = new Uint8Array(old.length * 2);
    for (let seq = this.#lowest; seq < this.nextSeq - 1; seq++) {
      grown[seq & (grown.length - 1)] = old[seq & (old.length - 1)]!;
    }
    this.#open = grown;
  }
}
