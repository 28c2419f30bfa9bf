import t from 'tap';
import { defineMachine } from '../../lib/machine/define-machine.ts';
import { RaftNode } from '../../lib/node/node.ts';
import { encodeCommand } from '../../protocol/client-codec.ts';
import { encodeValue } from '../../protocol/msgpack.ts';
import { Caller } from './support/caller.ts';
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
