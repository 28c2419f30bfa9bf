import t from 'tap';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { PeerFile } from '../../lib/log/peer-file.ts';

function emptyDisk(): MemoryDisk {
  const disk = new MemoryDisk();
  disk.mkdir('data');
  return disk;
}

t.test('what is remembered is there after a crash, whatever the disk loses', async (t) => {
  const disk = emptyDisk();
  const file = new PeerFile(disk, 'data');
  t.equal(file.incarnationOf(2), undefined);
  file.remember(2, 'two');
  file.remember(10, 'ten');
  disk.crash(() => 0);
  const again = new PeerFile(disk, 'data');
  t.equal(again.incarnationOf(2), 'two');
  t.equal(again.incarnationOf(10), 'ten');
  t.equal(again.incarnationOf(3), undefined);
});

t.test('a crash or a fault at any call leaves the file as it was, or with the new peer', async (t) => {
  for (let fatal = 0; ; fatal++) {
    const disk = emptyDisk();
    new PeerFile(disk, 'data').remember(1, 'one');
    const file = new PeerFile(disk, 'data');
    let calls = 0;
    disk.onCall = () => {
      if (calls++ === fatal) throw Object.assign(new Error('no more'), { code: 'EIO' });
      return undefined;
    };
    let failed = false;
    try {
      file.remember(2, 'two');
    } catch {
      failed = true;
    }
    disk.onCall = null;
    t.equal(file.incarnationOf(2), failed ? undefined : 'two', 'nobody is trusted who is not on disk');
    disk.crash((below) => below - 1);
    const again = new PeerFile(disk, 'data');
    t.equal(again.incarnationOf(1), 'one');
    if (!failed) {
      t.equal(again.incarnationOf(2), 'two');
      break;
    }
  }
});

t.test('a damaged file is noticed', async (t) => {
  const disk = emptyDisk();
  new PeerFile(disk, 'data').remember(2, 'two');
  const fd = disk.open('data/peers', 'write');
  disk.write(fd, [Uint8Array.of(0x20)], 5);
  disk.close(fd);
  const rotten = new PeerFile(disk, 'data');
  t.match(rotten.damage, /data\/peers does not verify/);
  t.equal(rotten.incarnationOf(2), undefined, 'nothing of it is believed');
  rotten.remember(3, 'three');
  const mended = new PeerFile(disk, 'data');
  t.equal(mended.damage, null);
  t.equal(mended.incarnationOf(3), 'three');
});
