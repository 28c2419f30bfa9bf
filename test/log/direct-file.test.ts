import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { readFully, writeFully } from '../../lib/log/disk.ts';
import { NodeDisk } from '../../lib/log/node-disk.ts';

const bytes = fc.integer({ min: 1, max: 20_000 });
const pieces = fc.array(fc.array(bytes, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 12 });

let filler = 0;
const made = (length: number): Uint8Array => new Uint8Array(length).fill((filler = (filler % 250) + 1));

t.test(
  'what is written one behind the other is there, and behind it less than a page of zeros',
  async (t) => {
    const file = path.join(t.testdir(), 'log');
    fc.assert(
      fc.property(pieces, fc.boolean(), (writes, reopens) => {
        fs.rmSync(file, { force: true });
        const disk = new NodeDisk();
        let fd = disk.openDirect(file, 'create');
        const expected: Uint8Array[] = [];
        let at = 0;
        for (const lengths of writes) {
          const parts = lengths.map(made);
          at += writeFully(disk, fd, parts, at);
          expected.push(...parts);
          if (!reopens) continue;
          disk.close(fd);
          fd = disk.openDirect(file, 'write');
        }
        disk.datasync(fd);
        disk.close(fd);
        const found = fs.readFileSync(file);
        const wanted = Buffer.concat(expected);
        t.ok(found.subarray(0, at).equals(wanted));
        t.ok(found.length - at < 4096);
        t.ok(found.subarray(at).every((byte) => byte === 0));
      }),
      { numRuns: 60 },
    );
  },
);

t.test('two files of one disk, written in turn, do not get into each other', async (t) => {
  const directory = t.testdir();
  const disk = new NodeDisk();
  const files = ['a', 'b'].map((name) => path.join(directory, name));
  const fds = files.map((file) => disk.openDirect(file, 'create'));
  for (let i = 0; i < 50; i++) {
    for (const [which, fd] of fds.entries()) disk.write(fd, [Buffer.alloc(300, which + 1)], i * 300);
  }
  for (const [which, file] of files.entries()) {
    const content = fs.readFileSync(file);
    t.ok(content.subarray(0, 15_000).equals(Buffer.alloc(15_000, which + 1)));
    disk.close(fds[which]!);
  }
});

t.test('files that are written and read in any order do not get into each other', async (t) => {
  const directory = t.testdir();
  const step = fc.record({
    which: fc.nat(2),
    what: fc.constantFrom('write', 'write', 'write', 'read', 'cut'),
    length: fc.oneof(fc.integer({ min: 1, max: 300 }), bytes),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const disk = new NodeDisk();
      const files = [0, 1, 2].map((which) => {
        const file = path.join(directory, String(which));
        fs.rmSync(file, { force: true });
        return { fd: disk.openDirect(file, 'create'), content: Buffer.alloc(0) };
      });
      for (const { which, what, length } of steps) {
        const file = files[which]!;
        const end = file.content.length;
        if (what === 'write') {
          const part = made(length);
          writeFully(disk, file.fd, [part], end);
          file.content = Buffer.concat([file.content, part]);
        } else if (what === 'cut') {
          file.content = file.content.subarray(0, length);
          disk.truncate(file.fd, file.content.length);
        } else {
          const into = Buffer.alloc(length);
          const from = Math.max(0, end - length);
          const wanted = file.content.subarray(from);
          readFully(disk, file.fd, into, 0, wanted.length, from);
          t.ok(into.subarray(0, wanted.length).equals(wanted));
        }
      }
      for (const { fd, content } of files) {
        const found = Buffer.alloc(content.length);
        t.equal(readFully(disk, fd, found, 0, content.length, 0), content.length);
        t.ok(found.equals(content));
        disk.close(fd);
      }
    }),
    { numRuns: 60 },
  );
});

t.test('a write longer than the memory it goes through is taken piece by piece', async (t) => {
  const file = path.join(t.testdir(), 'log');
  const disk = new NodeDisk();
  const fd = disk.openDirect(file, 'create');
  const content = Buffer.alloc(3_000_001);
  for (let i = 0; i < content.length; i++) content[i] = (i * 31) >>> 3;
  writeFully(disk, fd, [Buffer.from('head'), content], 0);
  disk.close(fd);
  t.ok(fs.readFileSync(file).subarray(4, 3_000_005).equals(content));
});

