import t from 'tap';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { entry, open, show, writeOf } from './helpers.ts';

/** A log whose last sync has failed: reads see its last block, the disk has not got it and never will. */
function failed(): MemoryDisk {
  const disk = new MemoryDisk();
  const { engine } = open(disk);
  engine.write([writeOf(1, [entry(1, 1, 1)], { term: 1, vote: 2 })]);
  engine.sync();
  engine.write([writeOf(2, [entry(2, 2, 2)], { term: 2, vote: 3 })]);
  disk.onCall = ({ operation }) => {
    if (operation === 'datasync') throw Object.assign(new Error('EIO'), { code: 'EIO' });
    return undefined;
  };
  t.throws(() => engine.sync(), { code: 'LOG_FAILED' });
  disk.onCall = null;
  t.throws(() => engine.sync(), { code: 'LOG_FAILED' }, 'though the disk would say yes by now');
  disk.kill();
  return disk;
}

t.test('a failed sync is not tried again: what it was for may be lost', async (t) => {
  const disk = failed();
  disk.crash(() => 0);
  t.equal(open(disk).recovery.lastIndex, 1);
});

t.test('whoever starts with what a failed sync has left writes it once more', async (t) => {
  const disk = failed();
  const opened = open(disk);
  t.match(opened.recovery, { lastIndex: 2, hardState: { term: 2, vote: 3 }, damage: null });
  const found = show(opened);
  disk.crash(() => 0);
  const again = open(disk);
  t.equal(again.recovery.damage, null);
  t.equal(show(again), found, 'others may have been told of it meanwhile');
});
