import t from 'tap';
import type { Slab } from '../../lib/machine/slab-pool.ts';
import { MAX_SLAB_BYTES, MIN_SLAB_BYTES, SlabPool } from '../../lib/machine/slab-pool.ts';
import { randomFrom } from './harness.ts';

/** Where a slab's bytes are, to see whether two slabs share any. */
const placeOf = (pool: SlabPool, slab: Slab): [ArrayBufferLike, number, number] => [
  pool.view(slab).buffer,
  pool.start(slab),
  pool.start(slab) + pool.bytes(slab),
];

t.test('no two slabs that are in use share a byte', async (t) => {
  const random = randomFrom(41);
  const pool = new SlabPool(() => false);
  const held: Slab[] = [];
  let overlaps = 0;
  let wrongSizes = 0;
  for (let step = 0; step < 20_000; step++) {
    const growing = step % 4000 < 2000;
    if (held.length === 0 || random(10) < (growing ? 7 : 3)) {
      const bytes = 1 + random(2 ** random(14));
      const slab = pool.take(bytes);
      const got = pool.bytes(slab);
      if (got < bytes || got >= Math.max(2 * bytes, MIN_SLAB_BYTES + 1)) wrongSizes++;
      held.push(slab);
    } else {
      const [slab] = held.splice(random(held.length), 1);
      pool.give(slab!);
    }
    if (step % 500 !== 0) continue;
    const ends = new Map<ArrayBufferLike, [number, number][]>();
    for (const [memory, start, end] of held.map((slab) => placeOf(pool, slab))) {
      const others = ends.get(memory) ?? [];
      if (others.some(([from, to]) => start < to && end > from)) overlaps++;
      others.push([start, end]);
      ends.set(memory, others);
    }
  }
  t.equal(overlaps, 0);
  t.equal(wrongSizes, 0);
});

t.test('what many stacks leave behind is used again, though one of them stays in each page', async (t) => {
  const pool = new SlabPool(() => false);
  const pages = new Set<ArrayBufferLike>();
  for (let round = 0; round < 20; round++) {
    const slabs = Array.from({ length: 20_000 }, () => pool.take(128));
    for (const slab of slabs) pages.add(pool.view(slab).buffer);
    for (const [i, slab] of slabs.entries()) if (i % 100 !== 50) pool.give(slab);
  }
  // 20,000 in use at once and 20 times 200 that stay: 24,000 slabs of 128 bytes.
  const bytes = [...pages].reduce((sum, page) => sum + page.byteLength, 0);
  t.ok(bytes <= 24_000 * 128 + (1 << 16), `${bytes} bytes`);
});

t.test('pages that nobody uses are let go of, but for a few', async (t) => {
  const pool = new SlabPool(() => false);
  const first = Array.from({ length: 400 }, () => pool.take(MAX_SLAB_BYTES));
  const before = new Set(first.map((slab) => pool.view(slab).buffer));
  for (const slab of first) pool.give(slab);
  const again = Array.from({ length: 400 }, () => pool.take(MAX_SLAB_BYTES));
  const kept = again.filter((slab) => before.has(pool.view(slab).buffer)).length;
  t.equal(kept, (1 << 20) / MAX_SLAB_BYTES);
});

t.test('a slab that a capture shows is not used again before the captures are gone', async (t) => {
  let viewed = true;
  const pool = new SlabPool(() => viewed);
  const shown = pool.take(1024);
  pool.lend(shown);
  const others = Array.from({ length: 200 }, () => pool.take(1024));
  t.notOk(others.includes(shown));
  viewed = false;
  pool.endLoans();
  t.equal(pool.take(1024), shown);
  pool.lend(shown);
  t.equal(pool.take(1024), shown, 'at once when there is no capture');
});