t.test('reading gives what is there, wherever it begins and ends', async (t) => {
  const file = path.join(t.testdir(), 'log');
  const content = Buffer.alloc(2_500_123);
  for (let i = 0; i < content.length; i++) content[i] = (i * 31) >>> 3;
  fs.writeFileSync(file, content);
  const disk = new NodeDisk();
  const fd = disk.openDirect(file, 'read');
  const place = fc.record({
    from: fc.nat(content.length + 5000),
    length: fc.nat(1_500_000),
    offset: fc.nat(9),
  });
  fc.assert(
    fc.property(place, ({ from, length, offset }) => {
      const into = Buffer.alloc(offset + length, 0xee);
      const wanted = content.subarray(from, from + length);
      t.equal(readFully(disk, fd, into, offset, length, from), wanted.length);
      t.ok(into.subarray(offset, offset + wanted.length).equals(wanted));
      t.ok(into.subarray(0, offset).every((byte) => byte === 0xee));
      t.ok(into.subarray(offset + wanted.length).every((byte) => byte === 0xee));
    }),
    { numRuns: 40 },
  );
  disk.close(fd);
});

t.test('a file that was cut goes on from there', async (t) => {
  const file = path.join(t.testdir(), 'log');
  const disk = new NodeDisk();
  const fd = disk.openDirect(file, 'create');
  disk.write(fd, [Buffer.alloc(5000, 1)], 0);
  disk.truncate(fd, 4500);
  t.equal(disk.size(fd), 4500);
  disk.write(fd, [Buffer.alloc(10, 2)], 4600);
  disk.truncate(fd, 4610);
  const wanted = Buffer.concat([Buffer.alloc(4500, 1), Buffer.alloc(100), Buffer.alloc(10, 2)]);
  t.ok(fs.readFileSync(file).equals(wanted));
  disk.close(fd);
});

t.test('writing again from the middle of a page keeps what stands before it', async (t) => {
  const file = path.join(t.testdir(), 'log');
  fs.writeFileSync(file, Buffer.alloc(10_000, 7));
  const disk = new NodeDisk();
  const fd = disk.openDirect(file, 'write');
  disk.write(fd, [Buffer.alloc(10, 1)], 5000);
  disk.write(fd, [Buffer.alloc(10, 2)], 4990);
  disk.close(fd);
  const content = fs.readFileSync(file);
  t.ok(content.subarray(0, 4990).equals(Buffer.alloc(4990, 7)));
  t.ok(content.subarray(4990, 5000).equals(Buffer.alloc(10, 2)));
});

// The functions of `fs` are replaced for a while: these run one after the other.
t.test('a file system without direct writes', { skip: process.platform !== 'linux' }, async (t) => {
  const refusal = Object.assign(new Error('EINVAL: invalid argument'), { code: 'EINVAL' });
  const writes = (disk: NodeDisk, file: string): void => {
    const fd = disk.openDirect(file, 'create');
    disk.write(fd, [Buffer.from('one '), Buffer.from('two')], 0);
    disk.write(fd, [Buffer.from(' three')], 7);
    disk.datasync(fd);
    disk.close(fd);
    t.equal(fs.readFileSync(file, 'utf8'), 'one two three');
  };

  t.test('says so when a file is opened', async (t) => {
    const { openSync } = fs;
    t.teardown(() => (fs.openSync = openSync));
    fs.openSync = ((file: string, flags: string | number, mode?: number) => {
      if (typeof flags === 'number') throw refusal;
      return openSync(file, flags, mode);
    }) as typeof fs.openSync;
    writes(new NodeDisk(), path.join(t.testdir(), 'log'));
  });

  t.test('says so with the first write', async (t) => {
    const { writeSync } = fs;
    t.teardown(() => (fs.writeSync = writeSync));
    let asked = 0;
    fs.writeSync = ((...args: Parameters<typeof fs.writeSync>) => {
      if (asked++ === 0) throw refusal;
      return writeSync(...args);
    }) as typeof fs.writeSync;
    const disk = new NodeDisk();
    const directory = t.testdir();
    const open = fs.readdirSync('/proc/self/fd').length;
    writes(disk, path.join(directory, 'a'));
    writes(disk, path.join(directory, 'b'));
    t.equal(fs.readdirSync('/proc/self/fd').length, open, 'nothing stays open');
  });

  t.test('any other error is the caller’s', async (t) => {
    const { writeSync } = fs;
    t.teardown(() => (fs.writeSync = writeSync));
    const disk = new NodeDisk();
    const fd = disk.openDirect(path.join(t.testdir(), 'log'), 'create');
    disk.write(fd, [Buffer.from('one')], 0);
    fs.writeSync = () => {
      throw refusal;
    };
    t.throws(() => disk.write(fd, [Buffer.from('two')], 3), { code: 'EINVAL' });
    fs.writeSync = writeSync;
    disk.write(fd, [Buffer.from('three')], 3);
    disk.close(fd);
  });
});
