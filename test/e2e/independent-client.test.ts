// PROTOCOL.md is enough: a client in another language, written from it alone, over the death of two leaders.
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { TestCluster } from './support/cluster.ts';
import { run, start } from './support/run-command.ts';
import { until } from './support/until.ts';

// Beside the source of this file, which is compiled to build/test/e2e.
const script = fileURLToPath(new URL('../../../test/e2e/independent-client.py', import.meta.url));
const { code } = await run('python3', ['-c', 'import sys; sys.exit(sys.version_info < (3, 8))']);

t.test('a client in Python', { skip: code === 0 ? false : 'no python3' }, async (t) => {
  const cluster = await TestCluster.start(t);
  // It stays where it is welcomed first: at the node that is killed.
  const { address } = await cluster.leader();
  const addresses = [address, ...cluster.addresses.filter((other) => other !== address)];
  const python = start('python3', [script, addresses.join(','), '20000']);
  for (const mark of ['pushed 4000', 'pushed 10000']) {
    await until(mark, () => python.child.exitCode !== null || python.stdout().includes(`${mark}\n`));
    const leader = await cluster.leader();
    await leader.kill();
    leader.start();
    await cluster.settled();
  }
  python.child.stdin!.end('\n');
  const { code, stdout, stderr } = await python.finished;
  t.equal(code, 0, stderr);
  t.match(stdout, /exactly once over [1-9]\d* lost connections\nall operations\nbroken rules\ndone\n$/);
});
