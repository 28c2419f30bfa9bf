/**
 * Snapshots taken in constant time from tables that go on changing. A view copies nothing when it is opened;
 * instead, whoever is about to change (or remove) an item hands it in first, and the view keeps a capture of it as
 * it was. Items nobody touches are captured when the reader comes by.
 */

/** An item of a table that can be viewed. */
export interface Tracked {
  /** Grows with each item created and is never used again. The table lists its items in this order. */
  readonly id: number;
  /** The newest view that needs no capture of this item any more. Managed by `LiveViews`; starts as `lastId`. */
  mark: number;
}

export class LiveViews<Item extends Tracked, Capture> {
  /** Number of the newest view ever opened; an item whose `mark` equals it may change freely. */
  lastId = 0;
  readonly #capture: (item: Item) => Capture;
  readonly #onNone: () => void;
  readonly #live = new Set<LiveView<Item, Capture>>();

  /**
   * `capture` takes an item's state so that later changes of the item do not show in it; `onNone` is called when no
   * view is open any more, and so no capture is in use.
   */
  constructor(capture: (item: Item) => Capture, onNone: () => void = () => {}) {
    this.#capture = capture;
    this.#onNone = onNone;
  }

  /** Whether any view is open. */
  get any(): boolean {
    return this.#live.size > 0;
  }

  /** Opens a view of `items` as they are now. `nextId` is the id the next new item will get. */
  open(items: ReadonlyMap<unknown, Item>, nextId: number): LiveView<Item, Capture> {
    const view = new LiveView(++this.lastId, items, nextId, this.#capture, this);
    this.#live.add(view);
    return view;
  }

  /** @internal */
  isOpen(view: LiveView<Item, Capture>): boolean {
    return this.#live.has(view);
  }

  /** @internal */
  close(view: LiveView<Item, Capture>): void {
    if (this.#live.delete(view) && this.#live.size === 0) this.#onNone();
  }

  /** To be called before an item with `item.mark !== lastId` changes or leaves its table. */
  beforeChange(item: Item): void {
    for (const view of this.#live) view.preserve(item);
    item.mark = this.lastId;
  }
}

/** One frozen view. Read it once, then release it. */
export class LiveView<Item extends Tracked, Capture> {
  /** Items in the view. */
  readonly count: number;
  readonly #id: number;
  readonly #items: ReadonlyMap<unknown, Item>;
  readonly #nextId: number;
  readonly #capture: (item: Item) => Capture;
  readonly #views: LiveViews<Item, Capture>;
  #preserved: Capture[] = [];
  /** Items up to this id have been read. */
  #readThrough = 0;
  #started = false;

  constructor(
    id: number,
    items: ReadonlyMap<unknown, Item>,
    nextId: number,
    capture: (item: Item) => Capture,
    views: LiveViews<Item, Capture>,
  ) {
    this.count = items.size;
    this.#id = id;
    this.#items = items;
    this.#nextId = nextId;
    this.#capture = capture;
    this.#views = views;
  }

  /** @internal */
  preserve(item: Item): void {
    // Items made after the view was opened have a mark as high as the view's number.
    if (item.mark >= this.#id || item.id <= this.#readThrough) return;
    this.#preserved.push(this.#capture(item));
  }

  /**
   * Yields a capture of every item, in no particular order where items changed since the view was opened. The
   * table may change between two steps. Can be called once.
   */
  *read(): Generator<Capture, void, undefined> {
    if (this.#started) throw new TypeError('A snapshot view can be read only once.');
    this.#started = true;
    // A Map's iterator tolerates removals and sees additions, which come last and end the walk.
    for (const item of this.#items.values()) {
      if (item.id >= this.#nextId) break;
      this.#check();
      if (item.mark >= this.#id) continue;
      this.#readThrough = item.id;
      yield this.#capture(item);
    }
    this.#readThrough = Number.MAX_SAFE_INTEGER;
    const preserved = this.#preserved;
    this.#preserved = [];
    for (const capture of preserved) {
      this.#check();
      yield capture;
    }
  }

  /** Forgets what was kept for the view. Idempotent. */
  release(): void {
    this.#preserved = [];
    this.#views.close(this);
  }

  #check(): void {
    if (!this.#views.isOpen(this)) throw new TypeError('The snapshot view was released while it was read.');
  }
}
