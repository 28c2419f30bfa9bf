import t from 'tap';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { SnapshotFiles } from '../../lib/log/snapshot-files.ts';
import { segmentName } from '../../lib/log/segment-format.ts';
import type { LogDamage } from '../../lib/log/log-store.ts';
import { LogModel, config, entry, open, show, tinySizes, writeOf } from './helpers.ts';

const LOG = '/d/log';

/** A log of `count` writes of one entry each; returns the model after each write. */
function fill(disk: MemoryDisk, count: number, close: boolean, sizes = tinySizes): LogModel[] {
  const { engine } = open(disk, 1, sizes);
  const states = [new LogModel()];
  for (let i = 1; i <= count; i++) {
    const entries = [entry(i, 1, i, 60)];
    const write = writeOf(i, entries, i === 1 ? { term: 1, vote: 2 } : null);
    const model = states.at(-1)!.clone();
    model.apply(write, entries);
    states.push(model);
    engine.write([write]);
    engine.sync();
  }
  if (close) engine.close();
  else disk.kill();
  return states;
}

/** All in one segment. */
const roomy = { ...tinySizes, minSegmentBytes: 4096, maxSegmentBytes: 4096 };

function segments(disk: MemoryDisk): string[] {
  return disk.files().filter((path) => path.endsWith('.log'));
}

/** Cuts or changes a file behind everyone's back. */
function overwrite(disk: MemoryDisk, path: string, bytes: Uint8Array, position: number): void {
  const fd = disk.open(path, 'write');
  disk.write(fd, [bytes], position);
  disk.datasync(fd);
  disk.close(fd);
}

function isDamage(damage: LogDamage | null): damage is LogDamage {
  return damage !== null && damage.file.length > 0 && damage.reason.length > 0;
}

t.test('a last block torn at any byte is cut off, and nothing else', async (t) => {
  const before = new MemoryDisk();
  fill(before, 2, false, roomy);
  const start = open(before.clone()).engine.image.current.writeOffset;
  const whole = new MemoryDisk();
  const states = fill(whole, 3, false, roomy);
  const end = open(whole.clone()).engine.image.current.writeOffset;
  const path = segments(whole)[0]!;
  t.equal(segments(whole).length, 1);
  t.ok(end - start > 100, 'the third write is one block');
  for (let cut = start; cut < end; cut++) {
    for (const rest of [0x00, 0xa5]) {
      const disk = whole.clone();
      overwrite(disk, path, new Uint8Array(end - cut).fill(rest), cut);
      const opened = open(disk);
      if (opened.recovery.damage !== null) t.fail(`cut at ${cut}: ${opened.recovery.damage.reason}`);
      // Padding at the very end may be what it was before.
      const wanted = states.map((state) => state.show(0));
      const found = show(opened);
      if (found !== wanted[2] && !(rest === 0 && found === wanted[3])) t.fail(`cut at ${cut}: ${found}`);
      // The place is used again, and the log goes on.
      const last = opened.recovery.lastIndex;
      opened.engine.write([writeOf(9, [entry(last + 1, 1, 99)])]);
      opened.engine.sync();
      const again = open(disk, 5);
      t.equal(again.recovery.damage, null);
      t.equal(again.recovery.lastIndex, last + 1);
    }
  }
});

t.test('after a clean close, a flipped byte anywhere is harmless or reported', async (t) => {
  const whole = new MemoryDisk();
  const states = fill(whole, 12, true);
  const wanted = states.at(-1)!.show(0);
  t.ok(segments(whole).length >= 2, 'several segments');
  let reported = 0;
  for (const path of segments(whole)) {
    const length = whole.content(path).length;
    for (let offset = 0; offset < length; offset++) {
      const disk = whole.clone();
      disk.corrupt(path, offset, 1 << (offset % 8));
      const opened = open(disk);
      if (opened.recovery.damage === null) {
        if (show(opened) !== wanted) t.fail(`${path} at ${offset}: wrong data and no word of it`);
        continue;
      }
      reported++;
      if (!isDamage(opened.recovery.damage)) t.fail('a damage says where and why');
      // What is still told of a damaged log is true.
      const prefix = states.some((state) =>
        show(opened)
          .split('\n')
          .slice(2)
          .every((line) => state.show(0).includes(line.replace(/^last.*/, ''))),
      );
      if (!prefix) t.fail(`${path} at ${offset}: ${show(opened)}`);
    }
  }
  t.ok(reported > 500, `${reported} flips reported`);
});

