import t from 'tap';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { chooser, entry, open, show, tinySizes, writeOf } from './helpers.ts';

const sizes = { ...tinySizes, minSegmentBytes: 4096, maxSegmentBytes: 4096 };
const ENTRIES = 9;

/** A log of one segment that was busy, idle, and then killed. */
function killed(): MemoryDisk {
  const disk = new MemoryDisk();
  const { engine } = open(disk, 1, sizes);
  for (let i = 1; i <= ENTRIES; i++) {
    engine.write([writeOf(i, [entry(i, 1, i, 60)], i === 1 ? { term: 1, vote: 2 } : null)]);
    engine.sync();
    while (engine.prepare());
  }
  disk.kill();
  return disk;
}

function cut(disk: MemoryDisk, path: string, length: number): void {
  const bytes = disk.content(path).subarray(0, length);
  disk.unlink(path);
  const fd = disk.open(path, 'create');
  disk.write(fd, [bytes], 0);
  disk.datasync(fd);
  disk.close(fd);
  disk.syncDirectory(path.slice(0, path.lastIndexOf('/')));
}

const lastSegment = (disk: MemoryDisk): string => disk.files().findLast((path) => path.endsWith('.log'))!;

t.test('a log that is cut short after the death of its process is not taken for a torn one', async (t) => {
  const whole = killed();
  const path = lastSegment(whole);
  const end = open(whole.clone(), 2, sizes).engine.image.current.writeOffset;
  t.equal(show(open(whole.clone(), 2, sizes)).split('\n').length, 3 + ENTRIES);
  for (let length = 0; length < end; length += 11) {
    const disk = whole.clone();
    cut(disk, path, length);
    const { recovery } = open(disk, 2, sizes);
    if (recovery.damage === null)
      t.fail(`cut at ${length} of ${end}: ${recovery.lastIndex} entries, not a word`);
    t.ok(recovery.hardStateKnown);
  }
});

t.test('an older copy of the last segment is noticed', async (t) => {
  const disk = new MemoryDisk();
  const { engine } = open(disk, 1, sizes);
  const copies: MemoryDisk[] = [];
  for (let i = 1; i <= ENTRIES; i++) {
    engine.write([writeOf(i, [entry(i, 1, i, 60)], i === 1 ? { term: 1, vote: 2 } : null)]);
    engine.sync();
    while (engine.prepare());
    copies.push(disk.clone());
  }
  disk.kill();
  copies.pop();
  const path = lastSegment(disk);
  for (const copy of copies) {
    const stale = disk.clone();
    cut(stale, path, 0);
    const fd = stale.open(path, 'write');
    stale.write(fd, [copy.content(path)], 0);
    t.match(open(stale, 2, sizes).recovery.damage?.reason, /was durable once/);
  }
});

t.test('a busy log is noted too, now and then', async (t) => {
  const disk = new MemoryDisk();
  const { engine } = open(disk, 1, sizes);
  for (let i = 1; i <= 130; i++) {
    engine.write([writeOf(i, [entry(i, 1, i & 255, 4)], i === 1 ? { term: 1, vote: 2 } : null)]);
    engine.sync();
  }
  disk.kill();
  const path = lastSegment(disk);
  const { image } = open(disk.clone(), 2, sizes).engine;
  const [segment] = image.segments.slice(-2);
  const stale = disk.clone();
  cut(stale, path, Math.floor(segment!.writeOffset / 3));
  t.not(open(stale, 2, sizes).recovery.damage, null);
});

t.test('the note is not synced, and a power loss that takes it leaves a log that opens', async (t) => {
  const disk = new MemoryDisk();
  const { engine } = open(disk, 1, sizes);
  let syncs = 0;
  disk.onCall = (call) => {
    if (call.operation === 'datasync' && call.path.endsWith('vote')) syncs++;
    return undefined;
  };
  engine.write([writeOf(1, [entry(1, 1, 1)], { term: 1, vote: 1 })]);
  engine.sync();
  const before = syncs;
  for (let i = 2; i < 9; i++) {
    engine.write([writeOf(i, [entry(i, 1, i)])]);
    engine.sync();
    while (engine.prepare());
  }
  t.equal(syncs, before);
  disk.onCall = null;
  for (let seed = 0; seed < 50; seed++) {
    const image = disk.fork();
    image.crash(chooser(seed));
    const { recovery } = open(image, 2, sizes);
    t.equal(recovery.damage ?? recovery.doubt, null);
    t.equal(recovery.lastIndex, 8);
  }
});
