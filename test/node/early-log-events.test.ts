import t from 'tap';
import type { LogEvents } from '../../lib/log/log-store.ts';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { StackMachine } from '../../lib/machine/stack-machine.ts';
import { RaftNode } from '../../lib/node/node.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { until } from '../e2e/support/until.ts';
import { MIN_FREE_BYTES } from './support/memory-cluster.ts';
import { freePorts, memoryEnvironment } from './support/memory-environment.ts';

/** Starts a node whose log says something while the node is still being put together. */
async function start(disk: MemoryDisk, say: (events: LogEvents) => void): Promise<RaftNode> {
  const [port] = await freePorts(1);
  const open = memoryEnvironment(disk);
  return RaftNode.start(
    {
      id: 1,
      cluster: [`127.0.0.1:${port}`],
      dataDir: 'in memory',
      machine: new StackMachine(),
      minFreeBytes: MIN_FREE_BYTES,
    },
    async (options, resolved, events) => {
      const environment = await open(options, resolved, events);
      return {
        ...environment,
        connect: (...given) => {
          say(events);
          return environment.connect(...given);
        },
      };
    },
  );
}

t.test('a log that fails before there is a node ends the start', async (t) => {
  const failure = new CordwoodError('LOG_FAILED', 'the disk failed: EIO');
  await t.rejects(
    start(new MemoryDisk(), (events) => {
      events.onFailure(failure);
    }),
    failure,
  );
});

t.test('a node knows how little room there is, though the log said so before there was a node', async (t) => {
  const node = await start(new MemoryDisk(), (events) => {
    events.onSpace?.({ freeBytes: 100, totalBytes: 1 << 30 });
  });
  t.match(node.status(), { diskLow: true, diskFull: true, diskFreeBytes: 100 });
  await node.close();
});

t.test('what had rotted before there was a node is made good for by a snapshot', async (t) => {
  const disk = new MemoryDisk();
  await (await start(disk, () => undefined)).close();
  const node = await start(disk, (events) => {
    events.onDamage?.({ file: 'log/00000001', offset: 0, reason: 'it does not verify' });
  });
  await until('a new snapshot', () => node.status().snapshotIndex > 0);
  await node.close();
  t.equal(node.failure, null);
});
