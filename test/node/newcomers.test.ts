import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import t, { type Test } from 'tap';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { PeerFile } from '../../lib/log/peer-file.ts';
import { bootstrapOf } from '../../lib/node/options.ts';
import { encodeIntroduction } from '../../protocol/introduction.ts';
import { TestCluster } from './support/test-cluster.ts';

/** Whoever asks there who this is hears `answer`. Returns the address. */
async function listener(t: Test, answer: (address: string) => Uint8Array): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => {}).once('data', () => socket.end(answer(address)));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => server.close());
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return address;
}

/** Says that it is node 4 of the cluster, with this directory and data in it. */
function withData(t: Test, incarnation: string): Promise<string> {
  return listener(t, (peerAddress) =>
    encodeIntroduction({
      clusterId: 'test',
      nodeId: 4,
      incarnation,
      peerAddress,
      clientAddress: '',
      empty: false,
      config: bootstrapOf([]),
      configIndex: 0,
    }),
  );
}

t.test('a node whose addition was lost with its leader can be added again, with what it has', async (t) => {
  const cluster = await TestCluster.start(t, 1);
  await cluster.stop(1);
  new PeerFile(cluster.disks.get(1)!, 'node').remember(4, 'the directory it was met with');
  const leader = await cluster.startNode(1).then(() => cluster.leader());
  const add = async (incarnation: string): Promise<unknown> => {
    const members = [{ id: 4, peerAddress: await withData(t, incarnation) }];
    return leader.reconfigure({ voters: [1, 4], members }, { dryRun: true });
  };
  t.match(await add('the directory it was met with'), { done: false, changed: true });
  await t.rejects(add('another'), { code: 'INCARNATION_CHANGED', outcome: 'not_applied' });
});

t.test('one with data that nobody here has met must come with another number', async (t) => {
  const cluster = await TestCluster.start(t, 1);
  const leader = await cluster.leader();
  const members = [{ id: 4, peerAddress: await withData(t, 'never met') }];
  await t.rejects(leader.reconfigure({ voters: [1, 4], members }, { force: true }), {
    code: 'NOT_EMPTY',
    outcome: 'not_applied',
    message: /an empty directory and a number that was never used/,
  });
});

t.test('nobody becomes a member without having said which directory it has, not even by force', async (t) => {
  const cluster = await TestCluster.start(t, 1, {}, 1);
  const leader = await cluster.leader();
  const target = { voters: [1, 2], members: [{ id: 2, peerAddress: cluster.address(2) }] };
  await t.rejects(leader.reconfigure(target, { force: true }), {
    code: 'UNREACHABLE',
    outcome: 'not_applied',
  });
  t.same(leader.status().config.learners, []);
  await cluster.startNode(2, { join: true });
  t.match(await leader.reconfigure(target), { done: true, config: { voters: [1, 2] } });
});

t.test('an address where something else listens is a mistake of whoever gave it', async (t) => {
  const cluster = await TestCluster.start(t, 1);
  const leader = await cluster.leader();
  const peerAddress = await listener(t, () => Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'));
  await t.rejects(leader.reconfigure({ voters: [1, 4], members: [{ id: 4, peerAddress }] }), {
    code: 'BAD_OPTION',
    outcome: 'not_applied',
    message: /node 4 needs its peer address; what answers at .* is no peer of a cluster/,
  });
});

t.test('a wiped learner is not let in, and its peers say why', async (t) => {
  const cluster = await TestCluster.start(t, 1, {}, 1);
  const leader = await cluster.leader();
  await cluster.startNode(2, { join: true });
  const members = [{ id: 2, peerAddress: cluster.address(2) }];
  await leader.reconfigure({ voters: [1], learners: [2], members });
  await cluster.stop(2);
  cluster.disks.set(2, new MemoryDisk());
  await cluster.startNode(2, { join: true });
  await cluster.until('the reason is known', () =>
    leader.explain().findings.some(({ data }) => data?.['refusal'] === 'INCARNATION_CHANGED'),
  );
  t.match(
    leader.explain().findings.find(({ peer }) => peer === 2),
    { code: 'PEER_DOWN', message: /do not work together: .*directory/ },
  );
  await cluster.stop(2);
  await cluster.until('it is only down', () =>
    leader.explain().findings.some(({ message }) => message === 'node 2 cannot be reached'),
  );
});
