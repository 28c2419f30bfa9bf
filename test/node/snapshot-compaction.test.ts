import t from 'tap';

import type { Driver } from '../../lib/node/driver.ts';
import { Snapshots } from '../../lib/node/snapshots.ts';
import type { SnapshotMeta } from '../../lib/core/types.ts';
import { SnapshotStatus } from '../../protocol/constants.ts';
import { config } from '../log/helpers.ts';
import { ManualRuntime, settle } from './support/snapshot-rig.ts';

const OWN: SnapshotMeta = { index: 58, term: 3, config, configIndex: 0 };
const RECEIVED: SnapshotMeta = { ...OWN, index: 122 };

/** What `Snapshots` needs of a node whose log reaches from 1 to 130, applied to 58, with all of it on disk. */
function nodeThatTakesASnapshot(commitIndex: number = OWN.index): {
  driver: Driver;
  compacted: number[];
  receive: () => void;
  finish: () => void;
  /** As if the disk had refused it. */
  fail: () => void;
  runtime: ManualRuntime;
} {
  const runtime = new ManualRuntime();
  const compacted: number[] = [];
  let finish = (): void => undefined;
  let fail = (): void => undefined;
  const snapshots: { latest: { meta: SnapshotMeta; sizeBytes: number } | null; create: unknown } = {
    latest: null,
    create: () =>
      Promise.resolve({
        write: () => Promise.resolve(),
        abort: () => Promise.resolve(),
        commit: () =>
          new Promise<void>((resolve, reject) => {
            fail = () => {
              reject(new Error('no room'));
            };
            finish = () => {
              if ((snapshots.latest?.meta.index ?? 0) < OWN.index)
                snapshots.latest = { meta: OWN, sizeBytes: 1 };
              resolve();
            };
          }),
      }),
  };
  const core = {
    term: 3,
    prevIndex: 0,
    commitIndex,
    durableIndex: 130,
    installing: null,
    configAt: () => ({ config, index: 0 }),
    termAt: () => 3,
    sizeAt: () => 64,
    compact: (through: number) => compacted.push(through),
  };
  const driver = {
    core,
    log: { snapshots, compact: (through: number) => compacted.push(through) },
    state: { snapshot: () => ({ chunks: () => [new Uint8Array(8)], release: () => undefined }) },
    applier: { applied: OWN.index, appliedBytes: 1 << 20 },
    space: { known: false, freeBytes: 0 },
    options: {
      runtime,
      logger: { info: () => undefined, error: () => undefined },
      electionTimeoutMs: 1000,
      snapshotLogBytes: 64,
    },
    transport: {},
    wake: () => undefined,
  };
  return {
    driver: driver as unknown as Driver,
    compacted,
    receive: () => (snapshots.latest = { meta: RECEIVED, sizeBytes: 1 }),
    finish: () => finish(),
    fail: () => fail(),
    runtime,
  };
}

t.test('a snapshot of one’s own lets the log be compacted behind it', async (t) => {
  const { driver, compacted, finish } = nodeThatTakesASnapshot();
  new Snapshots(driver, (error) => t.fail(error)).maybeTake();
  await settle();
  finish();
  await settle();
  t.strictSame(compacted, [57, 57], 'but for the tail that is kept for followers');
});

// Seen once as `LOG_RANGE: compaction to 122, committed 58` in the cluster seeds 132 and 133.
t.test(
  'a leader’s snapshot that came in meanwhile, not yet installed, compacts nothing beyond the commit index',
  async (t) => {
    const { driver, compacted, receive, finish } = nodeThatTakesASnapshot();
    new Snapshots(driver, (error) => t.fail(error)).maybeTake();
    await settle();
    receive();
    finish();
    await settle();
    t.strictSame(compacted, [57, 57]);
  },
);

t.test('nor what is committed and not applied yet: it is still to be read', async (t) => {
  const { driver, compacted, receive, finish } = nodeThatTakesASnapshot(130);
  new Snapshots(driver, (error) => t.fail(error)).maybeTake();
  await settle();
  receive();
  finish();
  await settle();
  t.strictSame(compacted, [57, 57]);
});

t.test('one in place of what has rotted holds all that lies together with it', async (t) => {
  // Entries 59 and 60 were in the rotten segment when it ended: with a snapshot at 58 it would stay for ever.
  const { driver, compacted, finish } = nodeThatTakesASnapshot(130);
  const snapshots = new Snapshots(driver, (error) => t.fail(error));
  const applier = driver.applier as { applied: number };
  Object.assign(driver.options, { snapshotLogBytes: 2 ** 30 });
  snapshots.renew({ file: 'log', offset: 1, reason: 'for the test', coveredBy: 60 });
  snapshots.maybeTake();
  t.equal(snapshots.counts.running, false, 'not yet');
  applier.applied = 60;
  snapshots.maybeTake();
  t.equal(snapshots.counts.running, true);
  await settle();
  finish();
  await settle();
  t.strictSame(compacted, [OWN.index, OWN.index], 'no tail is kept');
});

