import t from 'tap';

import type { Driver } from '../../lib/node/driver.ts';
import { Snapshots } from '../../lib/node/snapshots.ts';
import type { SnapshotMeta } from '../../lib/core/types.ts';
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
} {
  const compacted: number[] = [];
  let finish = (): void => undefined;
  const snapshots: { latest: { meta: SnapshotMeta; sizeBytes: number } | null; create: unknown } = {
    latest: null,
    create: () =>
      Promise.resolve({
        write: () => Promise.resolve(),
        abort: () => Promise.resolve(),
        commit: () =>
          new Promise<void>((resolve) => {
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
      runtime: new ManualRuntime(),
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
