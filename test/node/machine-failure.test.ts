import t from 'tap';
import { defineMachine } from '../../lib/machine/define-machine.ts';
import { RaftNode } from '../../lib/node/node.ts';
import { encodeCommand } from '../../protocol/client-codec.ts';
import { encodeValue } from '../../protocol/msgpack.ts';
import { Status } from '../../protocol/constants.ts';
import { Caller, type Answer } from './support/caller.ts';
import { TestCluster } from './support/test-cluster.ts';

t.test('a node does not start without a machine', async (t) => {
  for (const machine of [undefined, {}, { apply: () => 0 }]) {
    const options = { id: 1, cluster: ['127.0.0.1:1'], dataDir: t.testdirName, machine: machine as never };
    await t.rejects(RaftNode.start(options), { code: 'BAD_OPTION', message: /machine/ });
  }
});

t.test('a node whose machine has failed says so, and does not look like a leader', async (t) => {
  const machine = defineMachine<object, object>({
    name: 'fragile',
    version: 1,
    initial: () => ({}),
    apply: (_state, command) => Object.keys(command).length,
    query: () => null,
  });
  const cluster = await TestCluster.start(t, 1, { machine });
  const node = await cluster.leader();
  t.ok(node.explain().healthy);
  const failed = new Promise((resolve) => {
    node.onFailure(resolve);
  });
  void new Caller(node).send((out, id) => {
    encodeCommand(out, id, 0, 0, 0, encodeValue(null));
  });
  await failed;
  await node.closed;
  t.match(node.failure, { code: 'MACHINE_FAILED' });
  t.match(node.explain(), {
    healthy: false,
    summary: /the node has stopped: .*fragile.*threw in apply/,
    findings: [{ topic: 'node', code: 'MACHINE_FAILED', severity: 'problem' }],
  });
  t.not(node.status().role, 'leader');
  t.equal(node.leader, null);
});

t.test(
  'a command at which the machine throws is unknown to whoever sent it, as are those behind it',
  async (t) => {
    const machine = defineMachine<{ n: number }, string>({
      name: 'fragile',
      version: 1,
      initial: () => ({ n: 0 }),
      apply: (state, command) => {
        if (command === 'bad') throw new Error('bad');
        return ++state.n;
      },
      query: () => null,
    });
    const cluster = await TestCluster.start(t, 1, { machine });
    const node = await cluster.leader();
    const [one, two] = [new Caller(node), new Caller(node)];
    const send = (caller: Caller, text: string): Promise<Answer> =>
      caller.send((out, id) => {
        encodeCommand(out, id, 0, 0, 0, encodeValue(text));
      });
    // The buffers that answers are written to are those of earlier ones: nothing of them may show.
    for (const caller of [one, two, one, two]) t.equal((await send(caller, 'good')).status, Status.ok);
    const answers = await Promise.all([
      send(one, 'good'),
      send(two, 'good'),
      send(one, 'bad'),
      send(one, 'good'),
      send(two, 'good'),
    ]);
    t.same(
      answers.map(({ status }) => status),
      [Status.ok, Status.ok, Status.unknown, Status.unknown, Status.unknown],
    );
    await node.closed;
    t.equal(one.waiting + two.waiting, 0);
  },
);
