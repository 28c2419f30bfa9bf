import fs from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { MessagePort } from 'node:worker_threads';
import t from 'tap';
import '../support/plain-start.ts';
import { DataDirectory, openLogStore } from '../../lib/log/index.ts';
import type { LogStore, LogWrite } from '../../lib/log/index.ts';
import { config, entry, tinySizes, writeOf } from './helpers.ts';

interface Opened {
  readonly directory: DataDirectory;
  readonly log: LogStore;
  readonly failures: Error[];
  /** Resolves when `ticket` is durable. */
  durable(ticket: number): Promise<number>;
  /** The last ticket told to be durable. */
  newest(): number;
  /** How long that had been so. */
  forMs(): number;
  close(): Promise<void>;
}

async function openAt(path: string, sizes = tinySizes): Promise<Opened> {
  const members = [{ id: 1, peerAddress: 'localhost:1' }];
  const directory = await DataDirectory.open({ path, clusterId: 'c', nodeId: 1, members, sizes });
  const failures: Error[] = [];
  let newest = -1;
  let forMs = NaN;
  let waiting: { ticket: number; resolve: (ticket: number) => void }[] = [];
  const log = await openLogStore({
    directory,
    sizes,
    events: {
      onDurable: (ticket, sinceMs) => {
        newest = ticket;
        forMs = sinceMs;
        for (const one of waiting) if (one.ticket <= newest) one.resolve(newest);
        waiting = waiting.filter((one) => one.ticket > newest);
      },
      onFailure: (error) => failures.push(error),
    },
  });
  return {
    directory,
    log,
    failures,
    newest: () => newest,
    forMs: () => forMs,
    durable: (ticket) =>
      newest >= ticket
        ? Promise.resolve(newest)
        : new Promise((resolve) => {
            waiting.push({ ticket, resolve });
          }),
    close: async () => {
      await log.close();
      await directory.close();
    },
  };
}

/** The same write, its records in shared memory. */
function shared(write: LogWrite, buffer: SharedArrayBuffer, offset: number): LogWrite {
  let at = offset;
  const records = write.records.map((bytes) => {
    const view = new Uint8Array(buffer, at, bytes.length);
    view.set(bytes);
    at += bytes.length;
    return view;
  });
  return { ...write, records };
}

t.test('appends, reads and survives, with shared memory and without', async (t) => {
  const path = t.testdir();
  const first = await openAt(path);
  t.equal(first.directory.isNew, true);
  t.same(first.log.recovery.hardState, { term: 0, vote: 0 });
  const written: Uint8Array[] = [];
  const buffers = [new SharedArrayBuffer(1 << 16), new SharedArrayBuffer(1 << 16)];
  for (let i = 1; i <= 200; i++) {
    const one = entry(i, 1, i & 255, 10 + (i % 50));
    written.push(one.bytes);
    const plain = writeOf(i, [one], i === 1 ? { term: 1, vote: 1 } : null);
    first.log.append(i % 3 === 0 ? plain : shared(plain, buffers[i % 2]!, i * 128));
  }
  t.equal(await first.durable(200), 200);
  const slice = await first.log.read(1, 200, 1 << 20);
  t.strictSame(Buffer.from(slice.bytes), Buffer.concat(written));
  t.ok(first.log.stats.segments > 5);
  t.ok(first.log.stats.logBytes > 200 * 60);
  await first.close();
  await first.close();

  const second = await openAt(path);
  t.equal(second.directory.isNew, false);
  t.equal(second.log.recovery.damage, null);
  t.equal(second.log.recovery.lastIndex, 200);
  t.same(second.log.recovery.hardState, { term: 1, vote: 1 });
  t.strictSame(
    [...second.log.recovery.sizes],
    written.map((bytes) => bytes.length),
  );
  t.strictSame(Buffer.from((await second.log.read(7, 7, 1)).bytes), Buffer.from(written[6]!));
  await second.close();
  t.same([...first.failures, ...second.failures], []);
});

