import { randomInt } from 'node:crypto';
import type { LiveView } from './live-views.ts';
import { LiveViews } from './live-views.ts';
import { NameBytes } from './name-bytes.ts';
import { SlabPool } from './slab-pool.ts';
import type { StackCapture } from './slab-stack.ts';
import { SlabStack } from './slab-stack.ts';

/** What a stack costs beside its items, in the bytes that count against the limit. */
const STACK_OVERHEAD_BYTES = 256;
const INITIAL_SLOTS = 64;
/** Fewer stay in the processor's caches by themselves. */
const MIN_SCATTERED = 256;

/**
 * All stacks, found by the bytes of their names: an open-addressing hash table, because a `Map` would need a string
 * made of every name in every command. Names are only ever compared as bytes, so `__proto__` is a name like others.
 */
export class StackTable {
  /** Bytes of all stacks that count against the limit: the same on every replica. */
  bytes = 0;
  /** @internal Of what `fetch` reads, so that reading it is not optimized away. */
  seen = 0;
  /** Captures for snapshots. */
  readonly views: LiveViews<SlabStack, StackCapture> = new LiveViews((stack) => stack.capture());
  readonly #pool = new SlabPool();
  readonly #names = new NameBytes();
  /** In order of creation. */
  readonly #byId = new Map<number, SlabStack>();
  #nextId = 1;
  #hashes = new Int32Array(INITIAL_SLOTS);
  #slots: (SlabStack | undefined)[] = new Array<SlabStack | undefined>(INITIAL_SLOTS).fill(undefined);
  /** The stack found last: most clients work on one for a while. */
  #last: SlabStack | undefined;
  /** The stacks that `fetch` found, and which of them is expected next. */
  readonly #fetched: (SlabStack | undefined)[] = [];
  #nextFetched = 0;
  #fetchedEnd = 0;
  #wanted = new Int32Array(0);
  /**
   * Names sorted by bytes, for `list`, as far as they were sorted when last asked for; newer ones in `#unsorted`,
   * dropped ones still in it. A cache, not state.
   */
  #sorted: SlabStack[] = [];
  #unsorted: SlabStack[] = [];
  #dropped = 0;
  /**
   * Differs from node to node, so that nobody can prepare names that collide. Nothing replicated depends on it: the
   * table is never walked in slot order.
   */
  readonly #seed: number = randomInt(2 ** 32) | 0;

  get count(): number {
    return this.#byId.size;
  }

  /** Id of the next stack made here. */
  get nextId(): number {
    return this.#nextId;
  }

  /** The stack named by `source[start, end)`. */
  find(source: Uint8Array, start: number, end: number): SlabStack | undefined {
    if (this.#nextFetched < this.#fetchedEnd) {
      const next = this.#fetched[this.#nextFetched]!;
      if (this.#isNamed(next, source, start, end)) {
        this.#nextFetched++;
        return next;
      }
    }
    const last = this.#last;
    if (last !== undefined && this.#isNamed(last, source, start, end)) return last;
    const hash = this.#hash(source, start, end);
    const slots = this.#slots;
    const hashes = this.#hashes;
    const mask = slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const stack = slots[slot];
      if (stack === undefined) return undefined;
      if (hashes[slot] === hash && this.#isNamed(stack, source, start, end)) {
        this.#last = stack;
        return stack;
      }
    }
  }

