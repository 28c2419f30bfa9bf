import t from 'tap';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { SnapshotFiles } from '../../lib/log/snapshot-files.ts';
import { config, entry, open, writeOf } from './helpers.ts';

/** A log with entries 1 to 4, and a snapshot at `index` that has rotted. */
function withRottenSnapshot(index: number): MemoryDisk {
  const disk = new MemoryDisk();
  const { engine } = open(disk);
  engine.write([
    writeOf(
      1,
      [1, 2, 3, 4].map((i) => entry(i, 1, i)),
      { term: 1, vote: 2 },
    ),
  ]);
  engine.sync();
  const files = new SnapshotFiles(disk, '/d/snapshots', 7, null);
  const handle = files.create({ index, term: 1, config, configIndex: 0 });
  files.write(handle, Buffer.from('what the machine holds'));
  files.commit(handle);
  engine.close();
  const name = disk.files().find((path) => path.startsWith('/d/snapshots/'))!;
  disk.corrupt(name, disk.content(name).length >> 1, 1);
  return disk;
}

t.test('a rotten snapshot that the log reaches back beyond is not needed', async (t) => {
  const { recovery } = open(withRottenSnapshot(4));
  t.match(recovery, { damage: null, snapshot: null, lastIndex: 4 });
});

t.test('one that held more than the log is a loss: the node has said that it had that', async (t) => {
  // Received from a leader and acknowledged; the log was about to be restarted behind it.
  const { recovery } = open(withRottenSnapshot(6));
  t.match(recovery.damage, { file: /snapshots/ });
});
