interface EndWaiter {
  readonly beforeOrder: number;
  left: number;
  readonly resolve: () => void;
}

/** Those who wait until there is room, or until the calls made so far have ended. */
export class Waiters {
  #forRoom: (() => void)[] = [];
  #forEnd: EndWaiter[] = [];

  get size(): number {
    return this.#forRoom.length + this.#forEnd.length;
  }

  forRoom(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      const onAbort = (): void => {
        this.#forRoom = this.#forRoom.filter((waiter) => waiter !== done);
        reject(signal!.reason as Error);
      };
      const done = (): void => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#forRoom.push(done);
    });
  }

  /** `count` calls with an order below `beforeOrder` have not ended. */
  forEnd(beforeOrder: number, count: number): Promise<void> {
    return new Promise((resolve) => this.#forEnd.push({ beforeOrder, left: count, resolve }));
  }

  /** A call has ended; `order` is Infinity if nobody waits for its end. */
  ended(order: number, room: boolean): void {
    if (room && this.#forRoom.length > 0) this.#wakeRoom();
    if (this.#forEnd.length === 0) return;
    for (const waiter of this.#forEnd) {
      if (order < waiter.beforeOrder && --waiter.left === 0) waiter.resolve();
    }
    this.#forEnd = this.#forEnd.filter((waiter) => waiter.left > 0);
  }

  wakeAll(): void {
    this.#wakeRoom();
    for (const waiter of this.#forEnd) waiter.resolve();
    this.#forEnd = [];
  }

  #wakeRoom(): void {
    const waiting = this.#forRoom;
    this.#forRoom = [];
    for (const done of waiting) done();
  }
}
