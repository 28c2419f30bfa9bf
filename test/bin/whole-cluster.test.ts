// Commands that are about the whole cluster find all of it by one of its nodes.
import t from 'tap';
import type { Explanation } from '../../lib/node/explain.ts';
import type { MembersView } from '../../lib/node/types.ts';
import { TestCluster } from '../e2e/support/cluster.ts';
import { CommandHost } from './support/run-command.ts';

const cluster = await TestCluster.start(t);
const host = new CommandHost();
t.teardown(() => host.close());
const [, two] = cluster.addresses as [string, string];

interface Explained {
  readonly nodes: readonly { readonly address: string; readonly explanation: Explanation | null }[];
}

t.test('members, asked of any node', async (t) => {
  const { code, stdout } = await host.run(['members', '--addr', two]);
  t.equal(code, 0);
  const rows = stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t'));
  t.same(
    rows.map((row) => row.slice(0, 4)),
    cluster.nodes.map(({ id, peerPort, address }) => [String(id), 'voter', `127.0.0.1:${peerPort}`, address]),
  );
  t.equal(rows.filter(([, , , , role]) => role === 'leader').length, 1);
});

t.test('members as JSON has all that the client gets, and what --if-index takes', async (t) => {
  const { stdout } = await host.run(['members', '--json', '--addr', two]);
  const view = JSON.parse(stdout) as MembersView;
  const client = await cluster.client();
  const known = await client.admin.members();
  t.same(Object.keys(view).sort(), Object.keys(known).sort());
  t.same(Object.keys(view.members[0]!).sort(), Object.keys(known.members[0]!).sort());
  t.match(view, { clusterId: known.clusterId, configIndex: known.configIndex, changing: false, retired: [] });
  t.ok(
    view.members.every(({ match }) => match !== null),
    'asked of the leader',
  );
  const promote = (index: number): string[] => [
    ...['member', 'promote', '2', '--dry-run', '--addr', two],
    ...['--if-index', String(index)],
  ];
  t.match(await host.run(promote(view.configIndex)), { code: 0, stderr: '' });
  t.match(await host.run(promote(view.configIndex + 1)), { code: 3, stderr: /CONFIG_MISMATCH/ });
});

t.test('explain asks all nodes, given one', async (t) => {
  const { code, stdout } = await host.run(['explain', '--addr', two]);
  t.equal(code, 0, stdout);
  for (const address of cluster.addresses) t.match(stdout, new RegExp(`^${address} `, 'm'));
});

t.test('explain asks those that are left, and each answers for itself', async (t) => {
  await Promise.all([cluster.nodes[0]!.kill(), cluster.nodes[2]!.kill()]);
  const { stdout } = await host.run(['explain', '--addr', two, '--json']);
  const { nodes } = JSON.parse(stdout) as Explained;
  t.same(
    nodes.map(({ address, explanation }) => [address, explanation?.id ?? null]),
    cluster.addresses.map((address) => [address, address === two ? 2 : null]),
  );
  const text = await host.run(['explain', '--addr', two]);
  for (const address of cluster.addresses.filter((address) => address !== two))
    t.match(text.stdout, new RegExp(`^${address} does not answer$`, 'm'));
});
