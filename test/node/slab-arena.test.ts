import t from 'tap';
import { SlabArena } from '../../lib/node/slab-arena.ts';

const SLAB_BYTES = 64;

/** Takes a record of the size of a slab, which seals the one before. */
function fill(arena: SlabArena): ReturnType<SlabArena['reserve']> {
  const slab = arena.reserve(SLAB_BYTES);
  slab.used = SLAB_BYTES;
  slab.live++;
  return slab;
}

t.test('a slab is used again once nobody can be reading from it', (t) => {
  const arena = new SlabArena(SLAB_BYTES);
  const first = fill(arena);
  arena.writing(1);
  fill(arena);
  arena.release(first);
  t.not(fill(arena), first, 'a socket may still read from it');
  arena.drained(1);
  t.equal(fill(arena), first);
  t.end();
});

t.test('entries replaced while their write is under way keep their bytes until it is done', (t) => {
  const arena = new SlabArena(SLAB_BYTES);
  const replaced = fill(arena);
  arena.writing(7);
  fill(arena);
  // The conflict: the entry is gone from the log, but the log thread has not written it yet.
  arena.release(replaced);
  arena.drained(6);
  t.not(fill(arena), replaced);
  arena.drained(7);
  t.equal(fill(arena), replaced);
  t.end();
});

t.test('a record larger than a slab gets one of its own, which is not kept', (t) => {
  const arena = new SlabArena(SLAB_BYTES);
  const large = arena.reserve(10 * SLAB_BYTES);
  t.ok(large.bytes.length >= 10 * SLAB_BYTES);
  large.used = large.bytes.length;
  large.live++;
  fill(arena);
  arena.release(large);
  arena.drained(0);
  for (let i = 0; i < 4; i++) t.not(fill(arena), large);
  t.end();
});
