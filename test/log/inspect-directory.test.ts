import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { lockDirectory } from '../../lib/log/directory-lock.ts';
import { inspectDirectory } from '../../lib/log/inspect-directory.ts';
import type { RecordReport } from '../../lib/log/inspect-segments.ts';
import { NodeDisk } from '../../lib/log/node-disk.ts';
import { openLogFiles, ownerOf } from '../../lib/log/open-log-files.ts';
import { PeerFile } from '../../lib/log/peer-file.ts';
import { chooser, config, tinySizes } from './helpers.ts';
import { makeDirectory } from './support/made-directory.ts';

const disk = new NodeDisk();

/** Every file below `directory`, with its bytes. */
function filesOf(directory: string): Map<string, Buffer> {
  const names = fs.readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort();
  const files = names.map((name) => path.join(directory, name)).filter((file) => fs.statSync(file).isFile());
  return new Map(files.map((file) => [file, fs.readFileSync(file)]));
}

t.test('a whole directory: what it holds, and nothing is changed by looking', async (t) => {
  const dir = path.join(t.testdir(), '1');
  makeDirectory(dir);
  new PeerFile(disk, dir).remember(2, 'two');
  const before = filesOf(dir);
  const records: RecordReport[] = [];
  const report = inspectDirectory(disk, dir, (record) => records.push(record));
  t.same(report.problems, []);
  t.match(report.identity, { clusterId: 'wood', nodeId: 1, members: config.members });
  t.same(report.hardState, { term: 3, vote: 2 });
  t.match(report.log, { prevIndex: 10, lastIndex: 30, lastTerm: 3, lastTimeMs: 1030, clean: true });
  t.match(report.snapshots, [{ snapshot: { meta: { index: 10, term: 2 } }, problem: null }]);
  t.same(report.peers, [[2, 'two']]);
  t.same(
    records
      .filter(({ kind }) => kind === 'batch')
      .map(({ index, term, timeMs, bodyBytes }) => [index, term, timeMs, bodyBytes]),
    Array.from({ length: 20 }, (_, i) => [11 + i, 3, 1011 + i, 50]),
  );
  t.match(
    records.find(({ kind }) => kind === 'hardState'),
    { term: 3, vote: 2 },
  );
  for (const { file, offset, index, kind } of records) {
    if (kind !== 'batch') continue;
    t.equal(
      Number(before.get(file)!.readBigUInt64LE(offset + 24)),
      index,
      'the offset is that of the record',
    );
  }
  const blocks = report.log.segments.reduce((sum, segment) => sum + segment.batches, 0);
  t.equal(blocks, 20);
  t.same(filesOf(dir), before);
});

t.test('one bit anywhere in any file is found, and said with its file', async (t) => {
  const dir = path.join(t.testdir(), '1');
  makeDirectory(dir);
  new PeerFile(disk, dir).remember(2, 'two');
  const whole = filesOf(dir);
  const used = new Map(inspectDirectory(disk, dir).log.segments.map((s) => [s.file, s.usedBytes]));
  const choose = chooser(1);
  let silent = 0;
  for (const [file, bytes] of whole) {
    if (file.endsWith('.spare') || file.endsWith('reserve')) continue;
    const end = used.get(file) ?? bytes.length;
    const offsets =
      end < 600 ? Array.from({ length: end }, (_, i) => i) : Array.from({ length: 150 }, () => choose(end));
    for (const offset of offsets) {
      const rotten = Buffer.from(bytes);
      rotten[offset]! ^= 1 << choose(8);
      fs.writeFileSync(file, rotten);
      const { problems } = inspectDirectory(disk, dir);
      const named = problems.some((problem) => problem.file === file || problem.reason.includes(file));
      // A copy of the votes is followed by bytes that nobody reads.
      if (problems.length === 0 && file.endsWith('/vote')) silent++;
      else if (!named) t.match(problems, [{ file }], `${file} at ${offset}`);
    }
    fs.writeFileSync(file, bytes);
  }
  t.ok(silent < 150, 'most of the vote file counts');
  t.same(inspectDirectory(disk, dir).problems, []);
});

t.test('what is missing is missed: any file, and the end of the log', async (t) => {
  const dir = path.join(t.testdir(), '1');
  makeDirectory(dir);
  const whole = filesOf(dir);
  for (const [file, bytes] of whole) {
    if (file.endsWith('.spare') || file.endsWith('reserve')) continue;
    fs.rmSync(file);
    t.ok(inspectDirectory(disk, dir).problems.length > 0, `without ${path.relative(dir, file)}`);
    fs.writeFileSync(file, bytes);
  }
  const { segments } = inspectDirectory(disk, dir).log;
  const last = segments.at(-1)!;
  fs.truncateSync(last.file, last.usedBytes - 200);
  t.match(inspectDirectory(disk, dir).problems, [{ file: last.file, reason: /was durable once/ }]);
});

t.test('it judges as a start does', async (t) => {
  const dir = path.join(t.testdir(), '1');
  makeDirectory(dir);
  const whole = filesOf(dir);
  const { identity } = inspectDirectory(disk, dir);
  const owner = ownerOf(identity!.clusterId, identity!.nodeId, identity!.incarnation);
  const choose = chooser(2);
  const seen = { whole: 0, damaged: 0 };
  for (let round = 0; round < 60; round++) {
    fs.rmSync(dir, { recursive: true });
    for (const [file, bytes] of whole) {
      fs.mkdirSync(path.dirname(file), { recursive: true });
      fs.writeFileSync(file, bytes);
    }
    const [file, bytes] = [...whole].filter(([name]) => /\.log$|\.snap$|vote$/.test(name))[choose(3)]!;
    fs.truncateSync(file, Math.max(0, bytes.length - choose(2) * choose(bytes.length)));
    const { problems } = inspectDirectory(disk, dir);
    const random = (into: Uint8Array): void => void into.fill(5);
    const { engine, recovery } = openLogFiles(disk, dir, { sizes: tinySizes, owner, random }, false);
    engine.close();
    const refused = recovery.damage ?? recovery.doubt;
    if (refused !== null) t.match(problems, [{ reason: refused.reason }], refused.reason);
    seen[refused === null ? 'whole' : 'damaged']++;
  }
  t.ok(seen.damaged > 5 && seen.whole > 5, JSON.stringify(seen));
});

t.test('a look takes the lock and leaves no trace of it', async (t) => {
  const dir = path.join(t.testdir(), '1');
  makeDirectory(dir);
  fs.writeFileSync(path.join(dir, 'LOCK'), '1\n');
  const lock = await lockDirectory(dir, true);
  await t.rejects(lockDirectory(dir), { code: 'DIRECTORY_LOCKED' });
  await lock.release();
  t.equal(fs.readFileSync(path.join(dir, 'LOCK'), 'utf8'), '1\n', 'what another left there is still there');
});

t.test('a directory of something else', async (t) => {
  t.throws(() => inspectDirectory(disk, t.testdir({ a: 'b' })), { code: 'BAD_OPTION' });
});
