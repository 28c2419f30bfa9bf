import t from 'tap';
import type { DiskCall, MemoryDisk } from '../../lib/log/memory-disk.ts';
import type { RaftNode } from '../../lib/node/node.ts';
import { StackOp, Status } from '../../protocol/constants.ts';
import { chooser } from '../log/helpers.ts';
import { Caller } from './support/caller.ts';
import { TestCluster } from './support/test-cluster.ts';

/** On how many disks a value would be found after a power cut now that loses everything that was not synced. */
function disksWith(cluster: TestCluster, value: string): number {
  let found = 0;
  for (const disk of cluster.disks.values()) {
    const image = disk.fork();
    image.crash(() => 0);
    const logs = image.files().filter((path) => path.endsWith('.log'));
    if (logs.some((path) => Buffer.from(image.content(path)).includes(value))) found++;
  }
  return found;
}

/** Pushes a value; when the answer comes, looks at once where it is durable. */
async function push(cluster: TestCluster, node: RaftNode, value: string): Promise<number | null> {
  const { status } = await new Caller(node).command(StackOp.push, 'jobs', value);
  return status === Status.ok ? disksWith(cluster, value) : null;
}

/** A leader that serves, in a cluster whose nodes all know each other. */
async function serving(cluster: TestCluster): Promise<RaftNode> {
  await cluster.meet();
  for (;;) {
    const leader = await cluster.leader();
    if ((await push(cluster, leader, 'the first')) !== null) return leader;
  }
}

/** A value found nowhere else, not as a part of another either. */
const valueOf = (i: number): string => `<value ${i}>`;

function syncsOf(disk: MemoryDisk, fail: (call: DiskCall) => boolean): void {
  disk.onCall = (call) => {
    if (call.operation === 'datasync' && call.path.endsWith('.log') && fail(call))
      throw Object.assign(new Error('EIO: the disk is broken'), { code: 'EIO' });
    return undefined;
  };
}

t.test('no answer leaves before a quorum has synced what it answers', async (t) => {
  const cluster = await TestCluster.start(t, 3, { electionTimeoutMs: 30_000 });
  const leader = await serving(cluster);
  const others = cluster.nodes.filter((node) => node !== leader).map(({ id }) => id);
  const gates = [leader.id, ...others].map((id) => cluster.gate(id));
  const [own, second, third] = gates as [(typeof gates)[0], (typeof gates)[0], (typeof gates)[0]];
  for (const gate of gates) gate.stall();
  const before = leader.status().lastIndex;
  let answered = false;
  const first = push(cluster, leader, valueOf(0)).finally(() => (answered = true));

  // The leader's own disk is not a quorum, however far it gets.
  await cluster.until('the leader’s write', () => {
    while (own.letThrough());
    const { durableIndex, lastIndex } = leader.status();
    return lastIndex > before && durableIndex === lastIndex;
  });
  await cluster.until('the followers’ writes', () =>
    others.every((id) => cluster.node(id).status().lastIndex === leader.status().lastIndex),
  );
  t.equal(disksWith(cluster, valueOf(0)), 1);
  t.notOk(answered);
  // A follower has written and not synced.
  t.ok(second.letThrough());
  t.notOk(answered);
  await cluster.until('an answer', () => {
    second.letThrough();
    return answered;
  });
  t.equal(await first, 2, 'the third disk still stands still');

  // The two followers are a quorum without the leader's disk.
  const next = push(cluster, leader, valueOf(1));
  let done = false;
  void next.then(() => (done = true));
  await cluster.until('an answer', () => {
    second.letThrough();
    third.letThrough();
    return done;
  });
  t.equal(await next, 2);
  for (const gate of gates) gate.goOn();
});