t.test('one append may lie in more shared buffers than the thread keeps', async (t) => {
  const { log, failures, durable, close } = await openAt(t.testdir());
  const entries = Array.from({ length: 100 }, (_, i) => entry(i + 1, 1, i, 20));
  const plain = writeOf(1, entries, { term: 1, vote: 1 });
  const records = plain.records.map((bytes) => {
    const view = new Uint8Array(new SharedArrayBuffer(bytes.length));
    view.set(bytes);
    return view;
  });
  log.append({ ...plain, records });
  await Promise.race([durable(1), log.read(1, 1, 1)]);
  t.same(failures, []);
  const slice = await log.read(1, 100, 1 << 20);
  t.strictSame(Buffer.from(slice.bytes), Buffer.concat(plain.records));
  await close();
});

t.test('snapshots are written beside the log, and the log is compacted behind them', async (t) => {
  const path = t.testdir();
  const { log, durable, close } = await openAt(path);
  for (let i = 1; i <= 60; i++)
    log.append(writeOf(i, [entry(i, 1, i, 80)], i === 1 ? { term: 1, vote: 1 } : null));
  await durable(60);
  const before = log.stats.segments;
  const meta = { index: 50, term: 1, config, configIndex: 0 };
  const writer = await log.snapshots.create(meta);
  const chunk = Buffer.alloc(100_000, 1);
  const writing = writer.write(chunk);
  chunk.fill(2);
  await writing;
  await writer.write(chunk);
  const stored = await writer.commit();
  t.same(stored.meta, meta);
  t.equal(stored.sizeBytes, 200_000);
  t.same(log.snapshots.latest, stored);
  log.compact(50);
  await log.read(60, 60, 1);
  log.append(writeOf(61, [entry(61, 1, 61)]));
  await durable(61);
  await log.read(61, 61, 1);
  t.ok(log.stats.segments < before, `${log.stats.segments} of ${before} segments are left`);
  t.ok(log.stats.snapshotBytes >= 200_000);
  const reader = await log.snapshots.open(stored);
  const head = await reader.read(99_999, 2);
  const last = await reader.read(199_999, 10);
  t.same([...head], [1, 2], 'chunks are taken as they were when they were given');
  t.equal(last.length, 1);
  t.equal((await reader.read(200_000, 10)).length, 0);
  await reader.close();
  await t.rejects((await log.snapshots.create({ ...meta, index: 55 })).commit('00'), {
    code: 'SNAPSHOT_DAMAGED',
  });
  const aborted = await log.snapshots.create({ ...meta, index: 56 });
  await aborted.abort();
  await close();

  const again = await openAt(path);
  t.equal(again.log.recovery.snapshot?.index, 50);
  t.same(again.log.snapshots.latest, stored);
  t.ok(again.log.recovery.prevIndex > 0 && again.log.recovery.prevIndex <= 50);
  t.equal(again.log.recovery.lastIndex, 61);
  await again.close();
});

t.test('no buffer is detached here: V8 would compile all code anew, and slower', async (t) => {
  const given = t.capture(MessagePort.prototype, 'postMessage', MessagePort.prototype.postMessage);
  const { log, durable, close } = await openAt(t.testdir());
  const meta = { index: 1, term: 1, config, configIndex: 0 };
  log.append(writeOf(1, [entry(1, 1, 1, 80)], { term: 1, vote: 1 }));
  await durable(1);
  const writer = await log.snapshots.create(meta);
  await writer.write(Buffer.alloc(100_000, 1));
  await writer.write(Buffer.alloc(50_000, 2));
  const reader = await log.snapshots.open(await writer.commit());
  t.equal((await reader.read(99_999, 2)).length, 2);
  await reader.close();
  await close();
  const calls = given();
  t.ok(calls.length > 5);
  const buffers = calls.flatMap(({ args }) => args[1] ?? []).filter((one) => one instanceof ArrayBuffer);
  t.same(buffers, []);
});

t.test('an append that cannot be is a failure, said once', async (t) => {
  const { log, durable, failures, close } = await openAt(t.testdir());
  log.append(writeOf(1, [entry(1, 1, 1)], { term: 1, vote: 1 }));
  await durable(1);
  log.append(writeOf(2, [entry(9, 1, 1)]));
  log.append(writeOf(3, [entry(2, 1, 1)]));
  await t.rejects(log.read(1, 1, 1), { code: 'LOG_FAILED' });
  t.equal(failures.length, 1);
  t.match(failures[0], { code: 'LOG_FAILED' });
  await t.rejects(log.read(1, 1, 1), { code: 'LOG_FAILED' });
  await close();
  await t.rejects(log.read(1, 1, 1), { code: 'CLOSED' });
  await t.rejects(log.snapshots.create({ index: 1, term: 1, config, configIndex: 0 }), { code: 'CLOSED' });
});

