import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { inspectDirectory } from '../../lib/log/inspect-directory.ts';
import { NodeDisk } from '../../lib/log/node-disk.ts';
import { writeNewDirectory } from '../../lib/log/new-directory.ts';
import type { Beginning } from '../../lib/log/new-directory.ts';
import { config, entry } from './helpers.ts';
import { makeDirectory } from './support/made-directory.ts';

const CHANGES = [
  'open',
  'write',
  'truncate',
  'datasync',
  'rename',
  'unlink',
  'mkdir',
  'syncDirectory',
] as const;

/** A disk on which the nth change fails. */
class FailingDisk extends NodeDisk {
  calls = 0;

  constructor(failAt: number) {
    super();
    for (const name of CHANGES) {
      const original = (NodeDisk.prototype[name] as (...args: unknown[]) => unknown).bind(this);
      Object.defineProperty(this, name, {
        value: (...args: unknown[]) => {
          if (++this.calls === failAt) throw Object.assign(new Error('no more'), { code: 'EIO' });
          return original(...args);
        },
      });
    }
  }
}

const whose = { clusterId: 'wood', nodeId: 1, members: config.members };
const beginning: Beginning = {
  hardState: { term: 3, vote: 0 },
  snapshot: {
    meta: { index: 10, term: 2, config, configIndex: 10 },
    content: () => [new Uint8Array(1000).fill(1)],
  },
  entries: () => [11, 12].map((index) => ({ first: index, last: index, bytes: entry(index, 3, 1).bytes })),
};

t.test('whichever step fails, there is nothing at the target, or all of it', async (t) => {
  const base = t.testdir();
  const target = path.join(base, 'node');
  const seen = { nothing: 0, whole: 0 };
  for (let failAt = 1; ; failAt++) {
    const disk = new FailingDisk(failAt);
    let failed = false;
    try {
      writeNewDirectory(disk, target, whose, beginning);
    } catch (error) {
      failed = true;
      t.match((error as Error).message, /no more/);
    }
    if (fs.existsSync(target)) {
      t.same(inspectDirectory(new NodeDisk(), target).problems, []);
      t.equal(inspectDirectory(new NodeDisk(), target).log.lastIndex, 12);
      fs.rmSync(target, { recursive: true });
      seen.whole++;
    } else seen.nothing++;
    t.same(fs.readdirSync(base), [], 'and nothing beside it');
    if (disk.calls < failAt) break;
    t.ok(failed, `the failure of step ${failAt} is not passed over`);
  }
  t.ok(seen.nothing > 30 && seen.whole >= 1, JSON.stringify(seen));
});

t.test('what a crash left is begun again; what is there is left alone', async (t) => {
  const base = t.testdir({ 'a.unfinished': { identity: 'half' }, b: {}, c: { mine: 'kept' }, d: 'a file' });
  writeNewDirectory(new NodeDisk(), path.join(base, 'a'), whose, beginning);
  t.same(inspectDirectory(new NodeDisk(), path.join(base, 'a')).problems, []);
  makeDirectory(path.join(base, 'b'));
  t.same(inspectDirectory(new NodeDisk(), path.join(base, 'b')).problems, [], 'an empty directory will do');
  for (const name of ['a', 'c', 'd']) {
    const target = path.join(base, name);
    t.throws(() => writeNewDirectory(new NodeDisk(), target, whose, beginning), { code: 'NOT_EMPTY' }, name);
  }
  t.equal(fs.readFileSync(path.join(base, 'c', 'mine'), 'utf8'), 'kept');
  t.same(fs.readdirSync(base).sort(), ['a', 'b', 'c', 'd']);
});

t.test('two directories of one beginning are two nodes', async (t) => {
  const base = t.testdir();
  const [one, two] = [1, 2].map((nodeId) =>
    writeNewDirectory(new NodeDisk(), path.join(base, String(nodeId)), { ...whose, nodeId }, beginning),
  );
  t.not(one!.incarnation, two!.incarnation);
  fs.cpSync(path.join(base, '1', 'log'), path.join(base, '2', 'log'), { recursive: true, force: true });
  t.match(inspectDirectory(new NodeDisk(), path.join(base, '2')).problems[0], { reason: /another node/ });
});
