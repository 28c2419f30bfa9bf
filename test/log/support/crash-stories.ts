import { SnapshotFiles } from '../../../lib/log/snapshot-files.ts';
import { config } from '../helpers.ts';
import { CrashLife } from './crash-life.ts';

/** An operation of the crash table, and lives in which it is done. Each returns its life when it is over. */
export interface CrashStory {
  /** As the table in docs/storage.md calls it. */
  readonly operation: string;
  readonly lives: readonly (() => CrashLife)[];
}

/** Everything in one segment. */
const ROOMY = { minSegmentBytes: 8192, maxSegmentBytes: 8192 };

/** Segments are filled with zeros to their ends at once, so that they can be used again. */
const FILLED = { fillBytes: 8192 };

/** A life with something in its log. */
function begun(sizes = {}): CrashLife {
  const life = new CrashLife(sizes);
  life.append([[40, 40], [10]]);
  return life;
}

/** A log of several segments with entries up to 12. */
function long(sizes = {}): CrashLife {
  const life = new CrashLife(sizes);
  for (let i = 0; i < 12; i++) life.append([[100]]);
  return life;
}

/** In quarantine, with the first segment gone: the log is short of what was acknowledged. */
function damaged(): CrashLife {
  const life = long();
  life.close();
  const path = life.disk.files().find((name) => name.endsWith('.log'))!;
  life.disk.unlink(path);
  life.disk.syncDirectory('/d/log');
  life.expect({ sick: true });
  life.acknowledge();
  return life;
}

const append: CrashStory = {
  operation: 'append',
  lives: [
    () => {
      const life = begun(ROOMY);
      life.during(() => {
        life.append([[10, 700, 30], [1400]]);
        life.append([[5]]);
      });
      return life;
    },
    // The tail is replaced by a later leader's entries.
    () => {
      const life = begun(ROOMY);
      life.append([[20, 20]]);
      life.during(() => {
        life.append([[600], [30]], 3, 2);
      });
      return life;
    },
    // Over zeros that were laid ahead.
    () => {
      const life = begun({ ...ROOMY, fillBytes: 2048, spareSegments: 0 });
      while (life.engine.prepare());
      life.during(() => {
        life.append([[1500, 10]]);
      });
      return life;
    },
  ],
};

const vote: CrashStory = {
  operation: 'vote, new term',
  lives: [
    () => {
      const life = begun(ROOMY);
      life.during(() => {
        life.vote(2, 0);
        life.vote(2, 3);
        life.append([[20]], 4);
        life.vote(9, 1);
      });
      return life;
    },
  ],
};

const roll: CrashStory = {
  operation: 'roll',
  lives: [
    () => {
      const life = begun({ spareSegments: 0 });
      life.during(() => {
        for (let i = 0; i < 5; i++) life.append([[150], [30]]);
      });
      return life;
    },
    // Into spares, which are full of an earlier life.
    () => {
      const life = long(FILLED);
      life.takeSnapshot(9, 100);
      life.compact(9);
      life.during(() => {
        for (let i = 0; i < 3; i++) life.append([[300]], 2 + i, i === 1 ? 1 : 0);
      });
      return life;
    },
    // A spare that is too large after a change of sizes, and a write larger than any segment.
    () => {
      const life = begun();
      life.append([[900]]);
      for (let i = 0; i < 40; i++) life.engine.prepare();
      life.sizes = { ...life.sizes, minSegmentBytes: 256, maxSegmentBytes: 256 };
      life.close();
      life.open();
      life.during(() => {
        life.append([[400]]);
        life.append([[3000]]);
        life.append([[40]]);
      });
      return life;
    },
    // One that has rotted while it was written to, and is not full.
    () => {
      const life = begun(ROOMY);
      const { path } = life.engine.image.current;
      life.during(() => {
        life.engine.leave({ file: path, offset: 64, reason: 'for the test' });
        life.append([[30]], 2);
      });
      life.takeSnapshot(3, 100);
      life.during(() => {
        life.append([[30]], 3);
      });
      return life;
    },
  ],
};

const ahead: CrashStory = {
  operation: 'work ahead',
  lives: [
    () => {
      const sizes = { fillBytes: 256, minSegmentBytes: 2048, maxSegmentBytes: 2048, reserveBytes: 512 };
      const life = begun(sizes);
      life.append([[1000]]);
      life.during(() => {
        while (life.engine.prepare());
      });
      return life;
    },
  ],
};

const fullDisk: CrashStory = {
  operation: 'full disk',
  lives: [
    () => {
      const life = begun({ reserveBytes: 4096, fillBytes: 1024 });
      while (life.engine.prepare());
      const { freeBytes, totalBytes } = life.disk.space();
      life.disk.capacityBytes = totalBytes - freeBytes + 64;
      life.during(() => {
        life.append([[900]]);
        life.append([[100]], 2);
      });
      life.disk.capacityBytes = totalBytes;
      return life;
    },
    // Before it is full: files made ahead are given up, and none are kept.
    () => {
      const life = long({ lowSpaceBytes: 4096 });
      while (life.engine.prepare());
      const { freeBytes, totalBytes } = life.disk.space();
      life.disk.capacityBytes = totalBytes - freeBytes + 1000;
      life.takeSnapshot(9, 100);
      life.during(() => {
        life.engine.checkSpace();
        life.compact(9);
      });
      life.disk.capacityBytes = totalBytes;
      return life;
    },
  ],
};

const compaction: CrashStory = {
  operation: 'compaction',
  lives: [
    () => {
      const life = long(FILLED);
      life.takeSnapshot(11, 50);
      life.during(() => {
        life.compact(11);
      });
      life.append([[100]]);
      return life;
    },
    // A segment larger than the next one will be is of no use.
    () => {
      const life = begun();
      life.append([[3000]]);
      for (let i = 0; i < 5; i++) life.append([[400]]);
      life.takeSnapshot(8, 50);
      life.during(() => {
        life.compact(8);
      });
      return life;
    },
  ],
};

