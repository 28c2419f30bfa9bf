import t from 'tap';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { BackupFile } from '../../lib/log/backup-file.ts';
import { describeState } from '../../lib/machine/describe-state.ts';
import { ReplicatedState } from '../../lib/machine/replicated-state.ts';
import { StackMachine } from '../../lib/machine/stack-machine.ts';
import type { Backup } from '../../lib/node/backup.ts';
import { StackOp, Status } from '../../protocol/constants.ts';
import { ask } from '../machine/harness.ts';
import { Caller } from './support/caller.ts';
import { MemoryCluster, until } from './support/memory-cluster.ts';

const cluster = await MemoryCluster.start(3);
t.teardown(() => cluster.close());
await cluster.push(0, 500);

/** The backup as a file on a disk of its own. */
async function fileOf(backup: Backup): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  disk.mkdir('d');
  const fd = disk.open('d/b', 'create');
  let at = 0;
  for await (const piece of backup) at += disk.write(fd, [piece], at);
  disk.close(fd);
  return disk;
}

async function* chunksOf(file: BackupFile): AsyncGenerator<Uint8Array> {
  yield* file.content();
}

t.test('any node makes one, with everything that was acknowledged before', async (t) => {
  const leader = await cluster.leader();
  for (const node of cluster.nodes.values()) {
    const caller = new Caller(leader);
    // Followers hear of it later: the backup must wait for that.
    t.equal((await caller.command(StackOp.push, 'mark', node.id)).status, Status.ok);
    const backup = await node.backup();
    const file = BackupFile.open(await fileOf(backup), 'd/b');
    t.match(file.origin, { clusterId: 'test', nodeId: node.id, machine: 'stack', machineVersion: 1 });
    t.equal(file.meta.index, backup.index);
    t.same(file.meta.config.voters, [1, 2, 3]);
    t.match(await describeState(chunksOf(file)), { machine: 'stack', appliedIndex: backup.index });
    const state = new ReplicatedState(new StackMachine());
    await state.restore(chunksOf(file));
    t.equal(state.appliedIndex, backup.index);
    t.equal(sizeOf(state, 's'), 500);
    t.equal(sizeOf(state, 'mark'), node.id);
    file.close();
  }
});

t.test('the state stands still in it while the node goes on, also while a snapshot is written', async (t) => {
  const leader = await cluster.leader();
  const backup = await leader.backup();
  leader.snapshot();
  await cluster.push(500, 900);
  const file = BackupFile.open(await fileOf(backup), 'd/b');
  const state = new ReplicatedState(new StackMachine());
  await state.restore(chunksOf(file));
  file.close();
  t.equal(sizeOf(state, 's'), 500);
  await until(() => leader.status().snapshotIndex > 0);
});

t.test('one at a time; one that is left frees its place', async (t) => {
  const leader = await cluster.leader();
  const first = await leader.backup();
  await t.rejects(leader.backup(), { code: 'BUSY' });
  first.close();
  first.close();
  const second = await leader.backup();
  for await (const piece of second) {
    t.ok(piece.length > 0);
    break;
  }
  const third = await leader.backup();
  await t.rejects(
    (async () => {
      third.close();
      for await (const _ of third);
    })(),
    'what was closed cannot be read',
  );
  (await leader.backup()).close();
});

t.test('without a leader there is no point to stand on', async (t) => {
  const leader = await cluster.leader();
  const others = [...cluster.nodes.keys()].filter((id) => id !== leader.id);
  for (const id of others) await cluster.stop(id);
  await until(() => leader.status().role !== 'leader');
  await t.rejects(leader.backup({ timeoutMs: 100 }), { code: 'NO_LEADER' });
  const gone = AbortSignal.abort();
  await t.rejects(leader.backup({ signal: gone }), { code: 'ABORTED' });
  const waiting = leader.backup({ timeoutMs: 60_000 });
  for (const id of others) await cluster.boot(id);
  (await waiting).close();
});

/** Items on a stack of a state that no node holds. */
function sizeOf(state: ReplicatedState, name: string): unknown {
  return ask(state.machine, [StackOp.size, name]).value;
}
