import t from 'tap';
import { EntryCache } from '../../lib/node/entry-cache.ts';
import { SlabArena, type Slab } from '../../lib/node/slab-arena.ts';
import { collectGarbage } from '../machine/harness.ts';

const RECORD_BYTES = 100;

/** A cache with `count` records, each in a slab of an odd size, which no pool takes back; and those slabs. */
function filled(count: number): { cache: EntryCache; slabs: WeakRef<Slab>[] } {
  const cache = new EntryCache(1);
  const arena = new SlabArena(RECORD_BYTES / 2);
  const slabs = Array.from({ length: count }, (_, i) => {
    const slab = arena.reserve(RECORD_BYTES);
    const offset = slab.used;
    slab.used += RECORD_BYTES;
    cache.add(i + 1, { slab, arena, offset, length: RECORD_BYTES });
    return new WeakRef(slab);
  });
  return { cache, slabs };
}

/** References made in one turn hold until its end. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const kept = (slabs: readonly WeakRef<Slab>[]): number =>
  slabs.filter((slab) => slab.deref() !== undefined).length;

t.test('the memory of records that were evicted is let go of, however few they are', async (t) => {
  const { cache, slabs } = filled(20);
  await turn();
  collectGarbage();
  t.equal(kept(slabs), 20);
  await turn();
  cache.evict(20, 3 * RECORD_BYTES);
  t.equal(cache.bytes, 3 * RECORD_BYTES);
  collectGarbage();
  t.equal(kept(slabs), 3);
  t.same([cache.first, cache.last], [18, 20]);
});

t.test('what is evicted is not found; the rest is, also when there was much of it', async (t) => {
  const { cache } = filled(3000);
  for (const through of [1, 1000, 1600, 2999]) {
    cache.evict(through, 0);
    t.equal(cache.get(through), undefined);
    t.equal(cache.get(through + 1)?.length, RECORD_BYTES);
    t.same([cache.first, cache.last], [through + 1, 3000]);
  }
  cache.truncateFrom(1);
  t.same([cache.first, cache.last, cache.bytes], [1, 0, 0]);
});