const stop: CrashStory = {
  operation: 'clean stop',
  lives: [
    () => {
      const life = begun(ROOMY);
      life.during(() => {
        life.close();
      });
      return life;
    },
  ],
};

const taken: CrashStory = {
  operation: 'snapshot taken',
  lives: [
    () => {
      const life = long();
      life.takeSnapshot(4, 300);
      life.during(() => {
        life.takeSnapshot(8, 1300);
      });
      return life;
    },
    // Given up half way.
    () => {
      const life = long();
      life.during(() => {
        const meta = { index: 5, term: 1, config, configIndex: 0 };
        const handle = life.snapshots.create(meta);
        life.snapshots.write(handle, new Uint8Array(100));
        life.snapshots.abort(handle);
      });
      return life;
    },
  ],
};

const received: CrashStory = {
  operation: 'snapshot received',
  lives: [
    () => {
      const life = long();
      life.takeSnapshot(4, 300);
      life.during(() => {
        life.installSnapshot(40, 3, 900);
      });
      return life;
    },
    // The log already holds the snapshot's last entry: it stays.
    () => {
      const life = begun(FILLED);
      life.during(() => {
        life.takeSnapshot(2, 200);
        life.compact(2);
      });
      return life;
    },
  ],
};

const restart: CrashStory = {
  operation: 'restart',
  lives: [
    // After a kill, with a write half done behind the end.
    () => {
      const life = long();
      const { writeOffset, path } = life.engine.image.current;
      const fd = life.disk.open(path, 'write');
      life.disk.write(fd, [new Uint8Array(60).fill(0xa5)], writeOffset);
      life.kill();
      life.during(() => {
        life.open();
        life.append([[30]]);
      });
      return life;
    },
    // After a clean stop, with an unfinished snapshot and a spare too many.
    () => {
      const life = long();
      life.takeSnapshot(4, 300);
      life.snapshots.create({ index: 9, term: 1, config, configIndex: 0 });
      life.kill();
      const fd = life.disk.open('/d/log/00000099.spare', 'create');
      life.disk.write(fd, [new Uint8Array(90).fill(1)], 0);
      life.disk.close(life.disk.open('/d/log/00000098.spare', 'create'));
      life.disk.close(life.disk.open('/d/log/00000097.spare', 'create'));
      life.during(() => {
        life.open();
        life.close();
        life.open();
      });
      return life;
    },
    // A snapshot was received, and the log not yet restarted behind it.
    () => {
      const life = long();
      const snapshots = new SnapshotFiles(life.disk, '/d/snapshots', 7, null);
      const meta = { index: 70, term: 5, config, configIndex: 0 };
      snapshots.commit(snapshots.create(meta));
      life.kill();
      const log = life.state.log.clone();
      log.apply({ ticket: 0, hardState: null, resetTo: meta, first: 0, last: 0, records: [] }, []);
      life.expect({ log, snapshot: 70 });
      life.acknowledge();
      life.during(() => {
        life.open();
        life.append([[30]], 6);
      });
      return life;
    },
    // A snapshot that has rotted, and is not needed.
    () => {
      const life = long();
      life.takeSnapshot(4, 300);
      life.close();
      const path = life.disk.files().find((name) => name.endsWith('.snap'))!;
      life.disk.corrupt(path, 200, 1);
      life.expect({ snapshot: 0 });
      life.acknowledge();
      life.during(() => {
        life.open();
      });
      return life;
    },
    // Two segments that a snapshot covers have rotted: they and what lies between go, in whatever order the disk likes.
    () => {
      const life = long();
      life.takeSnapshot(9, 100);
      life.close();
      const paths = life.disk.files().filter((name) => name.endsWith('.log'));
      for (const path of [paths[0]!, paths[2]!]) life.disk.corrupt(path, 90, 1);
      life.during(() => {
        life.open();
        life.append([[30]], 2);
      });
      return life;
    },
  ],
};

const quarantine: CrashStory = {
  operation: 'quarantine',
  lives: [
    // A loss is found out, and made good.
    () => {
      const life = begun();
      life.during(() => {
        life.expect({ sick: true });
        life.engine.setQuarantine('shorter than it was');
        life.acknowledge();
        life.append([[30]]);
        life.vote(3, 2);
        life.expect({ sick: false });
        life.engine.setQuarantine(null);
        life.acknowledge();
      });
      return life;
    },
    // A damaged log: terms go on, a snapshot takes its place, and only then the node is whole.
    () => {
      const life = damaged();
      life.during(() => {
        life.open();
        life.vote(7, 0);
        life.installSnapshot(90, 7, 400, true);
        life.append([[40]], 7);
        life.expect({ sick: false });
        life.engine.setQuarantine(null);
        life.acknowledge();
      });
      return life;
    },
    // The vote file is gone: it is made anew, and says so.
    () => {
      const life = long();
      life.close();
      life.disk.unlink('/d/vote');
      life.disk.syncDirectory('/d');
      life.expect({ sick: true });
      life.acknowledge();
      life.during(() => {
        life.open();
      });
      return life;
    },
    // One copy in the vote file has rotted and is written again.
    () => {
      const life = begun();
      life.disk.corrupt('/d/vote', 20, 1);
      life.during(() => {
        life.engine.checkVotes(life.disk, () => undefined);
      });
      return life;
    },
  ],
};

export const logStories: readonly CrashStory[] = [
  append,
  vote,
  roll,
  ahead,
  fullDisk,
  compaction,
  stop,
  taken,
  received,
  restart,
  quarantine,
];
