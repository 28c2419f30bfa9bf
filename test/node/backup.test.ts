import t from 'tap';
import { Client } from '../../lib/client/index.ts';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { BackupFile } from '../../lib/log/backup-file.ts';
import { defineMachine } from '../../lib/machine/define-machine.ts';
import { describeState } from '../../lib/machine/describe-state.ts';
import { ReplicatedState } from '../../lib/machine/replicated-state.ts';
import { StackMachine } from '../../lib/machine/stack-machine.ts';
import type { Backup } from '../../lib/node/backup.ts';
import { StackOp } from '../../protocol/constants.ts';
import { ask } from '../machine/harness.ts';
import { until } from '../e2e/support/until.ts';
import { Caller } from './support/caller.ts';
import { MemoryCluster, setFree } from './support/memory-cluster.ts';
import { TestCluster } from './support/test-cluster.ts';

const cluster = await MemoryCluster.start(t, 3);
// In place on a node that runs to the end; it outlasts whatever change of leaders a busy machine brings.
const client = Client.local(cluster.nodes.get(1)!, { timeoutMs: 60_000 });
t.teardown(() => client.close());
const PATIENT = { timeoutMs: 60_000 };
const numbers = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
await client.pushMany('s', numbers(0, 500));

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
  for (const node of cluster.nodes.values()) {
    // Whoever did not push it hears of it later: the backup must wait for that.
    await client.push('mark', node.id);
    const backup = await node.backup(PATIENT);
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
  const backup = await leader.backup(PATIENT);
  leader.snapshot();
  for (const value of numbers(500, 900)) await client.push('s', value);
  const file = BackupFile.open(await fileOf(backup), 'd/b');
  const state = new ReplicatedState(new StackMachine());
  await state.restore(chunksOf(file));
  file.close();
  t.equal(sizeOf(state, 's'), 500);
  await until('a snapshot', () => leader.status().snapshotIndex > 0);
});

t.test('one at a time; one that is left frees its place', async (t) => {
  const leader = await cluster.leader();
  const first = await leader.backup(PATIENT);
  await t.rejects(leader.backup(PATIENT), { code: 'BUSY' });
  first.close();
  first.close();
  const second = await leader.backup(PATIENT);
  for await (const piece of second) {
    t.ok(piece.length > 0);
    break;
  }
  const third = await leader.backup(PATIENT);
  third.close();
  await t.rejects(fileOf(third), { code: 'CLOSED' }, 'what was closed cannot be read');
  const fourth = await leader.backup(PATIENT);
  // As a stream does that is destroyed before anybody has read of it.
  await fourth[Symbol.asyncIterator]().return?.();
  const fifth = await leader.backup(PATIENT);
  await fileOf(fifth);
  await t.rejects(fileOf(fifth), { code: 'CLOSED' }, 'a second file of it would be empty');
  const stop = new AbortController();
  const sixth = await leader.backup({ ...PATIENT, signal: stop.signal });
  const pieces = sixth[Symbol.asyncIterator]();
  await pieces.next();
  stop.abort();
  (await leader.backup(PATIENT)).close();
  await t.rejects(pieces.next(), { code: 'ABORTED' });
});

t.test('without a leader there is no point to stand on', async (t) => {
  const left = cluster.nodes.get(1)!;
  for (const id of [2, 3]) await cluster.stop(id);
  await until('it to lose its leader', () => left.status().leader === null);
  await t.rejects(left.backup({ timeoutMs: 100 }), { code: 'NO_LEADER' });
  const gone = AbortSignal.abort();
  await t.rejects(left.backup({ signal: gone }), { code: 'ABORTED' });
  const waiting = left.backup(PATIENT);
  for (const id of [2, 3]) await cluster.boot(id);
  (await waiting).close();
});

/** Items on a stack of a state that no node holds. */
function sizeOf(state: ReplicatedState, name: string): unknown {
  return ask(state.machine, [StackOp.size, name]).value;
}

t.test('what cannot be saved, and what is no option, is told as such', async (t) => {
  const machine = defineMachine<{ kept?: unknown }>({
    name: 'hoarder',
    version: 1,
    initial: () => ({}),
    apply: (state) => {
      state.kept = new Map();
      return null;
    },
    query: () => null,
  });
  const cluster = await TestCluster.start(t, 1, { machine });
  const node = await cluster.leader();
  await t.rejects(node.backup({ timeoutMs: 'x' as never }), { code: 'BAD_OPTION', message: /timeoutMs/ });
  await t.rejects(node.backup({ timeOutMs: 1 } as never), {
    code: 'BAD_OPTION',
    message: /is timeoutMs meant/,
  });
  await new Caller(node).command();
  await t.rejects(node.backup(), {
    code: 'MACHINE_FAILED',
    outcome: 'not_applied',
    message: /machine "hoarder" cannot be saved: .*Map/,
  });
  node.snapshot();
  const failed = await until('a snapshot to fail', () =>
    node.explain().findings.find(({ code }) => code === 'SNAPSHOT_FAILED'),
  );
  t.match(failed, { severity: 'warning', message: /Map/ });
  t.throws(() => node.onFailure(undefined as never), TypeError);
  t.throws(() => node.onLeader('x' as never), TypeError);
});

t.test('a node that cannot get to the point gives up in time, or when it is told to', async (t) => {
  const cluster = await MemoryCluster.start(t, 3);
  await cluster.push(0, 10);
  const leader = await cluster.leader();
  const full = [...cluster.nodes.values()].find((node) => node !== leader)!;
  setFree(cluster, full.id, 100);
  await until('it to see its full disk', () => full.status().diskFull);
  await cluster.push(10, 12);
  await t.rejects(full.backup({ timeoutMs: 100 }), { code: 'TIMEOUT', outcome: 'not_applied' });
  const stop = new AbortController();
  const waiting = full.backup({ ...PATIENT, signal: stop.signal });
  await t.rejects(full.backup(PATIENT), { code: 'BUSY' });
  stop.abort(new Error('enough'));
  await t.rejects(waiting, { code: 'ABORTED', cause: { message: 'enough' } });
  setFree(cluster, full.id, 1 << 30);
  (await full.backup(PATIENT)).close();
});
