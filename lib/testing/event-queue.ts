interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

/** Virtual time: a heap of things to come. What is due at the same moment runs in the order it was planned. */
export class EventQueue {
  nowMs = 0;
  #heap: Event[] = [];
  #order = 0;

  get size(): number {
    return this.#heap.length;
  }

  /** When the next event is due; `Infinity` if none is planned. */
  get nextMs(): number {
    return this.#heap[0]?.atMs ?? Infinity;
  }

  at(atMs: number, run: () => void): void {
    const heap = this.#heap;
    const event: Event = { atMs: Math.max(atMs, this.nowMs), order: this.#order++, run };
    let i = heap.length;
    heap.push(event);
    while (i > 0) {
      const parent = (i - 1) >>> 1;
      if (before(heap[parent]!, event)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = event;
  }

  after(delayMs: number, run: () => void): void {
    this.at(this.nowMs + delayMs, run);
  }

  /** Runs the next event, moving the clock to it. False: nothing is planned. */
  step(): boolean {
    const event = this.#take();
    if (!event) return false;
    this.nowMs = event.atMs;
    event.run();
    return true;
  }

  /** Runs everything due up to `untilMs`, and leaves the clock there. */
  runUntil(untilMs: number): void {
    while (this.nextMs <= untilMs) this.step();
    this.nowMs = Math.max(this.nowMs, untilMs);
  }

  #take(): Event | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (!top || !last || heap.length === 0) return top;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (before(last, heap[child]!)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
    return top;
  }
}

function before(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