t.test('without a clean close, only the last block can be taken for torn', async (t) => {
  const whole = new MemoryDisk();
  const states = fill(whole, 12, false);
  const allowed = [states.at(-1)!.show(0), states.at(-2)!.show(0)];
  for (const path of segments(whole)) {
    const length = whole.content(path).length;
    for (let offset = 0; offset < length; offset += 3) {
      const disk = whole.clone();
      disk.corrupt(path, offset, 0x10);
      const opened = open(disk);
      if (opened.recovery.damage === null && !allowed.includes(show(opened))) {
        t.fail(`${path} at ${offset}: ${show(opened)}`);
      }
    }
  }
  t.pass();
});

t.test('a missing segment is noticed, whichever it is', async (t) => {
  const whole = new MemoryDisk();
  fill(whole, 24, true);
  t.ok(segments(whole).length >= 3);
  for (const path of segments(whole)) {
    const disk = whole.clone();
    disk.unlink(path);
    const opened = open(disk);
    t.ok(isDamage(opened.recovery.damage), `${path}: ${opened.recovery.damage?.reason ?? 'nothing said'}`);
  }
});

t.test('two segments that changed names are noticed', async (t) => {
  const disk = new MemoryDisk();
  fill(disk, 24, true);
  const [first, second] = segments(disk) as [string, string];
  disk.rename(first, `${LOG}/x`);
  disk.rename(second, first);
  disk.rename(`${LOG}/x`, second);
  t.ok(isDamage(open(disk).recovery.damage));
});

t.test('a segment of another node is refused', async (t) => {
  const disk = new MemoryDisk();
  fill(disk, 3, true);
  const { openLogFiles } = await import('../../lib/log/open-log-files.ts');
  const opened = openLogFiles(disk, '/d', { sizes: tinySizes, owner: 8, random: () => {} }, true);
  t.match(opened.recovery.damage?.reason, /another node/);
});

t.test('damage does not hide a later term: a node must not vote in it twice', async (t) => {
  const disk = new MemoryDisk();
  const { engine } = open(disk);
  for (let i = 1; i <= 3; i++) {
    engine.write([writeOf(i, [entry(i, i, i, 20)], { term: i, vote: i })]);
    engine.sync();
  }
  disk.kill();
  const path = segments(disk)[0]!;
  // Inside the first entry's body: blocks behind it are whole.
  const content = Buffer.from(disk.content(path));
  const at = content.indexOf(Buffer.alloc(20, 1));
  disk.corrupt(path, at, 0xff);
  const { recovery } = open(disk);
  t.ok(isDamage(recovery.damage));
  t.equal(recovery.lastIndex, 0);
  t.same(recovery.hardState, { term: 3, vote: 3 });
});

t.test('a damaged log takes nothing but a reset, which repairs it', async (t) => {
  const disk = new MemoryDisk();
  fill(disk, 24, true);
  disk.unlink(segments(disk)[1]!);
  const damaged = open(disk.clone());
  t.throws(() => damaged.engine.write([writeOf(1, [entry(1, 2, 1)])]), { code: 'LOG_DAMAGED' });

  const { engine, recovery } = open(disk);
  const snapshots = new SnapshotFiles(disk, '/d/snapshots', 7, null);
  const handle = snapshots.create({ index: 100, term: 4, config, configIndex: 3 });
  snapshots.commit(handle);
  engine.write([writeOf(1, [entry(101, 4, 1)], { term: 4, vote: 0 }, { index: 100, term: 4 })]);
  engine.sync();
  t.equal(segments(disk).length, 1, 'what was damaged is gone');
  const again = open(disk, 3);
  t.equal(again.recovery.damage, null);
  t.equal(again.recovery.lastIndex, 101);
  t.same(again.recovery.hardState, { term: 4, vote: 0 });
  t.same(again.recovery.snapshot, { index: 100, term: 4, config, configIndex: 3 });
  t.ok(recovery.damage !== null);
});

