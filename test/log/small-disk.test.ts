import t from 'tap';
import type { EngineOptions } from '../../lib/log/log-engine.ts';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { openLogFiles } from '../../lib/log/open-log-files.ts';
import { SnapshotFiles } from '../../lib/log/snapshot-files.ts';
import { config, entry, open, tinySizes, writeOf } from './helpers.ts';

const sizes = { ...tinySizes, fillBytes: 8192, lowSpaceBytes: 4096 };

function sparesOf(disk: MemoryDisk): string[] {
  return disk.files().filter((path) => path.endsWith('.spare'));
}

function setFree(disk: MemoryDisk, bytes: number): void {
  const { freeBytes, totalBytes } = disk.space();
  disk.capacityBytes = totalBytes - freeBytes + bytes;
}

t.test('files made ahead are given up before the disk is full, and not made again too soon', async (t) => {
  const disk = new MemoryDisk();
  const { engine } = open(disk, 1, sizes);
  for (let i = 1; i <= 12; i++)
    engine.write([writeOf(i, [entry(i, 1, i, 100)], i === 1 ? { term: 1, vote: 1 } : null)]);
  engine.sync();
  while (engine.prepare());
  t.ok(sparesOf(disk).length > 0);
  setFree(disk, 4000);
  engine.checkSpace();
  t.same(sparesOf(disk), []);
  t.ok(disk.space().freeBytes > 4000);

  // More than the mark, and too little for a spare beside it.
  setFree(disk, 8500);
  engine.checkSpace();
  while (engine.prepare());
  t.same(sparesOf(disk), []);
  setFree(disk, 20_000);
  engine.checkSpace();
  while (engine.prepare());
  t.ok(sparesOf(disk).length > 0, 'there is room again');

  // What compaction frees is free, not kept.
  setFree(disk, 3000);
  engine.checkSpace();
  const snapshots = new SnapshotFiles(disk, '/d/snapshots', 7, null);
  snapshots.commit(snapshots.create({ index: 12, term: 1, config, configIndex: 0 }));
  const before = disk.space().freeBytes;
  while (engine.compact(12));
  t.same(sparesOf(disk), []);
  t.ok(disk.space().freeBytes > before + 500);
});

/** Calls on files whose names end so fail with `code`. */
function failing(operation: string, suffix: string, code: string): MemoryDisk['onCall'] {
  return (call) => {
    if (call.operation === operation && call.path.endsWith(suffix))
      throw Object.assign(new Error(code), { code });
    return Infinity;
  };
}

t.test(
  'working ahead ends at a full disk, or at what its owner may use of one, and the log goes on',
  async (t) => {
    for (const code of ['ENOSPC', 'EDQUOT']) {
      const disk = new MemoryDisk();
      const { engine } = open(disk, 1, sizes);
      engine.write([writeOf(1, [entry(1, 1, 1, 300)], { term: 1, vote: 1 })]);
      disk.onCall = failing('write', '.spare', code);
      while (engine.prepare());
      t.same(
        sparesOf(disk).map((path) => disk.content(path).length),
        [0],
        `${code}: begun, and no more`,
      );
      disk.onCall = null;
      engine.write([writeOf(2, [entry(2, 1, 2, 100)])]);
      engine.sync();
      t.equal(engine.image.lastIndex, 2);
    }
  },
);

t.test('a spare that the disk has no room to remove stays, and is used', async (t) => {
  // File systems that copy on write have to note the removal somewhere.
  const disk = new MemoryDisk();
  const { engine } = open(disk, 1, { ...sizes, minSegmentBytes: 4096, maxSegmentBytes: 4096 });
  engine.write([writeOf(1, [entry(1, 1, 1, 2200)], { term: 1, vote: 1 })]);
  while (engine.prepare());
  setFree(disk, 10);
  disk.onCall = failing('unlink', '.spare', 'ENOSPC');
  engine.checkSpace();
  t.equal(sparesOf(disk).length, 1);
  engine.write([writeOf(2, [entry(2, 1, 2, 2200)])]);
  engine.sync();
  t.equal(engine.image.lastIndex, 2);
  t.same(sparesOf(disk), []);
});

t.test('where the disk has no room to remove the reserve, the write waits', async (t) => {
  const disk = new MemoryDisk();
  let waits = 0;
  const options: EngineOptions = {
    sizes: { ...tinySizes, spareSegments: 0, reserveBytes: 2000 },
    owner: 7,
    random: () => undefined,
    waitForRoom: () => {
      if (waits++ > 0) disk.onCall = null;
      return true;
    },
  };
  const { engine } = openLogFiles(disk, '/d', options, true);
  engine.write([writeOf(1, [entry(1, 1, 1)], { term: 1, vote: 1 })]);
  while (engine.prepare());
  setFree(disk, 10);
  disk.onCall = failing('unlink', 'reserve', 'ENOSPC');
  engine.write([writeOf(2, [entry(2, 1, 2, 1200)])]);
  engine.sync();
  t.equal(engine.image.lastIndex, 2);
  t.equal(waits, 2);
  t.notOk(disk.exists('/d/log/reserve'));
});