  /**
   * Brings what the next commands on stacks will touch into the processor's caches: `count` commands, which begin at
   * `starts` in `bytes`. Each touches a handful of places, each known only from the one before, and with ten thousand
   * stacks all of them come from memory. A pass over all commands for each of these steps has the processor wait for
   * many places at a time. False: there are too few stacks for that to be of use.
   */
  fetch(bytes: Uint8Array, starts: Int32Array, count: number): boolean {
    this.#forgetFetched();
    if (this.#byId.size < MIN_SCATTERED) return false;
    if (this.#wanted.length < count) this.#wanted = new Int32Array(count);
    const wanted = this.#wanted;
    for (let i = 0; i < count; i++) wanted[i] = this.#hashOfShortName(bytes, starts[i]!);
    const fetched = this.#fetched;
    let end = 0;
    for (let i = 0; i < count; i++) {
      const stack = this.#byHash(wanted[i]!);
      if (stack !== undefined) fetched[end++] = stack;
    }
    let seen = 0;
    for (let i = 0; i < end; i++) seen ^= this.#names.byteAt(fetched[i]!.nameAt);
    for (let i = 0; i < end; i++) seen ^= fetched[i]!.touchEnd();
    this.seen = seen;
    this.#fetchedEnd = end;
    return true;
  }

  /** Makes an empty stack. The name must not be taken. */
  create(source: Uint8Array, start: number, end: number): SlabStack {
    return this.#add(Buffer.from(source.slice(start, end)), this.#nextId);
  }

  /** Makes a stack with an id of its own, as a snapshot has it. */
  restore(name: Uint8Array, id: number): SlabStack {
    return this.#add(name, id);
  }

  /** Ends a restore: ids go on behind `nextId`, and the order of creation is that of the ids. */
  finishRestore(nextId: number): void {
    this.#nextId = nextId;
    const stacks = [...this.#byId.values()].sort((a, b) => a.id - b.id);
    this.#byId.clear();
    for (const stack of stacks) this.#byId.set(stack.id, stack);
  }

  has(id: number): boolean {
    return this.#byId.has(id);
  }

  /** Removes a stack and gives its memory back. */
  drop(stack: SlabStack): void {
    this.touch(stack);
    this.#byId.delete(stack.id);
    this.bytes -= stack.bytes + stackBytes(stack.name.length);
    this.#removeFromSlots(stack);
    if (this.#last === stack) this.#last = undefined;
    this.#forgetFetched();
    this.#dropped++;
    if (this.#names.drop(stack.name.length)) this.#closeUpNames();
    stack.free();
  }

  /** Must be called before a stack changes. */
  touch(stack: SlabStack): void {
    if (stack.mark !== this.views.lastId) this.views.beforeChange(stack);
  }

  /** A frozen view of all stacks, taken in constant time. */
  view(): LiveView<SlabStack, StackCapture> {
    return this.views.open(this.#byId, this.#nextId);
  }

  /** All stacks in the order of their names' bytes. Sorts what changed since the last call. */
  sorted(): readonly SlabStack[] {
    if (this.#unsorted.length > 0 || this.#dropped > 0) {
      const alive = (stack: SlabStack): boolean => this.#byId.get(stack.id) === stack;
      const fresh = this.#unsorted.filter(alive).sort((a, b) => Buffer.compare(a.name, b.name));
      this.#sorted = merge(this.#dropped > 0 ? this.#sorted.filter(alive) : this.#sorted, fresh);
      this.#unsorted = [];
      this.#dropped = 0;
    }
    return this.#sorted;
  }

  #forgetFetched(): void {
    this.#fetched.fill(undefined, 0, this.#fetchedEnd);
    this.#nextFetched = this.#fetchedEnd = 0;
  }

  /** Of the name in the command at `at`, if it is written as nearly all are; otherwise any number. */
  #hashOfShortName(bytes: Uint8Array, at: number): number {
    const start = at + 3;
    if (start > bytes.length) return 0;
    const tag = bytes[at + 2]!;
    const end = start + (tag & 0x1f);
    return (tag & 0xe0) === 0xa0 && end <= bytes.length ? this.#hash(bytes, start, end) : 0;
  }

  /** The first stack whose name has this hash. */
  #byHash(hash: number): SlabStack | undefined {
    const slots = this.#slots;
    const hashes = this.#hashes;
    const mask = slots.length - 1;
    let slot = hash & mask;
    while (slots[slot] !== undefined && hashes[slot] !== hash) slot = (slot + 1) & mask;
    return slots[slot];
  }

  #add(name: Uint8Array, id: number): SlabStack {
    if (this.#byId.size * 2 >= this.#slots.length) this.#grow();
    const hash = this.#hash(name, 0, name.length);
    const stack = new SlabStack(id, name, hash, this.#names.add(name), this.views.lastId, this.#pool);
    if (id >= this.#nextId) this.#nextId = id + 1;
    this.#place(stack);
    this.#byId.set(id, stack);
    this.bytes += stackBytes(name.length);
    this.#unsorted.push(stack);
    this.#last = stack;
    return stack;
  }

  #place(stack: SlabStack): void {
    const mask = this.#slots.length - 1;
    let slot = stack.hash & mask;
    while (this.#slots[slot] !== undefined) slot = (slot + 1) & mask;
    this.#slots[slot] = stack;
    this.#hashes[slot] = stack.hash;
  }

  #grow(): void {
    const size = this.#slots.length * 2;
    this.#slots = new Array<SlabStack | undefined>(size).fill(undefined);
    this.#hashes = new Int32Array(size);
    for (const stack of this.#byId.values()) this.#place(stack);
  }

  /** Linear probing without tombstones: later members of the run move up into the gap. */
  #removeFromSlots(stack: SlabStack): void {
    const slots = this.#slots;
    const hashes = this.#hashes;
    const mask = slots.length - 1;
    let gap = stack.hash & mask;
    while (slots[gap] !== stack) gap = (gap + 1) & mask;
    for (let slot = (gap + 1) & mask; slots[slot] !== undefined; slot = (slot + 1) & mask) {
      const home = hashes[slot]! & mask;
      // It may move if its home is not between the gap and where it lies now.
      if (((slot - home) & mask) >= ((slot - gap) & mask)) {
        slots[gap] = slots[slot];
        hashes[gap] = hashes[slot]!;
        gap = slot;
      }
    }
    slots[gap] = undefined;
  }

  #isNamed(stack: SlabStack, source: Uint8Array, start: number, end: number): boolean {
    const length = end - start;
    return stack.nameBytes === length && this.#names.is(stack.nameAt, length, source, start);
  }

  /** Drops the gaps between the names. */
  #closeUpNames(): void {
    this.#names.clear();
    for (const stack of this.#byId.values()) stack.nameAt = this.#names.add(stack.name);
  }

  #hash(source: Uint8Array, start: number, end: number): number {
    let hash = this.#seed;
    for (let i = start; i < end; i++) {
      hash = Math.imul(hash ^ source[i]!, 0x01000193);
      hash ^= hash >>> 15;
    }
    hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b);
    return hash ^ (hash >>> 13);
  }
}

/** What a stack with a name of `nameBytes` counts for before anything is pushed. */
export function stackBytes(nameBytes: number): number {
  return STACK_OVERHEAD_BYTES + nameBytes;
}

function merge(a: readonly SlabStack[], b: readonly SlabStack[]): SlabStack[] {
  const merged: SlabStack[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length && j < b.length) {
    if (Buffer.compare(a[i]!.name, b[j]!.name) < 0) merged.push(a[i++]!);
    else merged.push(b[j++]!);
  }
  while (i < a.length) merged.push(a[i++]!);
  while (j < b.length) merged.push(b[j++]!);
  return merged;
}
