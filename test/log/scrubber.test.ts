import t from 'tap';
import { DirectLogStore } from '../../lib/log/direct-log-store.ts';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { inspectSegments } from '../../lib/log/inspect-segments.ts';
import type { LogSizes } from '../../lib/log/log-options.ts';
import { Scrubber } from '../../lib/log/scrubber.ts';
import type { Disk } from '../../lib/log/disk.ts';
import type { LogDamage } from '../../lib/log/log-store.ts';
import { chooser, config, entry, open, tinySizes, writeOf } from './helpers.ts';

async function filled(
  sizes: LogSizes = tinySizes,
): Promise<{ disk: MemoryDisk; log: DirectLogStore; found: LogDamage[] }> {
  const disk = new MemoryDisk();
  const found: LogDamage[] = [];
  const choose = chooser(1);
  const durable = new Set<number>();
  const log = new DirectLogStore({
    disk,
    path: '/d',
    events: {
      onDurable: (ticket) => durable.add(ticket),
      onFailure: (error) => {
        throw error;
      },
      onDamage: (damage) => found.push(damage),
    },
    schedule: (_step, _bytes, run) => {
      setImmediate(run);
    },
    random: (bytes) => {
      for (let i = 0; i < bytes.length; i++) bytes[i] = choose(256);
    },
    sizes,
    owner: 7,
  });
  for (let i = 1; i <= 20; i++)
    log.append(writeOf(i, [entry(i, 1, i, 60)], i === 1 ? { term: 1, vote: 2 } : null));
  while (!durable.has(20)) await turn();
  const writer = await log.snapshots.create({ index: 3, term: 1, config, configIndex: 0 });
  await writer.write(new Uint8Array(3000).fill(9));
  await writer.commit();
  while (log.scrub() === 0) await turn();
  return { disk, log, found };
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await turn();
}

async function scrubAll(log: DirectLogStore): Promise<void> {
  const until = log.scrub() + 2;
  while (log.scrub() < until) await turn();
  await turn();
}

t.test('what is whole is found whole, also while it is written to and compacted', async (t) => {
  const { log, found } = await filled();
  for (let i = 21; i <= 60; i++) {
    log.append(writeOf(i, [entry(i, 1, i, 60)]));
    log.scrub();
    await turn();
    if (i % 10 === 0) log.compact(i - 15);
  }
  await scrubAll(log);
  t.same(found, []);
  await log.close();
});

t.test('rot is found wherever it is: segments, snapshots, the second record of votes', async (t) => {
  const { disk, log, found } = await filled();
  await scrubAll(log);
  t.same(found, []);
  for (const path of disk.files().filter((file) => !file.endsWith('.spare'))) {
    for (const offset of [3, 70, 90]) {
      // Bytes 52 and up of a copy in the vote file hold nothing.
      if (path.endsWith('vote') && offset > 51) continue;
      const fresh = await filled();
      fresh.disk.corrupt(path, offset, 0x20);
      await scrubAll(fresh.log);
      t.equal(fresh.found[0]?.file, path, `${path} at ${offset}`);
      t.equal(fresh.found.length, 1, 'said once');
      await fresh.log.close();
    }
  }
  await log.close();
});

t.test(
  'a segment that rots while it is written to ends there, so that a snapshot can take its place',
  async (t) => {
    const { disk, log, found } = await filled();
    const rotten = disk.files().findLast((path) => path.endsWith('.log'))!;
    disk.corrupt(rotten, 90, 1);
    await scrubAll(log);
    t.match(found, [{ file: rotten, coveredBy: 20 }]);
    const writer = await log.snapshots.create({ index: 20, term: 1, config, configIndex: 0 });
    await writer.commit();
    log.compact(19);
    log.append(writeOf(21, [entry(21, 1, 21, 60)]));
    await until(() => log.scrub() > 4);
    t.ok(disk.exists(rotten), 'the last entry before the end is in it');
    log.compact(20);
    await until(() => !disk.exists(rotten));
    await log.close();
    t.match(open(disk).recovery, { damage: null, covered: null, lastIndex: 21, prevIndex: 20 });
  },
);

