import t from 'tap';
import type { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { PeerKind, StackOp, Status } from '../../protocol/constants.ts';
import { peerFrameKind } from '../../protocol/peer-frame.ts';
import { Caller } from './support/caller.ts';
import { until } from '../e2e/support/until.ts';
import { ask, MemoryCluster, putBack } from './support/memory-cluster.ts';

function corruptMiddle(disk: MemoryDisk): string {
  const path = disk.files().find((file) => file.endsWith('.log'))!;
  disk.corrupt(path, 300, 0x10);
  return path;
}

t.test('a node with a rotten segment heals from the leader, while the others go on', async (t) => {
  const cluster = await MemoryCluster.start(t, 3);
  await cluster.push(0, 100);
  const victim = [...cluster.nodes.keys()].find((id) => cluster.nodes.get(id)!.status().role !== 'leader')!;
  await cluster.stop(victim);
  const file = corruptMiddle(cluster.disks[victim - 1]!);
  await cluster.push(100, 120);
  const node = await cluster.boot(victim);
  t.match(node.status().quarantine, file, 'the status names the file');
  t.match(node.status().quarantine, 'offset');
  const refused = await new Caller(node).query(StackOp.size, 's');
  t.equal(refused.status, Status.noLeader, 'reads go elsewhere meanwhile');
  await until('the end of the quarantine', () => node.status().quarantine === null);
  await cluster.push(120, 130);
  await until(
    'all entries applied',
    () => node.status().appliedIndex === node.status().commitIndex && node.leader !== null,
  );
  t.same(await new Caller(node).query(StackOp.size, 's'), { status: Status.ok, value: 130 });
  t.equal(cluster.errors.filter((line) => line.includes('in quarantine until')).length, 1, 'said once');

  // It is a full member again: with it alone the leader has a majority.
  const leader = await cluster.leader();
  const third = [...cluster.nodes.keys()].find((id) => id !== victim && cluster.nodes.get(id) !== leader)!;
  await cluster.stop(third);
  await cluster.push(130, 140);
  await cluster.stop(leader.id);
  await cluster.boot(third);
  const next = await cluster.leader();
  t.same(await new Caller(next).query(StackOp.size, 's'), { status: Status.ok, value: 140 });
});

t.test('healing through a snapshot, and again from the start after a crash half way', async (t) => {
  const cluster = await MemoryCluster.start(t, 3, 3000);
  await cluster.push(0, 200);
  const leader = await cluster.leader();
  await until('a compacted log', () => leader.status().firstIndex > 1);
  const victim = leader.id === 1 ? 2 : 1;
  await cluster.stop(victim);
  const disk = cluster.disks[victim - 1]!;
  for (const path of disk.files()) if (path.endsWith('.log')) disk.unlink(path);
  for (const path of disk.files()) if (path.endsWith('.snap')) disk.unlink(path);
  disk.syncDirectory('node/log');
  disk.syncDirectory('node/snapshots');
  const half = await cluster.boot(victim);
  t.match(half.status().quarantine, 'was durable once');
  // The snapshot arrives, and then the node dies: what it has is whole and not all.
  let cut = false;
  disk.onCall = (call) => {
    if (call.operation === 'rename' && call.path.endsWith('.tmp')) cut = true;
    else if (cut && call.operation === 'datasync') throw Object.assign(new Error('gone'), { code: 'EIO' });
    return undefined;
  };
  await until('the node to stop', () => half.failure !== null);
  await half.closed;
  disk.onCall = null;
  const node = await cluster.boot(victim);
  t.match(node.status().quarantine, 'fetched again', 'it remembers that something is missing');
  await until('the end of the quarantine', () => node.status().quarantine === null);
  await cluster.push(200, 210);
  await until(
    'the node to catch up',
    () => node.status().commitIndex >= leader.status().commitIndex && node.leader !== null,
  );
  t.same(await new Caller(node).query(StackOp.size, 's'), { status: Status.ok, value: 210 });
});

t.test('the votes of a node in quarantine elect nobody', async (t) => {
  const cluster = await MemoryCluster.start(t, 3);
  await cluster.push(0, 20);
  const leader = await cluster.leader();
  const [behind, victim] = [1, 2, 3].filter((id) => id !== leader.id) as [number, number];
  await cluster.stop(behind);
  await cluster.push(20, 60);
  await cluster.stop(victim);
  await cluster.stop(leader.id);
  // The victim alone has what was acknowledged, besides the leader that is gone.
  corruptMiddle(cluster.disks[victim - 1]!);
  const sick = await cluster.boot(victim);
  const old = await cluster.boot(behind);
  t.not(sick.status().quarantine, null);
  await until('a node without a leader to say so', () =>
    cluster.errors.some((line) => line.includes('no leader has been heard of')),
  );
  t.equal(
    old.leader,
    null,
    'two of three nodes, and no leader: one of them does not know what it has forgotten',
  );
  await cluster.boot(leader.id);
  const next = await cluster.leader();
  t.same(await new Caller(next).query(StackOp.size, 's'), { status: Status.ok, value: 60 });
  await until('the end of the quarantine', () => sick.status().quarantine === null);
});

t.test('a directory that went back to an older copy is noticed by the leader', async (t) => {
  const cluster = await MemoryCluster.start(t, 3);
  await cluster.push(0, 20);
  const leader = await cluster.leader();
  const victim = leader.id === 1 ? 2 : 1;
  const node = cluster.nodes.get(victim)!;
  await until('all entries on its disk', () => node.status().durableIndex === leader.status().lastIndex);
  await cluster.stop(victim);
  const copy = cluster.disks[victim - 1]!.clone();
  await cluster.boot(victim);
  await cluster.push(20, 60);
  await until('followers that have everything', () =>
    leader.status().peers.every((p) => p.match === leader.status().lastIndex),
  );
  await cluster.stop(victim);
  putBack(cluster.disks[victim - 1]!, copy);
  const stale = await cluster.boot(victim);
  await until('older files to be noticed', () =>
    cluster.errors.some((line) => line.includes('the files are older than that')),
  );
  await until('the end of the quarantine', () => stale.status().quarantine === null);
  await until(
    'the node to catch up',
    () => stale.status().commitIndex === leader.status().commitIndex && stale.leader !== null,
  );
  t.same(await new Caller(stale).query(StackOp.size, 's'), { status: Status.ok, value: 60 });
});

t.test('power that fails before the quarantine is on the disk finds a leader that still knows', async (t) => {
  const cluster = await MemoryCluster.start(t, 3, 64 << 20, 2500);
  await cluster.push(0, 20);
  const leader = await cluster.leader();
  const victim = leader.id === 1 ? 2 : 1;
  const disk = cluster.disks[victim - 1]!;
  const gate = cluster.gates[victim - 1]!;
  const node = cluster.nodes.get(victim)!;
  await until('all entries on its disk', () => node.status().durableIndex === leader.status().lastIndex);
  await cluster.stop(victim);
  const copy = disk.clone();
  await cluster.boot(victim);
  await cluster.push(20, 40);
  await until('followers that have everything', () =>
    leader.status().peers.every((p) => p.match === leader.status().lastIndex),
  );
  await cluster.stop(victim);
  putBack(disk, copy);
  let heartbeats = 0;
  let told = 0;
  cluster.onFrame = (to, bytes, start, _end, from) => {
    const kind = peerFrameKind(bytes, start);
    if (to === victim && kind === PeerKind.refetch) gate.stall();
    if (to === victim && kind === PeerKind.heartbeat) heartbeats++;
    if (from === victim && kind === PeerKind.lostLog) told++;
  };
  const stale = await cluster.boot(victim);
  await until('older files to be noticed', () => stale.status().quarantine !== null);
  heartbeats = 0;
  await until('some more of what the leader says', () => heartbeats > 1);
  t.equal(told, 0);
  t.not(leader.status().peers.find(({ id }) => id === victim)?.match, 0, 'the leader has not forgotten');

  const image = disk.fork();
  image.crash(() => 0);
  await cluster.stop(victim);
  gate.goOn();
  putBack(disk, image);
  cluster.onFrame = () => undefined;
  cluster.errors.length = 0;
  const again = await cluster.boot(victim);
  await until('older files to be noticed again', () =>
    cluster.errors.some((line) => line.includes('the files are older than that')),
  );
  t.equal(await ask(again, StackOp.size), 40);
});

t.test('a lost vote file costs nothing but a look at the leader', async (t) => {
  const cluster = await MemoryCluster.start(t, 3);
  await cluster.push(0, 20);
  const leader = await cluster.leader();
  const victim = leader.id === 1 ? 2 : 1;
  await cluster.stop(victim);
  cluster.disks[victim - 1]!.unlink('node/vote');
  const node = await cluster.boot(victim);
  t.match(node.status().quarantine, 'vote');
  await until('the end of the quarantine', () => node.status().quarantine === null);
  t.equal(node.status().firstIndex, 1);
});

t.test('who cannot be helped does not start', async (t) => {
  const alone = await MemoryCluster.start(t, 1);
  await alone.push(0, 20);
  await alone.stop(1);
  const file = corruptMiddle(alone.disks[0]!);
  await t.rejects(alone.boot(1), {
    code: 'LOG_DAMAGED',
    message: new RegExp(`no other node has a copy.*${file}`),
  });

  const cluster = await MemoryCluster.start(t, 3);
  await cluster.push(0, 20);
  await cluster.stop(1);
  corruptMiddle(cluster.disks[0]!);
  cluster.disks[0]!.unlink('node/vote');
  await t.rejects(cluster.boot(1), { code: 'LOG_DAMAGED', message: /second record of its votes/ });
});

t.test('a leader whose own files have rotted still brings a follower up to date', async (t) => {
  const cluster = await MemoryCluster.start(t, 3, 3000);
  await cluster.push(0, 60);
  const leader = await cluster.leader();
  const behind = leader.id === 1 ? 2 : 1;
  await cluster.stop(behind);
  await cluster.push(60, 260);
  await until('a compacted log', () => leader.status().firstIndex > 70);
  const disk = cluster.disks[leader.id - 1]!;
  for (const path of disk.files())
    if (path.endsWith('.snap')) disk.corrupt(path, Math.floor(disk.content(path).length / 2), 1);
  const node = await cluster.boot(behind);
  await until(
    'the node to catch up',
    () => node.status().commitIndex >= leader.status().commitIndex && node.leader !== null,
  );
  t.same(await new Caller(node).query(StackOp.size, 's'), { status: Status.ok, value: 260 });
  t.ok(cluster.errors.some((line) => line.includes('damage at rest')));
});