t.test('entries missing between snapshot and log are damage', async (t) => {
  const disk = new MemoryDisk();
  const { engine } = open(disk);
  for (let i = 1; i <= 24; i++)
    engine.write([writeOf(i, [entry(i, 1, i, 60)], i === 1 ? { term: 1, vote: 0 } : null)]);
  engine.sync();
  const snapshots = new SnapshotFiles(disk, '/d/snapshots', 7, null);
  snapshots.commit(snapshots.create({ index: 20, term: 1, config, configIndex: 0 }));
  while (engine.compact(20));
  engine.close();
  t.ok(open(disk.clone()).recovery.prevIndex > 0);
  t.equal(open(disk.clone()).recovery.damage, null);
  const snapshot = disk.files().find((path) => path.endsWith('.snap'))!;
  const without = disk.clone();
  without.unlink(snapshot);
  t.match(open(without).recovery.damage?.reason, /neither in a snapshot nor in the log/);
  const rotten = disk.clone();
  rotten.corrupt(snapshot, 40, 1);
  t.equal(open(rotten).recovery.damage?.file, snapshot);
});

t.test('a snapshot that rots is not missed while the log covers it', async (t) => {
  const disk = new MemoryDisk();
  const states = fill(disk, 6, true);
  const snapshots = new SnapshotFiles(disk, '/d/snapshots', 7, null);
  const handle = snapshots.create({ index: 4, term: 1, config, configIndex: 0 });
  snapshots.write(handle, new Uint8Array(1000).fill(3));
  snapshots.commit(handle);
  const path = disk.files().find((name) => name.endsWith('.snap'))!;
  const length = disk.content(path).length;
  for (let offset = 0; offset < length; offset += 7) {
    const rotten = disk.clone();
    rotten.corrupt(path, offset, 0x40);
    const { recovery, engine } = open(rotten);
    if (recovery.damage !== null) t.fail(`offset ${offset}: ${recovery.damage.reason}`);
    t.equal(engine.image.lastIndex, 6);
    if (recovery.snapshot !== null) t.fail(`offset ${offset}: a rotten snapshot was taken for whole`);
  }
  t.equal(states.at(-1)!.lastIndex, 6);
});

t.test('an installed snapshot whose reset was lost is finished at the start', async (t) => {
  const disk = new MemoryDisk();
  fill(disk, 3, false);
  const snapshots = new SnapshotFiles(disk, '/d/snapshots', 7, null);
  snapshots.commit(snapshots.create({ index: 50, term: 3, config, configIndex: 0 }));
  const { recovery, engine } = open(disk);
  t.equal(recovery.damage, null);
  t.same([recovery.prevIndex, recovery.prevTerm, recovery.lastIndex], [50, 3, 50]);
  t.same(recovery.hardState, { term: 1, vote: 2 }, 'the vote is not lost with the entries');
  engine.write([writeOf(1, [entry(51, 3, 1)], { term: 3, vote: 0 })]);
  engine.sync();
  t.equal(open(disk, 9).recovery.lastIndex, 51);
});

t.test('records of unknown kinds, gaps and numbers too large are damage, not a torn tail', async (t) => {
  const { encodeRecord } = await import('../../lib/log/record.ts');
  const { BlockBuilder } = await import('../../lib/log/block-builder.ts');
  const { decodeSegmentHeader } = await import('../../lib/log/segment-format.ts');
  const body = new Uint8Array(4);
  const wrong = [
    encodeRecord(9, 1, 4, 0, body),
    encodeRecord(1, 1, 5, 0, body),
    encodeRecord(1, 0, 4, 0, body),
    encodeRecord(2, 1, 4, 0, body),
  ];
  for (const record of wrong) {
    const disk = new MemoryDisk();
    fill(disk, 3, false, roomy);
    const path = `${LOG}/${segmentName(1)}`;
    const opened = open(disk.clone());
    const header = decodeSegmentHeader(disk.content(path));
    if (typeof header === 'string') throw new Error(header);
    const builder = new BlockBuilder();
    builder.addRecords({ ...writeOf(1, []), records: [record] }, () => {});
    // Blocks 1 to 5: the start, its clean close, three writes.
    const parts = builder.seal(header.nonce, 6, 4);
    const at = opened.engine.image.segments[0]!.writeOffset;
    overwrite(disk, path, Buffer.concat(parts), at);
    const { damage } = open(disk).recovery;
    t.ok(isDamage(damage));
  }
});
