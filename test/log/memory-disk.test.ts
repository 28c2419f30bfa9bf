import fc from 'fast-check';
import t from 'tap';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { readFully, replaceSmallFile, writeFully } from '../../lib/log/disk.ts';
import { chooser } from './helpers.ts';

function make(): MemoryDisk {
  const disk = new MemoryDisk();
  disk.mkdir('/d');
  return disk;
}

t.test('what was synced survives every crash, what was not may', async (t) => {
  const fates = new Set<string>();
  for (let seed = 0; seed < 200; seed++) {
    const disk = make();
    const fd = disk.open('/d/a', 'create');
    disk.write(fd, [new Uint8Array(1024).fill(1)], 0);
    disk.datasync(fd);
    disk.syncDirectory('/d');
    disk.write(fd, [new Uint8Array(1024).fill(2)], 512);
    disk.crash(chooser(seed));
    const content = disk.content('/d/a');
    t.ok(content.subarray(0, 512).every((byte) => byte === 1));
    t.ok(
      content.subarray(512, 1024).every((byte) => byte === content[512]),
      'a sector is whole',
    );
    fates.add(`${content.length}:${content[512] ?? -1}:${content[1024] ?? -1}`);
    t.throws(() => disk.size(fd), { code: 'EBADF' });
  }
  t.same([...fates].sort(), ['1024:1:-1', '1024:2:-1', '1536:1:2', '1536:2:2']);
});

t.test('names that were not synced may be lost, in order', async (t) => {
  const found = new Set<string>();
  for (let seed = 0; seed < 200; seed++) {
    const disk = make();
    disk.close(disk.open('/d/a', 'create'));
    disk.syncDirectory('/d');
    disk.rename('/d/a', '/d/b');
    disk.close(disk.open('/d/c', 'create'));
    disk.unlink('/d/b');
    disk.crash(chooser(seed));
    found.add(disk.files().join(' '));
  }
  t.same([...found].sort(), ['/d/a', '/d/b', '/d/b /d/c', '/d/c']);
});

t.test('replacing a small file leaves the old one or the new one', async (t) => {
  const found = new Set<string>();
  for (let seed = 0; seed < 400; seed++) {
    const disk = make();
    replaceSmallFile(disk, '/d', 'x', Buffer.from('old'));
    const choose = chooser(seed);
    let calls = choose(12);
    disk.onCall = () => {
      if (calls-- <= 0) throw new Error('crash');
      return undefined;
    };
    try {
      replaceSmallFile(disk, '/d', 'x', Buffer.from('new!'));
    } catch {
      // The crash.
    }
    disk.onCall = null;
    disk.crash(choose);
    found.add(Buffer.from(disk.content('/d/x')).toString());
  }
  t.same([...found].sort(), ['new!', 'old']);
});

t.test('partial writes and reads add up', async (t) => {
  const parts = fc.array(fc.uint8Array({ maxLength: 40 }), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(parts, fc.integer({ min: 1, max: 9 }), (buffers, limit) => {
      const disk = make();
      disk.onCall = () => limit;
      const fd = disk.open('/d/a', 'create');
      const whole = Buffer.concat(buffers);
      if (writeFully(disk, fd, buffers, 3) !== whole.length) return false;
      const back = Buffer.alloc(whole.length);
      if (readFully(disk, fd, back, 0, whole.length, 3) !== whole.length) return false;
      return back.equals(whole);
    }),
  );
  t.pass();
});

t.test('errors are those of a file system', async (t) => {
  const disk = make();
  t.throws(() => disk.open('/d/none', 'read'), { code: 'ENOENT' });
  t.throws(() => disk.open('/none/a', 'create'), { code: 'ENOENT' });
  disk.close(disk.open('/d/a', 'create'));
  t.throws(() => disk.open('/d/a', 'create'), { code: 'EEXIST' });
  t.throws(() => disk.readdir('/none'), { code: 'ENOENT' });
  t.throws(() => disk.unlink('/d/b'), { code: 'ENOENT' });
  t.throws(() => disk.rename('/d/b', '/d/c'), { code: 'ENOENT' });
});
