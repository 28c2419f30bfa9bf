import type { LiveView } from './live-views.ts';
import { LiveViews } from './live-views.ts';
import { NameBytes } from './name-bytes.ts';
import { NameHash } from './name-hash.ts';
import { NameOrder } from './name-order.ts';
import { LastView } from './short-copy.ts';
import { SlabPool } from './slab-pool.ts';
import type { StackCapture } from './slab-stack.ts';
import { SlabStack } from './slab-stack.ts';

/** What a stack costs beside its items, in the bytes that count against the limit. */
const STACK_OVERHEAD_BYTES = 256;
const INITIAL_SLOTS = 64;

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
  readonly views: LiveViews<SlabStack, StackCapture> = new LiveViews(
    (stack) => stack.capture(this.nameOf(stack)),
    () => {
      this.#pool.endLoans();
    },
  );
  readonly #pool = new SlabPool(() => this.views.any);
  readonly #names = new NameBytes();
  /** In order of creation. */
  readonly #byId = new Map<number, SlabStack>();
  readonly #order = new NameOrder(this.#names, (stack) => this.#byId.get(stack.id) === stack);
  #nextId = 1;
  #hashes = new Int32Array(INITIAL_SLOTS);
  #slots: (SlabStack | undefined)[] = new Array<SlabStack | undefined>(INITIAL_SLOTS).fill(undefined);
  /** The stack found last: most clients work on one for a while. */
  #last: SlabStack | undefined;
  /** Whether another stack than the one before was found since `fetch` was called last. */
  #wanders = false;
  /** The stacks that `fetch` found, in the order of their commands, and which of them is expected next. */
  readonly #fetched: (SlabStack | undefined)[] = [];
  #nextFetched = 0;
  #fetchedEnd = 0;
  #wanted = new Int32Array(0);
  /** Differs from node to node. Nothing replicated depends on it: the table is never walked in slot order. */
  readonly #hash = new NameHash();
  readonly #asked = new LastView();

  get count(): number {
    return this.#byId.size;
  }

  /** Id of the next stack made here. */
  get nextId(): number {
    return this.#nextId;
  }

  /** The stack named by `bytes[start, end)`. */
  find(bytes: Uint8Array, start: number, end: number): SlabStack | undefined {
    const source = this.#asked.of(bytes);
    if (this.#nextFetched < this.#fetchedEnd) {
      const next = this.#fetched[this.#nextFetched]!;
      if (this.#isNamed(next, source, start, end)) {
        this.#nextFetched++;
        if (next !== this.#last) this.#wanders = true;
        this.#last = next;
        return next;
      }
    }
    const last = this.#last;
    if (last !== undefined && this.#isNamed(last, source, start, end)) return last;
    this.#wanders = true;
    const hash = this.#hash.of(source, start, end);
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
   * many places at a time. False: all commands since the last call were on one stack, so there is no use in it.
   */
  fetch(bytes: Uint8Array, starts: Int32Array, count: number): boolean {
    this.#forgetFetched();
    if (!this.#wanders) return false;
    this.#wanders = false;
    if (this.#wanted.length < count) this.#wanted = new Int32Array(count);
    const wanted = this.#wanted;
    const source = this.#asked.of(bytes);
    const limit = bytes.length;
    for (let i = 0; i < count; i++) wanted[i] = this.#hashOfShortName(source, starts[i]!, limit);
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
    return this.#add(source, start, end, this.#nextId);
  }

  /** Makes a stack with an id of its own, as a snapshot has it. */
  restore(source: Uint8Array, start: number, end: number, id: number): SlabStack {
    return this.#add(source, start, end, id);
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
    this.bytes -= stack.bytes + stackBytes(stack.nameBytes);
    this.#removeFromSlots(stack);
    if (this.#last === stack) this.#last = undefined;
    this.#forgetFetched();
    this.#order.drop(this.#byId.size);
    if (this.#names.drop(stack.nameBytes)) this.#names.keep(this.#byId.values());
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

  /** A capture's stream, piece by piece. It shows the slabs themselves: only while the capture is in use. */
  *streamOf({ slabs, bytes }: StackCapture): Generator<Uint8Array, void, undefined> {
    let rest = bytes;
    for (const slab of slabs) {
      const piece = this.#pool.bytesOf(slab, 0, rest);
      rest -= piece.length;
      yield piece;
    }
  }

  /** All stacks in the order of their names' bytes. Sorts what changed since the last call. */
  sorted(): readonly SlabStack[] {
    return this.#order.all();
  }

  /** A stack's name, not copied. */
  nameOf(stack: SlabStack): Uint8Array {
    return this.#names.of(stack.nameAt, stack.nameBytes);
  }

  #forgetFetched(): void {
    this.#fetched.fill(undefined, 0, this.#fetchedEnd);
    this.#nextFetched = this.#fetchedEnd = 0;
  }

  /**
   * Of the name in the command at `at`, if it is written as nearly all are; otherwise any number. `limit` is the
   * source's length: asking a view for it is a call.
   */
  #hashOfShortName(source: DataView, at: number, limit: number): number {
    const start = at + 3;
    if (start > limit) return 0;
    const tag = source.getUint8(at + 2);
    const end = start + (tag & 0x1f);
    return (tag & 0xe0) === 0xa0 && end <= limit ? this.#hash.of(source, start, end) : 0;
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

  #add(source: Uint8Array, start: number, end: number, id: number): SlabStack {
    if (this.#byId.size * 2 >= this.#slots.length) this.#grow();
    const hash = this.#hash.of(this.#asked.of(source), start, end);
    const nameAt = this.#names.add(source, start, end);
    const stack = new SlabStack(id, end - start, nameAt, hash, this.views.lastId, this.#pool);
    if (id >= this.#nextId) this.#nextId = id + 1;
    this.#place(hash, stack);
    this.#byId.set(id, stack);
    this.bytes += stackBytes(stack.nameBytes);
    this.#order.add(stack);
    this.#last = stack;
    return stack;
  }

  #place(hash: number, stack: SlabStack): void {
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    while (this.#slots[slot] !== undefined) slot = (slot + 1) & mask;
    this.#slots[slot] = stack;
    this.#hashes[slot] = hash;
  }

  /** Walks the old slots, not the stacks, so that it reads and writes one place after the other: no command waits as long. */
  #grow(): void {
    const slots = this.#slots;
    const hashes = this.#hashes;
    this.#slots = new Array<SlabStack | undefined>(slots.length * 2).fill(undefined);
    this.#hashes = new Int32Array(hashes.length * 2);
    for (let i = 0; i < slots.length; i++) {
      const stack = slots[i];
      if (stack !== undefined) this.#place(hashes[i]!, stack);
    }
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

  #isNamed(stack: SlabStack, source: DataView, start: number, end: number): boolean {
    const length = end - start;
    return stack.nameBytes === length && this.#names.is(stack.nameAt, length, source, start);
  }
}

/** What a stack with a name of `nameBytes` counts for before anything is pushed. */
export function stackBytes(nameBytes: number): number {
  return STACK_OVERHEAD_BYTES + nameBytes;
}
