// Rot in a part of the log that the newest snapshot covers: compaction might have removed that part at any time.
import t, { type Test } from 'tap';
import { inspectDirectory } from '../../lib/log/inspect-directory.ts';
import { writeIdentity } from '../../lib/log/identity.ts';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { openLogFiles, ownerOf } from '../../lib/log/open-log-files.ts';
import type { OpenedLogFiles } from '../../lib/log/open-log-files.ts';
import { SnapshotFiles } from '../../lib/log/snapshot-files.ts';
import { SurvivingLog } from '../../lib/log/surviving-log.ts';
import { LogModel, chooser, config, entry, show, tinySizes, writeOf } from './helpers.ts';

const ENTRIES = 24;
const SNAPSHOT = 15;
const OWNER = ownerOf('wood', 1, 'x');

function open(disk: MemoryDisk): OpenedLogFiles {
  const choose = chooser(9);
  const random = (bytes: Uint8Array): void => bytes.forEach((_, i) => (bytes[i] = choose(256)));
  return openLogFiles(disk, '/d', { sizes: tinySizes, owner: OWNER, random }, true);
}

function takeSnapshot(disk: MemoryDisk, index: number, term = 1): void {
  const files = new SnapshotFiles(disk, '/d/snapshots', OWNER, null);
  const handle = files.create({ index, term, config, configIndex: 0 });
  files.write(handle, new Uint8Array(700).fill(3));
  files.commit(handle);
}

/** A log of several segments with a snapshot in its middle, stopped in an orderly way or killed. */
function filled(stop: 'clean' | 'killed' = 'clean'): { disk: MemoryDisk; model: LogModel } {
  const disk = new MemoryDisk();
  const { engine } = open(disk);
  const model = new LogModel();
  for (let i = 1; i <= ENTRIES; i++) {
    const entries = [entry(i, 1, i, 60)];
    const write = writeOf(i, entries, i === 1 ? { term: 1, vote: 2 } : null);
    model.apply(write, entries);
    engine.write([write]);
    engine.sync();
  }
  takeSnapshot(disk, SNAPSHOT);
  if (stop === 'clean') engine.close();
  else disk.kill();
  const members = config.members;
  const identity = { clusterId: 'wood', nodeId: 1, incarnation: 'x', members, createdMs: 5 };
  writeIdentity(disk, '/d', identity);
  return { disk, model };
}

interface Place {
  readonly path: string;
  readonly prevIndex: number;
  readonly end: number;
}

function segments(disk: MemoryDisk): Place[] {
  return inspectDirectory(disk, '/d').log.segments.map(({ file, prevIndex, usedBytes }) => ({
    path: file,
    prevIndex,
    end: usedBytes,
  }));
}

/** Those that the snapshot makes superfluous. */
function coveredOf(disk: MemoryDisk): Place[] {
  const all = segments(disk);
  return all.slice(
    0,
    all.findLastIndex(({ prevIndex }) => prevIndex <= SNAPSHOT),
  );
}

for (const stop of ['clean', 'killed'] as const) {
  t.test(`a start goes on without segments that rot and are not needed (${stop})`, async (t) => {
    const { disk: whole, model } = filled(stop);
    const covered = coveredOf(whole);
    t.ok(covered.length >= 2 && covered.length < segments(whole).length - 1, `${covered.length} segments`);
    for (const { path, end } of covered) {
      for (let offset = 0; offset < end; offset += 37) {
        const disk = whole.clone();
        disk.corrupt(path, offset, 1 << (offset % 8));
        const opened = open(disk);
        const { recovery } = opened;
        if (recovery.damage !== null)
          t.fail(`${path} at ${offset}: ${recovery.damage.file} ${recovery.damage.reason}`);
        t.equal(recovery.doubt, null);
        t.not(recovery.covered, null, 'it is said');
        t.equal(show(opened), model.show(recovery.prevIndex));
        t.ok(recovery.prevIndex <= SNAPSHOT);
        t.notOk(disk.exists(path), 'what has rotted is gone');
        opened.engine.write([writeOf(1, [entry(ENTRIES + 1, 1, 200)])]);
        opened.engine.sync();
        disk.crash(() => 0);
        t.match(open(disk).recovery, { damage: null, covered: null, lastIndex: ENTRIES + 1 });
      }
    }
  });
}

