import t from 'tap';
import { encodeRecord } from '../../lib/log/record.ts';
import type { LogSlice, LogStore } from '../../lib/log/log-store.ts';
import { EntryKind } from '../../lib/core/types.ts';
import type { ReplicatedState } from '../../lib/machine/replicated-state.ts';
import { Applier } from '../../lib/node/applier.ts';
import type { EntryCache } from '../../lib/node/entry-cache.ts';
import { Proposals } from '../../lib/node/proposals.ts';
import type { Replies } from '../../lib/node/replies.ts';

const MIB = 1 << 20;

/** An applier all of whose entries come from disk. Each is 3 MiB large and stamped with its own index. */
function fromDisk() {
  const applied: [index: number, stamp: number][] = [];
  const state = {
    appliedIndex: 0,
    applyEmpty: ({ index, timeMs }: { index: number; timeMs: number }) => applied.push([index, timeMs]),
  } as unknown as ReplicatedState;
  const cache = { get: () => undefined, first: Infinity } as unknown as EntryCache;
  const reads: ((result: LogSlice | Error) => void)[] = [];
  const log = {
    read: () =>
      new Promise<LogSlice>((resolve, reject) => {
        reads.push((result) => (result instanceof Error ? reject(result) : resolve(result)));
      }),
  } as unknown as LogStore;
  const failures: Error[] = [];
  const parts = { state, cache, log, proposals: new Proposals(), replies: {} as unknown as Replies };
  const applier = new Applier(parts, {
    more: () => undefined,
    applied: () => undefined,
    failed: (error) => failures.push(error),
  });
  /** The disk answers the oldest read. */
  const answer = async (result: LogSlice | Error): Promise<void> => {
    reads.shift()!(result);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { applier, applied, reads, failures, answer };
}

function slice(first: number, last: number): LogSlice {
  const body = new Uint8Array(3 * MIB);
  const records = Array.from({ length: last - first + 1 }, (_, i) =>
    encodeRecord(EntryKind.noop, 1, first + i, first + i, body),
  );
  return { first, last, bytes: Buffer.concat(records) };
}

t.test('what was read before a snapshot took its place is not applied behind it', async (t) => {
  const { applier, applied, answer } = fromDisk();
  applier.advance(4);
  await answer(slice(1, 4));
  applier.advance(4);
  t.same(applied.splice(0), [
    [1, 1],
    [2, 2],
  ]);
  applier.reset(10);
  applier.advance(11);
  await answer(slice(11, 11));
  applier.advance(11);
  t.same(applied, [[11, 11]]);
});

t.test('nor what comes from the disk later', async (t) => {
  const { applier, applied, answer, failures } = fromDisk();
  for (const late of [slice(1, 2), new Error('those entries are gone')]) {
    applier.reset(0);
    applier.advance(2);
    applier.reset(10);
    await answer(late);
    applier.advance(11);
    await answer(slice(11, 11));
    applier.advance(11);
    t.same(applied.splice(0), [[11, 11]]);
    t.same(failures, []);
  }
});