t.test('a write that finds no room takes the files made ahead for it', async (t) => {
  const disk = new MemoryDisk();
  const { engine } = open(disk, 1, { ...tinySizes, minSegmentBytes: 4096, maxSegmentBytes: 4096 });
  engine.write([writeOf(1, [entry(1, 1, 1, 2200)], { term: 1, vote: 1 })]);
  engine.sync();
  while (engine.prepare());
  t.equal(sparesOf(disk).length, 1);
  setFree(disk, 10);
  engine.write([writeOf(2, [entry(2, 1, 2, 1200)])]);
  engine.sync();
  t.equal(engine.image.lastIndex, 2);
  t.same(sparesOf(disk), []);
});

t.test(
  'where there is no room for a new file, the next segment gets that of the reserve, or waits',
  async (t) => {
    const disk = new MemoryDisk();
    let waits = 0;
    const options: EngineOptions = {
      sizes: { ...tinySizes, spareSegments: 0, reserveBytes: 1000 },
      owner: 7,
      random: () => undefined,
      waitForRoom: () => {
        if (waits++ > 0) setFree(disk, 4000);
        return true;
      },
    };
    const { engine } = openLogFiles(disk, '/d', options, true);
    engine.write([writeOf(1, [entry(1, 1, 1, 300)], { term: 1, vote: 1 })]);
    engine.sync();
    while (engine.prepare());
    t.ok(disk.exists('/d/log/reserve'));

    setFree(disk, 0);
    engine.write([writeOf(2, [entry(2, 1, 2, 300)])]);
    t.notOk(disk.exists('/d/log/reserve'));
    t.equal(waits, 0);

    setFree(disk, 0);
    engine.write([writeOf(3, [entry(3, 1, 3, 300)])]);
    engine.sync();
    t.equal(waits, 2);
    t.equal(engine.segments, 3);
    t.equal(open(disk.clone()).recovery.lastIndex, 3);
  },
);

t.test('the mark at the end of a full segment may cost the reserve, and not the log', async (t) => {
  const disk = new MemoryDisk();
  const { engine } = open(disk, 1, { ...tinySizes, spareSegments: 0, reserveBytes: 1000 });
  engine.write([writeOf(1, [entry(1, 1, 1, 300)], { term: 1, vote: 1 })]);
  engine.sync();
  while (engine.prepare());
  const full = engine.image.segments.at(-1)!.path;
  disk.onCall = ({ operation, path }) => {
    if (operation === 'write' && path === full && disk.exists('/d/log/reserve'))
      throw Object.assign(new Error('no room'), { code: 'ENOSPC' });
    return undefined;
  };
  engine.write([writeOf(2, [entry(2, 1, 2, 300)])]);
  engine.sync();
  t.not(engine.image.segments.at(-1)!.path, full, 'it has a successor');
  t.notOk(disk.exists('/d/log/reserve'));
  t.equal(open(disk.clone()).recovery.lastIndex, 2);
});

t.test('zeros that found no room are not counted', async (t) => {
  const disk = new MemoryDisk();
  const { engine } = open(disk, 1, { ...sizes, minSegmentBytes: 1 << 20, maxSegmentBytes: 1 << 20 });
  engine.write([writeOf(1, [entry(1, 1, 1, 100)], { term: 1, vote: 1 })]);
  const [segment] = engine.image.segments;
  let index = 1;
  const write = (): void => {
    index++;
    engine.write([writeOf(index, [entry(index, 1, index, 100)])]);
  };
  while (segment!.fileBytes - segment!.writeOffset > 200) write();
  setFree(disk, 1000);
  for (let i = 0; i < 3; i++) write();
  engine.sync();
  const fd = disk.open(segment!.path, 'read');
  t.ok(segment!.fileBytes <= disk.size(fd), `${segment!.fileBytes} of ${disk.size(fd)}`);
  t.ok(segment!.fileBytes >= segment!.writeOffset);
});

t.test('on a small disk segments stay small: a log shrinks by whole ones', async (t) => {
  const disk = new MemoryDisk();
  disk.capacityBytes = 64 << 10;
  const { engine } = open(disk, 1, { ...sizes, minSegmentBytes: 1024, maxSegmentBytes: 1 << 20 });
  engine.checkSpace();
  for (let i = 1; i <= 60; i++)
    engine.write([writeOf(i, [entry(i, 1, i, 500)], i === 1 ? { term: 1, vote: 1 } : null)]);
  engine.sync();
  const largest = Math.max(...engine.image.segments.map(({ header }) => header.capacityBytes));
  t.equal(largest, 4096);
});
