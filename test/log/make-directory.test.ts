import fs, { existsSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';

import { makeDirectory } from '../../lib/log/make-directory.ts';

t.test('a directory and those it is in, for this user alone, however often', (t) => {
  const directory = path.join(t.testdir(), 'a', 'b', 'c');
  makeDirectory(directory);
  makeDirectory(directory);
  t.equal(statSync(directory).isDirectory(), true);
  if (process.platform !== 'win32') t.equal(statSync(path.dirname(directory)).mode & 0o777, 0o700);
  t.end();
});

t.test('each name is durable before anything lies below it', { skip: process.platform === 'win32' }, (t) => {
  const dir = t.testdir();
  const synced: string[] = [];
  const names = new Map<number, string>();
  const { openSync, fsyncSync } = fs;
  t.teardown(() => Object.assign(fs, { openSync, fsyncSync }));
  fs.openSync = (file, ...rest) => {
    const fd = openSync(file, ...rest);
    names.set(fd, String(file));
    return fd;
  };
  fs.fsyncSync = (fd) => {
    synced.push(path.relative(dir, names.get(fd)!));
    fsyncSync(fd);
  };
  makeDirectory(path.join(dir, 'a', 'b', 'c'));
  t.same(synced, ['', 'a', 'a/b']);
  makeDirectory(path.join(dir, 'a', 'b', 'c'));
  t.equal(synced.length, 3, 'what was there is left as it is');
  t.end();
});

t.test('a file in its place, or in its way', (t) => {
  const file = path.join(t.testdir(), 'file');
  writeFileSync(file, '');
  t.throws(() => makeDirectory(file), { code: 'EEXIST' });
  t.throws(() => makeDirectory(path.join(file, 'below')), { code: 'ENOTDIR' });
  t.end();
});

// Node's recursive mkdir never returns there: `cordwood start --data /proc/x` used a whole core and did nothing.
t.test('a file system that takes no directories', { skip: !existsSync('/proc/self') }, (t) => {
  t.throws(() => makeDirectory('/proc/cordwood'), { code: 'ENOENT' });
  t.throws(() => makeDirectory('/proc/cordwood/data'), { code: 'ENOENT' });
  t.end();
});
