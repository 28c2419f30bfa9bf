import t from 'tap';
import type { EngineOptions } from '../../lib/log/log-engine.ts';
import { LogLane } from '../../lib/log/log-lane.ts';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { openLogFiles } from '../../lib/log/open-log-files.ts';
import { SnapshotFiles } from '../../lib/log/snapshot-files.ts';
import { config, entry, open, tinySizes, writeOf } from './helpers.ts';

interface Rig {
  readonly disk: MemoryDisk;
  readonly lane: LogLane;
  readonly durable: number[];
  readonly failures: Error[];
  /** Looks at the full disk so far. */
  waits(): number;
  /** Writes entry `index`, which takes a segment of its own. */
  append(index: number): void;
  run(): void;
  /** A snapshot of everything up to `index`, durable. */
  snapshot(index: number): void;
  segments(): string[];
}

/** A lane that is hosted as the log thread does it; `whileWaiting` happens at each look at the full disk. */
function rig(whileWaiting: (rig: Rig, waits: number) => void): Rig {
  const disk = new MemoryDisk();
  const durable: number[] = [];
  const failures: Error[] = [];
  let waits = 0;
  const options: EngineOptions = {
    sizes: { ...tinySizes, spareSegments: 0 },
    owner: 7,
    random: () => undefined,
    waitForRoom: () => {
      whileWaiting(made, ++waits);
      // One that waits for ever is seen as a failure, and does not keep the test.
      return lane.compactForRoom() || waits < 20;
    },
  };
  const { engine } = openLogFiles(disk, '/d', options, true);
  const lane: LogLane = new LogLane(
    engine,
    {
      durable: (ticket) => durable.push(ticket),
      failed: (error) => failures.push(error),
      slice: () => undefined,
      done: () => undefined,
      changed: () => undefined,
    },
    tinySizes.maxGroupBytes,
  );
  const made: Rig = {
    disk,
    lane,
    durable,
    failures,
    waits: () => waits,
    append: (index) => {
      lane.append(writeOf(index, [entry(index, 1, index, 300)], index === 1 ? { term: 1, vote: 1 } : null));
    },
    run: () => {
      while (lane.next !== null && lane.next !== 'prepare') lane.step();
    },
    snapshot: (index) => {
      const snapshots = new SnapshotFiles(disk, '/d/snapshots', 7, null);
      snapshots.commit(snapshots.create({ index, term: 1, config, configIndex: 0 }));
    },
    segments: () => disk.files().filter((path) => path.endsWith('.log')),
  };
  return made;
}

/** Entries 1 to `count`, and a disk on which `freeBytes` are left. */
function filled(made: Rig, count: number, freeBytes: number): void {
  for (let i = 1; i <= count; i++) {
    made.append(i);
    made.run();
  }
  const { freeBytes: free, totalBytes } = made.disk.space();
  made.disk.capacityBytes = totalBytes - free + freeBytes;
}

t.test('a write that waits for room gets that of a compaction that was asked for behind it', async (t) => {
  // The log thread stood still for good, and the order that would have ended that lay in its queue.
  const made = rig(({ lane }, waits) => {
    if (waits === 2) lane.compact(8);
  });
  filled(made, 8, 4000);
  made.snapshot(8);
  made.disk.capacityBytes -= made.disk.space().freeBytes;
  const before = made.segments();
  made.append(9);
  made.append(10);
  made.run();
  t.same(made.failures, []);
  t.equal(made.durable.at(-1), 10);
  t.ok(made.waits() < 8, `${made.waits()} looks`);
  t.notOk(made.disk.exists(before[0]!));
  made.disk.capacityBytes *= 2;
  made.disk.kill();
  t.match(open(made.disk).recovery, { damage: null, lastIndex: 10, snapshot: { index: 8 } });
});

t.test('the last segments stay: one is in the making, the other gets its end mark', async (t) => {
  const made = rig(({ lane }, waits) => {
    if (waits === 1) lane.compact(3);
  });
  filled(made, 3, 4000);
  made.snapshot(3);
  made.disk.capacityBytes -= made.disk.space().freeBytes;
  const last = made.segments().at(-1)!;
  // Room for the new segment, and none for the mark of the old one before everything that may go has gone.
  made.disk.onCall = ({ operation, path }) => {
    if (operation === 'write' && path === last && made.waits() < 6)
      throw Object.assign(new Error('no room'), { code: 'ENOSPC' });
    return undefined;
  };
  made.append(4);
  made.lane.step();
  t.ok(made.disk.exists(last), 'until it has its mark');
  made.run();
  t.same(made.failures, []);
  t.equal(made.durable.at(-1), 4);
  made.disk.kill();
  made.disk.onCall = null;
  made.disk.capacityBytes *= 2;
  t.match(open(made.disk).recovery, { damage: null, lastIndex: 4 });
});

t.test('where there is no room to note that a segment goes, it stays, and the log goes on', async (t) => {
  // File systems that copy on write need some for a removal.
  let refused = 0;
  const made = rig(({ disk, lane }, waits) => {
    if (waits === 1) lane.compact(6);
    if (waits === 4) disk.onCall = null;
  });
  filled(made, 6, 4000);
  made.snapshot(6);
  made.disk.capacityBytes -= made.disk.space().freeBytes;
  made.disk.onCall = ({ operation, path }) => {
    if (operation !== 'unlink' || !path.endsWith('.log')) return undefined;
    refused++;
    throw Object.assign(new Error('no room'), { code: 'ENOSPC' });
  };
  made.append(7);
  made.run();
  t.ok(refused > 0);
  t.same(made.failures, []);
  t.equal(made.durable.at(-1), 7);
  made.disk.capacityBytes *= 2;
  made.disk.kill();
  t.match(open(made.disk).recovery, { damage: null, lastIndex: 7 });
});
