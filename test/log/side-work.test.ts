import t from 'tap';
import { DirectLogStore } from '../../lib/log/direct-log-store.ts';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import type { DiskSpace } from '../../lib/log/space.ts';
import { tinySizes } from './helpers.ts';

/** Nothing in these stories needs a second segment: what finds no room is what is written beside the log. */
const sizes = {
  ...tinySizes,
  minSegmentBytes: 8192,
  maxSegmentBytes: 8192,
  fillBytes: 8192,
  reserveBytes: 4096,
};

function failure(code: string): Error {
  return Object.assign(new Error(code), { code });
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
