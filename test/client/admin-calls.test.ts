import t, { type Test } from 'tap';
import { Client, Status } from '../../lib/client/index.ts';
import { Kind } from '../../protocol/constants.ts';
import { decodeValue, encodeValue } from '../../protocol/msgpack.ts';
import { FakeCluster, type FakeNode } from './fake-cluster.ts';

type Told = readonly [status: number, body: object];

const done: Told = [Status.ok, { done: true, changed: true }];

/** A node that answers requests of admin with `answers`, one after the other. */
async function setUp(t: Test, answers: Told[]): Promise<{ client: Client; node: FakeNode }> {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  const node = cluster.node(1);
  node.onFrame = (frame, link) => {
    if (frame.kind !== Kind.admin) {
      link.answer(frame);
      return;
    }
    const [status, body] = answers.shift()!;
    link.respond(frame.requestId, status, encodeValue(body));
  };
  const client = await Client.connect({ addresses: cluster.addresses });
  t.teardown(() => client.close());
  return { client, node };
}

t.test('a change that was not committed in time is reported as that', async (t) => {
  const message = 'waited in vain for the change to be committed; it may yet take effect';
  const { client, node } = await setUp(t, [
    [Status.unknown, { code: 'TIMEOUT', message }],
    [Status.refused, { code: 'CHANGE_PENDING', message: 'another change is under way' }],
  ]);
  await t.rejects(client.admin.remove(3), { code: 'TIMEOUT', outcome: 'unknown', message });
  t.equal(node.seen(Kind.admin).length, 1);
});

for (const code of ['OUTCOME_UNKNOWN', 'NOT_LEADER', 'SHUTTING_DOWN', 'of a later version']) {
  t.test(`a change of which its node says ${code} is asked for again`, async (t) => {
    const { client, node } = await setUp(t, [[Status.unknown, { code, message: '' }], done]);
    t.match(await client.admin.remove(3), { done: true });
    t.equal(node.seen(Kind.admin).length, 2);
  });
}

t.test('a change that must not be asked for twice ends with what its node says', async (t) => {
  const { client } = await setUp(t, [[Status.unknown, { code: 'NOT_LEADER', message: 'lost it' }]]);
  await t.rejects(client.admin.remove(3, { expectedConfigIndex: 7 }), {
    code: 'NOT_LEADER',
    outcome: 'unknown',
    message: 'lost it',
  });
});

t.test('a change may take for ever: its node is told the longest that it takes', async (t) => {
  const { client, node } = await setUp(t, [done, done]);
  await client.admin.remove(3, { timeoutMs: Infinity });
  await client.admin.remove(3, { timeoutMs: 1000 });
  t.match(
    node.seen(Kind.admin).map(({ body }) => decodeValue(body, 0, body.length)),
    [{ timeoutMs: 86_400_000 }, { timeoutMs: 900 }],
  );
});