t.test('what has rotted goes also where the core has compacted as far before', async (t) => {
  const { driver, compacted, finish } = nodeThatTakesASnapshot();
  Object.assign(driver.core, { prevIndex: OWN.index });
  const snapshots = new Snapshots(driver, (error) => t.fail(error));
  snapshots.renew({ file: 'log', offset: 1, reason: 'for the test', coveredBy: OWN.index });
  snapshots.maybeTake();
  await settle();
  finish();
  await settle();
  t.strictSame(compacted.at(-1), OWN.index, 'the log is told');
});

t.test('rot that must stay for a snapshot on its way goes when that has ended', async (t) => {
  const { driver, compacted, finish } = nodeThatTakesASnapshot();
  const older = { meta: { ...OWN, index: 40 }, sizeBytes: 1, digest: '00'.repeat(32) };
  const reader = {
    snapshot: older,
    read: () => new Promise(() => undefined),
    close: () => Promise.resolve(),
  };
  Object.assign(driver.log.snapshots, { latest: older, open: () => Promise.resolve(reader) });
  Object.assign(driver, { transport: { send: () => undefined, flush: () => undefined } });
  Object.assign(driver.core, { snapshotFinished: () => undefined });
  const snapshots = new Snapshots(driver, (error) => t.fail(error));
  snapshots.send(2);
  await settle();
  snapshots.acked(2, {
    index: 40,
    term: OWN.term,
    status: SnapshotStatus.more,
    nextOffset: 0,
    currentTerm: OWN.term,
  });
  snapshots.renew({ file: 'log', offset: 1, reason: 'for the test', coveredBy: OWN.index });
  snapshots.maybeTake();
  await settle();
  finish();
  await settle();
  snapshots.maybeTake();
  t.strictSame(compacted, [40, 40], 'what comes behind the snapshot that is on its way is kept');
  snapshots.stopSending();
  snapshots.maybeTake();
  t.strictSame(compacted.slice(2), [OWN.index, OWN.index]);
  snapshots.maybeTake();
  t.equal(compacted.length, 4, 'once');
});

t.test('one that is asked for is taken when this node’s own disk has what is in it', async (t) => {
  const { driver, compacted, finish } = nodeThatTakesASnapshot();
  const core = driver.core as { durableIndex: number };
  Object.assign(driver.options, { snapshotLogBytes: 2 ** 30 });
  core.durableIndex = 50;
  const snapshots = new Snapshots(driver, (error) => t.fail(error));
  snapshots.ask();
  snapshots.maybeTake();
  t.equal(snapshots.counts.running, false);
  core.durableIndex = 130;
  snapshots.maybeTake();
  t.equal(snapshots.counts.running, true);
  await settle();
  finish();
  await settle();
  snapshots.maybeTake();
  t.match(snapshots.counts, { running: false, taken: 1 }, 'once');
  t.strictSame(compacted.length, 0, 'the log is too short to be compacted');
});

t.test('one in place of what has rotted is tried again until it is there', async (t) => {
  // An idle node whose snapshot had rotted found the disk full once. It never tried again, and could not start again.
  const { driver, compacted, finish, fail, runtime } = nodeThatTakesASnapshot();
  Object.assign(driver.options, { snapshotLogBytes: 2 ** 30 });
  const snapshots = new Snapshots(driver, (error) => t.fail(error));
  let wakes = 0;
  driver.wake = () => {
    wakes++;
  };
  snapshots.renew({ file: 'some.snap', offset: 8, reason: 'rot' });
  t.equal(wakes, 1);
  for (let failed = 1; failed <= 3; failed++) {
    snapshots.maybeTake();
    await settle();
    fail();
    await settle();
    snapshots.maybeTake();
    t.match(snapshots.counts, { running: false, failed }, 'not at once');
    runtime.advance(60_000);
    t.equal(wakes, 1 + failed, 'a node that has nothing else to do has a turn for it');
  }
  snapshots.maybeTake();
  await settle();
  finish();
  await settle();
  t.strictSame(compacted, [58, 58], 'nothing of what is old is needed any more');
  runtime.advance(60_000);
  snapshots.maybeTake();
  t.match(snapshots.counts, { running: false, taken: 1, failed: 3 }, 'once');
});

t.test('a node that is closed tries nothing again', async (t) => {
  const { driver, fail, runtime } = nodeThatTakesASnapshot();
  const snapshots = new Snapshots(driver, (error) => t.fail(error));
  snapshots.renew({ file: 'some.snap', offset: 8, reason: 'rot' });
  snapshots.maybeTake();
  await settle();
  fail();
  await settle();
  let wakes = 0;
  driver.wake = () => {
    wakes++;
  };
  await snapshots.close();
  runtime.advance(60_000);
  t.equal(wakes, 0);
});