t.test('a missing one, and one the disk cannot read, are not needed either', async (t) => {
  const { disk, model } = filled();
  const [, second] = coveredOf(disk);
  const unreadable = disk.clone();
  disk.unlink(second!.path);
  disk.syncDirectory('/d/log');
  const opened = open(disk);
  t.match(opened.recovery, { damage: null, covered: { reason: /is missing/ } });
  t.equal(show(opened), model.show(opened.recovery.prevIndex));
  unreadable.onCall = ({ operation, path }) => {
    if (operation === 'read' && path === second!.path) throw Object.assign(new Error('EIO'), { code: 'EIO' });
    return undefined;
  };
  t.match(open(unreadable).recovery, { damage: null, covered: { file: second!.path } });
});

/** What a start must leave as it is: it is damage, and every file stays. */
function refuses(t: Test, disk: MemoryDisk, why: string): void {
  const before = disk.files();
  const { recovery } = open(disk);
  t.not(recovery.damage, null, why);
  t.equal(recovery.covered, null, why);
  t.same(
    before.filter((path) => !disk.exists(path)),
    [],
    why,
  );
}

t.test('a start that cannot be sure changes nothing', async (t) => {
  const { disk: whole } = filled();
  const [first] = coveredOf(whole);
  const last = segments(whole).at(-1)!;
  const rotten = (): MemoryDisk => {
    const disk = whole.clone();
    disk.corrupt(first!.path, 100, 1);
    return disk;
  };
  t.equal(open(rotten()).recovery.damage, null, 'it would start');

  const voteless = rotten();
  for (const offset of [20, 4096 + 20]) voteless.corrupt('/d/vote', offset, 1);
  refuses(t, voteless, 'nobody can say how far the log reached, and in which terms it voted');
  t.equal(open(voteless).recovery.hardStateKnown, false);

  const short = rotten();
  short.unlink(last.path);
  short.syncDirectory('/d/log');
  refuses(t, short, 'the end of the log is gone as well');

  const twice = rotten();
  const snapshot = twice.files().find((path) => path.endsWith('.snap'))!;
  twice.corrupt(snapshot, 500, 1);
  refuses(t, twice, 'the snapshot has rotted as well');

  const needed = rotten();
  needed.corrupt(last.path, 100, 1);
  refuses(t, needed, 'a part that is needed has rotted as well');

  const received = rotten();
  takeSnapshot(received, ENTRIES + 20, 3);
  refuses(t, received, 'the log does not reach the snapshot, which was received and not installed');

  const other = rotten();
  takeSnapshot(other, SNAPSHOT + 1, 2);
  refuses(t, other, 'the log holds another entry where the snapshot ends');

  // As in a damaged log that takes nothing but votes.
  const voted = whole.clone();
  const { engine } = open(voted);
  engine.markDamaged({ file: first!.path, offset: 0, reason: 'for the test' });
  engine.write([writeOf(1, [], { term: 8, vote: 1 })]);
  engine.sync();
  voted.corrupt(first!.path, 100, 1);
  refuses(t, voted, 'the vote file knows a later term than the log');
  t.same(open(voted).recovery.hardState, { term: 8, vote: 1 });
});

t.test('whoever recovers a cluster keeps what lies behind rot that a snapshot covers', async (t) => {
  const { disk: whole } = filled();
  const covered = coveredOf(whole);
  for (const { path, end } of covered) {
    for (let offset = 0; offset < end; offset += 91) {
      const disk = whole.clone();
      disk.corrupt(path, offset, 1);
      const before = disk.files();
      const survivor = new SurvivingLog(disk, '/d');
      t.match(survivor, { lastIndex: ENTRIES, committedIndex: SNAPSHOT });
      t.match(survivor.report.problems, [{ reason: /a snapshot covers it/ }]);
      t.match(survivor.report.log, { lastIndex: ENTRIES });
      t.same(disk.files(), before, 'nothing is changed');
    }
  }
  // Also where a start would not go on: what is there is there.
  const hurt = whole.clone();
  hurt.corrupt(covered[0]!.path, 100, 1);
  const { path, prevIndex, end } = segments(whole).at(-1)!;
  hurt.corrupt(path, end - 200, 1);
  const { lastIndex, report } = new SurvivingLog(hurt, '/d');
  t.ok(lastIndex >= prevIndex && lastIndex < ENTRIES, `${lastIndex}`);
  t.notMatch(report.problems, [{ reason: /a start removes/ }]);
  const survivor = new SurvivingLog(hurt, '/d');
  const kept = [
    ...survivor.beginning({ term: 9, vote: 0 }, { first: 99, last: 99, bytes: new Uint8Array() }).entries(),
  ];
  t.equal(kept[0]!.first, SNAPSHOT + 1);
  t.equal(kept.at(-2)!.last, lastIndex);
});
