import t from 'tap';
import type { LogSizes } from '../../lib/log/log-options.ts';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { entry, open, tinySizes, writeOf } from './helpers.ts';

const sizes: LogSizes = { ...tinySizes, maxSegmentBytes: 4096, spareSegments: 8 };

function filesOf(disk: MemoryDisk): { segments: number[]; spares: number[] } {
  const bytesOf = (suffix: string): number[] =>
    disk
      .files()
      .filter((file) => file.endsWith(suffix))
      .map((file) => disk.content(file).length);
  return { segments: bytesOf('.log'), spares: bytesOf('.spare') };
}

/** Appends entries of 200 bytes; returns how often a write made a file longer or new. */
function append(
  disk: MemoryDisk,
  engine: ReturnType<typeof open>['engine'],
  from: number,
  count: number,
): number {
  let grown = 0;
  const bytes = (): number => {
    const { segments, spares } = filesOf(disk);
    return [...segments, ...spares].reduce((sum, size) => sum + size, 0);
  };
  for (let i = 0; i < count; i++) {
    const before = bytes();
    engine.write([writeOf(i, [entry(from + i, 1, i & 255, 160)], i === 0 ? { term: 1, vote: 1 } : null)]);
    engine.sync();
    if (bytes() > before) grown++;
  }
  return grown;
}

t.test('a log that was given room ahead writes over it and does not grow', async (t) => {
  const disk = new MemoryDisk();
  const { engine } = open(disk, 1, { ...sizes, aheadBytes: 16_384 });
  while (engine.prepare());
  const { segments, spares } = filesOf(disk);
  t.same(segments, [4096], 'segments as large as a quarter of the room');
  t.same(spares, [4096, 4096, 4096, 4096]);
  // Each entry takes 240 bytes with its block, and segments end before they are full.
  t.equal(append(disk, engine, 1, 70), 0);
  t.ok(append(disk, engine, 71, 20) > 0, 'behind it, it grows again');
  engine.close();
});

t.test('without, it makes the next file ready when one is half full', async (t) => {
  const disk = new MemoryDisk();
  const { engine } = open(disk, 1, { ...sizes, minSegmentBytes: 2048 });
  append(disk, engine, 1, 2);
  while (engine.prepare());
  t.same(filesOf(disk).spares, [], 'not yet');
  append(disk, engine, 3, 4);
  while (engine.prepare());
  t.same(filesOf(disk).spares, [4096], 'twice as large as the one before it');
  engine.close();
});

t.test('what compaction frees is written over', async (t) => {
  const disk = new MemoryDisk();
  const { engine } = open(disk, 1, sizes);
  append(disk, engine, 1, 120);
  const before = filesOf(disk);
  while (engine.compact(110));
  const after = filesOf(disk);
  t.ok(after.spares.length >= 4, `${after.spares.length} spares`);
  t.ok(after.segments.length + after.spares.length <= before.segments.length);
  let next = 121;
  while (filesOf(disk).segments.length === after.segments.length) append(disk, engine, next++, 1);
  t.equal(append(disk, engine, next, 12 * after.spares.length - 12), 0, 'into the fullest first');
  engine.close();
});

t.test('a spare in the making is found again by the next start', async (t) => {
  const disk = new MemoryDisk();
  const wide = { ...sizes, aheadBytes: 16_384 };
  const first = open(disk, 1, wide).engine;
  for (let i = 0; i < 40; i++) first.prepare();
  first.close();
  const half = filesOf(disk);
  t.ok(
    half.spares.some((bytes) => bytes > 0 && bytes < 4096),
    JSON.stringify(half),
  );
  const { engine } = open(disk, 2, wide);
  while (engine.prepare());
  t.same(filesOf(disk).spares, [4096, 4096, 4096, 4096]);
  engine.close();
});
