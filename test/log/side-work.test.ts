import t from 'tap';
import { DirectLogStore } from '../../lib/log/direct-log-store.ts';
import type { DiskCall } from '../../lib/log/memory-disk.ts';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { VoteFile } from '../../lib/log/vote-file.ts';
import type { DiskSpace } from '../../lib/log/space.ts';
import { entry, open, tinySizes, writeOf } from './helpers.ts';

/** Nothing in these stories needs a second segment: what finds no room is what is written beside the log. */
const sizes = {
  ...tinySizes,
  minSegmentBytes: 8192,
  maxSegmentBytes: 8192,
  fillBytes: 8192,
  reserveBytes: 4096,
};
const RESERVE = '/d/log/reserve';

function failure(code: string): Error {
  return Object.assign(new Error(code), { code });
}

function running(disk: MemoryDisk): ReturnType<typeof open>['engine'] {
  const { engine } = open(disk, 1, sizes);
  engine.write([writeOf(1, [entry(1, 1, 1)], { term: 1, vote: 1 })]);
  engine.sync();
  while (engine.prepare());
  return engine;
}

/** A full disk that copies on write: what is overwritten needs room as well, until the reserve has gone. */
function full(disk: MemoryDisk, isMeant: (call: DiskCall) => boolean): () => number {
  let refused = 0;
  disk.onCall = (call) => {
    if (call.operation !== 'write' || !isMeant(call) || !disk.exists(RESERVE)) return undefined;
    refused++;
    throw failure('ENOSPC');
  };
  return () => refused;
}

t.test('a note of how far the log reaches that finds no room is made the next time', async (t) => {
  const disk = new MemoryDisk();
  const engine = running(disk);
  const refused = full(disk, ({ path }) => path === '/d/vote');
  engine.write([writeOf(2, [entry(2, 1, 2)])]);
  engine.sync();
  while (engine.prepare());
  t.ok(refused() > 0);
  t.ok(disk.exists(RESERVE), 'it is not worth the reserve');
  disk.onCall = null;
  const noted = (): unknown => VoteFile.open(disk, '/d', 7);
  t.match(noted(), { record: { lastBlock: engine.lastBlock - 1 } });
  engine.prepare();
  t.match(noted(), { record: { lastBlock: engine.lastBlock } });
});

t.test('a vote that finds no room gets that of the reserve', async (t) => {
  const disk = new MemoryDisk();
  const engine = running(disk);
  const refused = full(disk, ({ path }) => path === '/d/vote');
  engine.write([writeOf(2, [], { term: 2, vote: 2 })]);
  engine.sync();
  t.equal(refused(), 1);
  t.notOk(disk.exists(RESERVE));
  t.match(VoteFile.open(disk, '/d', 7), { record: { hardState: { term: 2, vote: 2 } } });
  engine.setQuarantine('older files');
  t.match(VoteFile.open(disk, '/d', 7), { record: { quarantine: 'older files' } });
});

for (const [what, path] of [
  ['the last block', '.log'],
  ['the votes', '/vote'],
] as const) {
  t.test(`a start that finds no room to write ${what} as it is gives up the reserve`, async (t) => {
    const disk = new MemoryDisk();
    running(disk);
    disk.kill();
    const refused = full(disk, (call) => call.path.endsWith(path));
    const { recovery } = open(disk, 2, sizes);
    t.equal(refused(), 1);
    t.match(recovery, { damage: null, doubt: null, lastIndex: 1, hardState: { term: 1, vote: 1 } });
    t.notOk(disk.exists(RESERVE));
  });
}

t.test('a look at the room that fails leaves what was seen last, and the log goes on', async (t) => {
  for (const code of ['EIO', 'ENOMEM', 'EINTR']) {
    const disk = new MemoryDisk();
    const seen: DiskSpace[] = [];
    const failures: Error[] = [];
    const queue: (() => void)[] = [];
    const log = new DirectLogStore({
      disk,
      path: '/d',
      sizes,
      random: () => undefined,
      schedule: (_step, _bytes, run) => queue.push(run),
      events: {
        onDurable: () => undefined,
        onFailure: (error) => failures.push(error),
        onSpace: (space) => seen.push(space),
      },
    });
    const look = (): void => {
      log.checkSpace();
      while (queue.length > 0) queue.shift()!();
    };
    const { space } = disk;
    const broken = (): never => {
      throw failure(code);
    };
    disk.space = broken;
    look();
    t.same(seen, [], 'nothing was seen yet');
    disk.space = space;
    look();
    disk.space = broken;
    look();
    t.same(failures, []);
    t.equal(seen.length, 2);
    t.same(seen[1], seen[0]);
    await log.close();
  }
});
