import t from 'tap';
import { defineMachine } from '../../lib/machine/define-machine.ts';
import { RaftNode } from '../../lib/node/node.ts';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { freePorts, memoryEnvironment } from './support/memory-environment.ts';

const counter = (): ReturnType<typeof defineMachine> =>
  defineMachine({
    name: 'counter',
    version: 1,
    initial: () => ({ total: 0 }),
    apply: (state, by: number) => (state.total += by),
    query: (state) => state.total,
  });

t.test('a machine is given to one start of one node', async (t) => {
  const [port] = await freePorts(1);
  const machine = counter();
  const start = (given = machine): Promise<RaftNode> => {
    const options = { id: 1, cluster: [`127.0.0.1:${port}`], dataDir: 'in memory', machine: given };
    return RaftNode.start(options, memoryEnvironment(new MemoryDisk()));
  };
  const node = await start();
  const refused = {
    code: 'BAD_OPTION',
    outcome: 'not_applied',
    message: /^machine holds the state of another/,
  };
  await t.rejects(start(), refused, 'a second node beside the first');
  await node.close();
  await t.rejects(start(), refused, 'its commands would be applied on top of what is there');
  await (await start(counter())).close();
});

t.test('a machine that was given nothing, as the start failed, may be tried again', async (t) => {
  const [port] = await freePorts(1);
  const options = { id: 1, cluster: [`127.0.0.1:${port}`], dataDir: 'in memory', machine: counter() };
  const failing = (): Promise<never> => Promise.reject(new Error('no such disk'));
  await t.rejects(RaftNode.start(options, failing), /no such disk/);
  await (await RaftNode.start(options, memoryEnvironment(new MemoryDisk()))).close();
});
