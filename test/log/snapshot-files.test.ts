import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { SnapshotFiles, recoverSnapshots } from '../../lib/log/snapshot-files.ts';
import { CHUNK_BYTES } from '../../lib/log/snapshot-format.ts';
import { chooser, config } from './helpers.ts';

const DIR = '/d/snapshots';
const OWNER = 5;

function make(): { disk: MemoryDisk; files: SnapshotFiles } {
  const disk = new MemoryDisk();
  disk.mkdir(DIR);
  return { disk, files: new SnapshotFiles(disk, DIR, OWNER, null) };
}

const metaOf = (
  index: number,
): { index: number; term: number; config: typeof config; configIndex: number } => ({
  index,
  term: 2,
  config,
  configIndex: 1,
});

function content(bytes: number, seed: number): Buffer {
  const choose = chooser(seed);
  const buffer = Buffer.alloc(bytes);
  for (let i = 0; i < bytes; i += 97) buffer[i] = choose(256);
  return buffer;
}

function readAll(files: SnapshotFiles, handle: number, step: number): Buffer {
  const parts: Uint8Array[] = [];
  for (let offset = 0; ;) {
    const part = files.read(handle, offset, step);
    if (part.length === 0) return Buffer.concat(parts);
    parts.push(part);
    offset += part.length;
  }
}

/** The digest names the content, whatever pieces it came in. */
function digestOf(whole: Buffer): string {
  const hash = createHash('sha256');
  for (let at = 0, number = 0; at < whole.length; at += CHUNK_BYTES, number++) {
    const chunk = whole.subarray(at, at + CHUNK_BYTES);
    const header = Buffer.alloc(8);
    header.writeUInt32LE(chunk.length, 0);
    header.writeUInt32LE(crc32(chunk, number), 4);
    hash.update(header);
  }
  return hash.digest('hex');
}

t.test('content comes back as it was written, whatever the pieces', async (t) => {
  const sizes = fc.constantFrom(0, 1, 1000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES);
  const pieces = fc.constantFrom(1000, 65_536, CHUNK_BYTES, 2 * CHUNK_BYTES + 5);
  fc.assert(
    fc.property(sizes, pieces, pieces, (bytes, writeStep, readStep) => {
      const { disk, files } = make();
      const whole = content(bytes, bytes);
      const writer = files.create(metaOf(9));
      for (let at = 0; at < bytes; at += writeStep) files.write(writer, whole.subarray(at, at + writeStep));
      const stored = files.commit(writer);
      const { latest, unreadable } = recoverSnapshots(disk, DIR, OWNER);
      const { handle } = files.open(stored.meta);
      return (
        stored.sizeBytes === bytes &&
        stored.digest === digestOf(whole) &&
        readAll(files, handle, readStep).equals(whole) &&
        latest?.digest === stored.digest &&
        unreadable.length === 0
      );
    }),
    { numRuns: 40 },
  );
  t.pass();
});

t.test('only what is committed counts, and unfinished files go at the start', async (t) => {
  const { disk, files } = make();
  const first = files.create(metaOf(3));
  files.write(first, Buffer.from('abc'));
  t.equal(files.latest, null);
  t.equal(recoverSnapshots(disk, DIR, OWNER).latest, null);
  t.same(disk.files(), [], 'the unfinished file was removed');
  const second = files.create(metaOf(4));
  files.abort(second);
  files.abort(second);
  t.same(disk.files(), []);
  t.throws(() => files.commit(second), { code: 'CLOSED' });
});

t.test('a newer snapshot replaces the older, which readers keep until they close', async (t) => {
  const { disk, files } = make();
  const old = files.create(metaOf(3));
  files.write(old, Buffer.from('old'));
  const stored = files.commit(old);
  const reader = files.open(stored.meta);
  files.commit(files.create(metaOf(8)));
  t.equal(files.latest?.meta.index, 8);
  t.equal(disk.files().length, 2);
  t.equal(Buffer.from(files.read(reader.handle, 0, 100)).toString(), 'old');
  files.release(reader.handle);
  files.release(reader.handle);
  t.equal(disk.files().length, 1);
  t.throws(() => files.read(reader.handle, 0, 1), { code: 'CLOSED' });
});