t.test('the same with many at once and disks that go on at random', async (t) => {
  const cluster = await TestCluster.start(t, 3, { electionTimeoutMs: 30_000 });
  const leader = await serving(cluster);
  const gates = [1, 2, 3].map((id) => cluster.gate(id));
  for (const gate of gates) gate.stall();
  const choose = chooser(7);
  const answers: Promise<number | null>[] = [];
  let open = 0;
  for (let sent = 0; sent < 150 || open > 0;) {
    if (sent < 150 && choose(3) > 0) {
      open++;
      const answer = push(cluster, leader, valueOf(sent++));
      void answer.finally(() => open--);
      answers.push(answer);
    }
    for (let i = choose(4); i > 0; i--) gates[choose(3)]!.letThrough();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const disks = await Promise.all(answers);
  t.same(
    disks.filter((count) => count === null),
    [],
    'all were taken',
  );
  t.ok(disks.every((count) => count! >= 2));
  t.ok(disks.includes(2), 'and none waited for all disks');
  for (const gate of gates) gate.goOn();
});

t.test('after a failed fsync a leader acknowledges nothing, says so and stops at once', async (t) => {
  const cluster = await TestCluster.start(t, 3);
  const leader = await serving(cluster);
  t.ok((await push(cluster, leader, valueOf(0)))! >= 2);
  let failed = false;
  syncsOf(cluster.disks.get(leader.id)!, () => (failed = true));
  const answers = Array.from({ length: 20 }, (_, i) => push(cluster, leader, valueOf(i + 1)));
  await leader.closed;
  t.ok(failed);
  t.match(leader.failure, { code: 'LOG_FAILED', cause: { code: 'EIO' } });
  t.equal(
    cluster.logs.filter((line) => line.id === leader.id && line.level === 'error').length,
    1,
    'said once, as an error',
  );
  for (const [i, disks] of (await settled(answers)).entries()) {
    if (disks !== null) t.ok(disks >= 2, `value ${i + 1} was acknowledged, so it is on two disks`);
  }
  // What the others agreed on before it stopped may have been answered; nothing that was sent afterwards is.
  t.same(await settled([push(cluster, leader, valueOf(99))]), [null]);
  await cluster.stop(leader.id);
  const next = await cluster.leader();
  t.equal(await push(cluster, next, valueOf(100)), 2);
});

t.test('a failed fsync of a follower counts for nothing', async (t) => {
  const cluster = await TestCluster.start(t, 3, { electionTimeoutMs: 30_000 });
  const leader = await serving(cluster);
  const [sick, slow] = cluster.nodes.filter((node) => node !== leader);
  cluster.gate(slow!.id).stall();
  syncsOf(cluster.disks.get(sick!.id)!, () => true);
  let answered = false;
  const answer = push(cluster, leader, valueOf(0)).finally(() => (answered = true));
  await sick!.closed;
  t.match(sick!.failure, { code: 'LOG_FAILED' });
  await cluster.until('the leader’s disk', () => disksWith(cluster, valueOf(0)) === 1);
  t.notOk(answered, 'written by two, synced by one');
  cluster.gate(slow!.id).goOn();
  t.equal(await answer, 2);
});

t.test('a node alone that cannot sync acknowledges nothing', async (t) => {
  const cluster = await TestCluster.start(t, 1);
  const node = await serving(cluster);
  t.equal(await push(cluster, node, valueOf(0)), 1);
  syncsOf(cluster.disks.get(1)!, () => true);
  const answers = Array.from({ length: 5 }, (_, i) => push(cluster, node, valueOf(i + 1)));
  await node.closed;
  t.same(
    await settled(answers),
    answers.map(() => null),
  );
  t.match(node.failure, { code: 'LOG_FAILED' });
});

/** Answers so far; a node that has stopped may owe some for ever, which is no acknowledgement. */
function settled(answers: readonly Promise<number | null>[]): Promise<(number | null)[]> {
  const never = new Promise<null>((resolve) => setImmediate(resolve, null));
  return Promise.all(answers.map((answer) => Promise.race([answer, never])));
}
