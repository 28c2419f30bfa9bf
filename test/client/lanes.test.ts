// Calls that wait for different things do not wait for each other.
import t, { type Test } from 'tap';
import { Client, Status } from '../../lib/client/index.ts';
import { FrameStore } from '../../lib/client/frame-store.ts';
import { Kind, ReadLevel } from '../../protocol/constants.ts';
import { decodeValue, encodeValue } from '../../protocol/msgpack.ts';
import { FakeCluster, type FakeLink, type FakeNode, type Frame } from './fake-cluster.ts';

async function setUp(t: Test, options: object = {}): Promise<{ client: Client; node: FakeNode }> {
  const cluster = await FakeCluster.start();
  const client = await Client.connect({ addresses: cluster.addresses, ...options });
  t.teardown(async () => {
    await client.close();
    await cluster.close();
  });
  await client.push('a', 1);
  return { client, node: cluster.node(1) };
}

const opOf = ({ body }: Frame): string => (decodeValue(body, 0, body.length) as { op: string }).op;

/** As a node whose cluster has no leader, and none it has heard of lately. */
function withoutLeader(frame: Frame, link: FakeLink): void {
  const isQuestion = frame.kind === Kind.admin && ['members', 'explain'].includes(opOf(frame));
  const isLocal = frame.kind === Kind.query && frame.flags === ReadLevel.local;
  if (isQuestion) link.respond(frame.requestId, Status.ok, encodeValue({ leader: null }));
  else if (isLocal || frame.kind === Kind.status) link.answer(frame);
  else link.respond(frame.requestId, Status.noLeader);
}

t.test('what any node answers does not wait for what needs a leader', async (t) => {
  const { client, node } = await setUp(t);
  node.onFrame = withoutLeader;
  const given = { timeoutMs: 2000 };
  const waiting = [
    client.size('a', given),
    client.size('a', { ...given, level: 'bounded' }),
    client.push('a', 2, given),
    client.admin.remove(9, given),
  ];
  for (const call of waiting) call.catch(() => {});
  // Each of them has been refused, and the next try of each is a probe.
  const refused = (kind: number, flags: number): number =>
    node.frames.filter((frame) => frame.kind === kind && frame.flags === flags).length;
  await node.until(
    () =>
      refused(Kind.query, ReadLevel.linearizable) > 1 &&
      refused(Kind.query, ReadLevel.bounded) > 1 &&
      refused(Kind.command, 0) > 2 &&
      refused(Kind.admin, 0) > 1,
  );
  t.equal(await client.size('a', { level: 'local' }), 1);
  t.match(await client.status(), { role: 'leader' });
  t.match(await client.admin.members(), { leader: null });
  t.match(await client.admin.explain(), { leader: null });
  t.equal(client.outstanding, waiting.length, 'and those still wait');
});

t.test('a change that takes long, refused once before, holds up neither reads nor changes', async (t) => {
  const { client, node } = await setUp(t);
  const held: (() => void)[] = [];
  let refusals = 1;
  node.onFrame = (frame, link) => {
    if (frame.kind !== Kind.admin) link.answer(frame);
    else if (refusals-- > 0) link.respond(frame.requestId, Status.busy);
    else if (opOf(frame) === 'add') {
      held.push(() => link.respond(frame.requestId, Status.ok, encodeValue({ done: true })));
    } else link.respond(frame.requestId, Status.ok, encodeValue({ leader: 2 }));
  };
  const adding = client.admin.add({ id: 4, address: '127.0.0.1:1' });
  await node.until(() => held.length === 1);
  t.equal(await client.size('a'), 1);
  t.equal(await client.admin.transfer(2), 2);
  held[0]!();
  t.match(await adding, { done: true });
});

t.test('a call says why it was refused, not why others were', async (t) => {
  const { client, node } = await setUp(t);
  node.onFrame = withoutLeader;
  const first = client.size('a', { level: 'bounded', maxStalenessMs: 1, timeoutMs: 3000 });
  first.catch(() => {});
  const bounded = (): number => node.frames.filter(({ flags }) => flags === ReadLevel.bounded).length;
  await node.until(() => bounded() > 1);
  // Of what happened long enough ago the node could tell it.
  await t.rejects(client.size('a', { level: 'bounded', maxStalenessMs: 60_000, timeoutMs: 60 }), {
    code: 'TIMEOUT',
    outcome: 'not_applied',
  });
});

t.test('no leader is no leader for every command, sent or not', async (t) => {
  const { client, node } = await setUp(t);
  node.onFrame = withoutLeader;
  const calls = [1, 2, 3].map((i) => client.push('a', i, { timeoutMs: 150 }));
  for (const call of calls) await t.rejects(call, { code: 'NO_LEADER', outcome: 'not_applied' });
});

t.test('a lane that carries nothing holds next to nothing', async (t) => {
  const store = new FrameStore();
  t.ok(store.chunkFor(100).writer.buffer.length <= 4096);
  store.chunkFor(100).writer.bytes(Buffer.alloc(4000));
  const next = store.chunkFor(100);
  t.ok(next.writer.buffer.length > 100_000, 'one that does gets more');
});
