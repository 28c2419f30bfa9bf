import t from 'tap';
import type { HardState } from '../../lib/core/types.ts';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { entry, open, writeOf } from './helpers.ts';

/** A log that ends with `hardState` and has rotted in its second entry. */
function damaged(hardState: HardState): MemoryDisk {
  const disk = new MemoryDisk();
  const { engine } = open(disk);
  for (let i = 1; i <= 3; i++) {
    engine.write([writeOf(i, [entry(i, 1, i)], i === 1 ? hardState : null)]);
    engine.sync();
  }
  engine.close();
  const body = Buffer.alloc(8, 2);
  const name = disk.files().find((path) => Buffer.from(disk.content(path)).includes(body))!;
  disk.corrupt(name, Buffer.from(disk.content(name)).indexOf(body), 1);
  return disk;
}

for (const [before, after] of [
  [
    { term: 1, vote: 2 },
    { term: 5, vote: 0 },
  ],
  [
    { term: 1, vote: 0 },
    { term: 1, vote: 3 },
  ],
] as const) {
  t.test(`a node whose log takes nothing keeps ${after.term}/${after.vote} all the same`, async (t) => {
    const disk = damaged(before);
    const { engine, recovery } = open(disk);
    t.not(recovery.damage, null);
    t.same(recovery.hardState, before);
    engine.write([writeOf(1, [], after)]);
    engine.sync();
    disk.crash(() => 0);
    const again = open(disk);
    t.not(again.recovery.damage, null);
    t.same(again.recovery.hardState, after);
  });
}