t.test('content with another digest than announced is refused and leaves nothing', async (t) => {
  const { disk, files } = make();
  const handle = files.create(metaOf(3));
  files.write(handle, Buffer.from('abc'));
  t.throws(() => files.commit(handle, '00'), { code: 'SNAPSHOT_DAMAGED' });
  t.same(disk.files(), []);
  t.equal(files.latest, null);
});

t.test('content that the disk changed is noticed when it is read back', async (t) => {
  const { disk, files } = make();
  const handle = files.create(metaOf(3));
  files.write(handle, Buffer.alloc(5000, 9));
  disk.onCall = (call) => {
    // Between the last write and the reading back.
    if (call.operation === 'datasync') disk.corrupt(call.path, 3000, 4);
    return undefined;
  };
  t.throws(() => files.commit(handle), { code: 'SNAPSHOT_DAMAGED' });
  disk.onCall = null;
  t.same(disk.files(), []);
});

t.test('a snapshot that cannot get its name does not count, and is not left in the way', async (t) => {
  const { disk, files } = make();
  for (const operation of ['rename', 'syncDirectory']) {
    const handle = files.create(metaOf(3));
    files.write(handle, Buffer.from('abc'));
    disk.onCall = (call) => {
      if (call.operation === operation) throw Object.assign(new Error('full'), { code: 'ENOSPC' });
      return undefined;
    };
    t.throws(() => files.commit(handle), { code: 'ENOSPC' });
    disk.onCall = null;
    t.equal(files.latest, null);
    t.same(
      disk.files().filter((name) => name.endsWith('.tmp')),
      [],
      operation,
    );
  }
});

t.test('a snapshot that a full disk does not let begin leaves no file and no descriptor', async (t) => {
  const { disk, files } = make();
  const opened = t.capture(disk, 'openDirect', disk.openDirect.bind(disk));
  const closed = t.capture(disk, 'close', disk.close.bind(disk));
  disk.onCall = ({ operation }) => {
    if (operation === 'write') throw Object.assign(new Error('full'), { code: 'ENOSPC' });
    return undefined;
  };
  for (let i = 0; i < 3; i++) t.throws(() => files.create(metaOf(3)), { code: 'ENOSPC' });
  t.same(disk.files(), []);
  t.equal(opened().length, 3);
  t.equal(closed().length, 3);
});

t.test('every flipped byte is noticed', async (t) => {
  const { disk, files } = make();
  const handle = files.create(metaOf(3));
  files.write(handle, content(700, 1));
  files.commit(handle);
  const path = disk.files()[0]!;
  const length = disk.content(path).length;
  for (let offset = 0; offset < length; offset++) {
    const rotten = disk.clone();
    rotten.corrupt(path, offset, 1 << (offset % 8));
    const { latest, unreadable } = recoverSnapshots(rotten, DIR, OWNER);
    if (latest !== null || unreadable.length !== 1) t.fail(`the flip at ${offset} went unnoticed`);
  }
  t.equal(recoverSnapshots(disk, DIR, OWNER + 1).latest, null, 'nor does the snapshot of another node count');
});

t.test('a crash at any call leaves the old snapshot or the new one', async (t) => {
  const found = new Set<number>();
  for (let seed = 0; seed < 300; seed++) {
    const { disk, files } = make();
    files.commit(files.create(metaOf(3)));
    const choose = chooser(seed);
    let calls = choose(25);
    let committed = false;
    disk.onCall = () => {
      if (calls-- <= 0) throw new Error('crash');
      return undefined;
    };
    try {
      const handle = files.create(metaOf(8));
      files.write(handle, Buffer.alloc(3000, 1));
      files.commit(handle);
      committed = true;
    } catch {
      // The crash.
    }
    disk.onCall = null;
    disk.crash(choose);
    const { latest, unreadable } = recoverSnapshots(disk, DIR, OWNER);
    t.equal(unreadable.length, 0);
    found.add(latest?.meta.index ?? 0);
    if (committed) t.equal(latest?.meta.index, 8);
  }
  t.same([...found].sort(), [3, 8]);
});