t.test(
  'rot in a segment behind which the log went on: covered by whatever the next one follows',
  async (t) => {
    const { disk, log, found } = await filled();
    const segments = disk.files().filter((path) => path.endsWith('.log'));
    disk.corrupt(segments[1]!, 90, 1);
    await scrubAll(log);
    const { prevIndex } = inspectSegments(disk, '/d/log')[2]!;
    t.match(found, [{ file: segments[1], coveredBy: prevIndex }]);
    t.same(
      disk.files().filter((path) => path.endsWith('.log')),
      segments,
      'there is nothing to end',
    );
    await log.close();
  },
);

t.test('on a full disk nothing waits for the next segment: it is made when there is room', async (t) => {
  const { disk, log, found } = await filled({ ...tinySizes, lowSpaceBytes: 4096 });
  const rotten = disk.files().findLast((path) => path.endsWith('.log'))!;
  const { freeBytes, totalBytes } = disk.space();
  disk.capacityBytes = totalBytes - freeBytes + 10;
  disk.corrupt(rotten, 90, 1);
  await scrubAll(log);
  t.match(found, [{ file: rotten, coveredBy: undefined }]);
  t.equal(found.length, 1);
  disk.capacityBytes = totalBytes;
  await scrubAll(log);
  t.match(found[1], { file: rotten, coveredBy: 20 });
  t.equal(found.length, 2);
  await log.close();
});

t.test('a rotten copy of the votes is made whole again', async (t) => {
  const { disk, log, found } = await filled();
  disk.corrupt('/d/vote', 20, 1);
  await scrubAll(log);
  t.equal(found.length, 1);
  disk.corrupt('/d/vote', 4096 + 20, 1);
  await log.close();
  const { recovery } = new DirectLogStore({
    disk,
    path: '/d',
    events: { onDurable: () => undefined, onFailure: () => undefined },
    schedule: () => undefined,
    random: () => undefined,
    sizes: tinySizes,
    owner: 7,
  });
  t.equal(recovery.doubt, null);
  t.same(recovery.hardState, { term: 1, vote: 2 });
});

t.test('a place the disk cannot read is rot too', async (t) => {
  const { disk, log, found } = await filled();
  const path = disk.files().find((file) => file.endsWith('.log'))!;
  disk.onCall = (call) => {
    if (call.operation === 'read' && call.path === path)
      throw Object.assign(new Error('EIO'), { code: 'EIO' });
    return undefined;
  };
  await scrubAll(log);
  t.match(found, [{ file: path, reason: /EIO/ }]);
  disk.onCall = null;
  await log.close();
});

t.test('a directory that cannot be listed ends nothing: it is looked at again', async (t) => {
  // Thrown from the thread's idle time, the error ended the process (stack-chaos, "disk error").
  const { disk, log, found } = await filled();
  const [snapshot] = disk.files().filter((path) => path.endsWith('.snap'));
  disk.onCall = ({ operation }) => {
    if (operation === 'readdir') throw Object.assign(new Error('EIO'), { code: 'EIO' });
    return undefined;
  };
  await scrubAll(log);
  disk.corrupt(snapshot!, 2000, 1);
  await scrubAll(log);
  t.same(found, []);
  disk.onCall = null;
  await scrubAll(log);
  t.match(found, [{ file: snapshot }]);
});

t.test(
  'what is read at rest is read with the disk of who reads it: the log’s own may wait for a file',
  (t) => {
    // With every file in use the log stood still for as long as its disk has patience, since its votes were looked at.
    const disk = new MemoryDisk();
    const opened: string[] = [];
    const own = new Proxy<Disk>(disk, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        return (...parameters: unknown[]): unknown => {
          if (name === 'open' || name === 'openDirect' || name === 'readdir')
            opened.push(String(parameters[0]));
          return Reflect.apply(value, target, parameters);
        };
      },
    });
    const { engine } = open(own);
    for (let i = 1; i <= 20; i++) {
      engine.write([writeOf(i, [entry(i, 1, i, 60)], i === 1 ? { term: 1, vote: 2 } : null)]);
      engine.sync();
    }
    const found: LogDamage[] = [];
    const scrubber = new Scrubber(disk, engine, '/d/snapshots', (damage) => found.push(damage));
    opened.length = 0;
    while (scrubber.rounds < 2) scrubber.step();
    t.same(opened, []);
    t.same(found, []);
    t.end();
  },
);