t.test('close waits for what was appended', async (t) => {
  const path = t.testdir();
  const { log, close } = await openAt(path);
  const tickets = 50;
  for (let i = 1; i <= tickets; i++)
    log.append(writeOf(i, [entry(i, 1, i)], i === 1 ? { term: 1, vote: 1 } : null));
  await close();
  const again = await openAt(path);
  t.equal(again.log.recovery.lastIndex, tickets);
  await again.close();
});

t.test('whoever does not want to be woken hears of it by polling, or once he wants to', async (t) => {
  const path = t.testdir();
  const { log, durable, newest, forMs, close } = await openAt(path);
  const term1 = { term: 1, vote: 1 };
  log.announce(false);
  log.append(writeOf(1, [entry(1, 1, 1)], term1));
  const appendedMs = performance.now();
  // If the thread woke this one, a turn of the event loop would bring the news before it is asked for.
  let woken = false;
  while (newest() < 1) {
    await nextTurn();
    if (newest() >= 1) woken = true;
    log.poll();
  }
  t.notOk(woken);
  const durableForMs = forMs();
  t.ok(durableForMs >= 0 && durableForMs <= performance.now() - appendedMs, 'and when that was');

  // The thread may be anywhere when the wish to be woken comes.
  const tickets = 500;
  for (let ticket = 2; ticket <= tickets; ticket++) {
    log.announce(false);
    log.append(writeOf(ticket, [entry(ticket, 1, ticket & 255)]));
    for (let turns = ticket % 8; turns > 0; turns--) await nextTurn();
    log.announce(true);
    t.equal(await durable(ticket), ticket);
  }
  await close();
});

t.test('damage opens and says what is wrong, and so does a missing log', async (t) => {
  const path = t.testdir();
  const { log, durable, close } = await openAt(path);
  for (let i = 1; i <= 40; i++)
    log.append(writeOf(i, [entry(i, 1, i, 80)], i === 1 ? { term: 1, vote: 1 } : null));
  await durable(40);
  await close();
  const names = fs.readdirSync(`${path}/log`).filter((name) => name.endsWith('.log'));
  fs.rmSync(`${path}/log/${names[1]!}`);
  const damaged = await openAt(path);
  t.ok(damaged.log.recovery.damage?.file.startsWith(path));
  damaged.log.append(writeOf(1, [entry(41, 1, 1)]));
  await t.rejects(damaged.log.read(99, 99, 1));
  t.match(damaged.failures, [{ code: 'LOG_DAMAGED' }]);
  await damaged.close();

  for (const name of fs.readdirSync(`${path}/log`)) fs.rmSync(`${path}/log/${name}`);
  const directory = await DataDirectory.open({ path, clusterId: 'c', nodeId: 1, members: [] });
  const events = { onDurable: () => {}, onFailure: () => {} };
  const missing = await openLogStore({ directory, events });
  t.match(missing.recovery.damage, { file: `${path}/log`, reason: 'there is no segment' });
  t.same(missing.recovery.hardState, { term: 1, vote: 1 }, 'the vote file remembers');
  t.ok(missing.recovery.hardStateKnown);
  await missing.close();
  await directory.close();
});

t.test('files are for their owner only', async (t) => {
  const path = `${t.testdir()}/deep/data`;
  const { log, close } = await openAt(path);
  const writer = await log.snapshots.create({ index: 1, term: 1, config, configIndex: 0 });
  await writer.abort();
  await close();
  t.equal(fs.statSync(path).mode & 0o777, 0o700);
  for (const name of fs.readdirSync(path, { recursive: true }) as string[]) {
    const stat = fs.statSync(`${path}/${name}`);
    t.equal(stat.mode & 0o777, stat.isDirectory() ? 0o700 : 0o600, name);
  }
});
