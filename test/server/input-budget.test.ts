import t from 'tap';
import { encodePreamble } from '../../protocol/client-codec.ts';
import { Limits } from '../../protocol/constants.ts';
import { startServer } from '../../lib/server/index.ts';
import { InputBudget } from '../../lib/server/input-budget.ts';
import { until } from '../e2e/support/until.ts';
import { BinaryClient, pushFrame } from './support/binary.ts';
import { FakeNode } from './support/fake-node.ts';

const MIB = 1 << 20;

t.test('beyond the total those that keep the most go first, until there is room', async (t) => {
  const budget = new InputBudget(800);
  const ended: number[] = [];
  const watch = (bytes: number): void => {
    const unfinished = budget.watch(() => ended.push(bytes));
    unfinished.set(bytes);
  };
  for (const bytes of [100, 300, 50, 200]) watch(bytes);
  const done = budget.watch(() => ended.push(-1));
  done.set(150);
  t.strictSame(ended, []);
  t.equal(budget.bytes, 800);
  done.set(0);
  watch(200);
  t.strictSame(ended, [300]);
  t.equal(budget.bytes, 550);
  budget.forget(done);
  budget.forget(done);
  t.equal(budget.bytes, 550, 'nothing is given back twice');
});

t.test(
  'frames that do not arrive whole are bounded for all connections, whatever their number',
  async (t) => {
    const most = 16 * MIB;
    const node = new FakeNode();
    const server = await startServer({ node, listen: { port: 0 }, limits: { maxTotalInputBytes: most } });
    t.teardown(() => server.close());
    const clients = Array.from({ length: 12 }, () => new BinaryClient(server.port));
    const frame = new Uint8Array(Limits.maxFrameBytes - 1);
    new DataView(frame.buffer).setUint32(0, Limits.maxFrameBytes - 4, true);
    frame[4] = 0x10;
    for (const client of clients) {
      await client.frame(1);
      client.socket.write(frame);
    }
    await until('the end of as many as must go', () => server.connections.binary <= most / frame.length);
    const { input } = server as unknown as { readonly input: InputBudget };
    t.ok(input.bytes <= most);
    const other = new BinaryClient(server.port, encodePreamble());
    other.socket.write(pushFrame(1, 'other', 1));
    t.equal((await other.frame(2)).value, 1, 'others are served');
    for (const client of [...clients, other]) client.destroy();
    await until('nobody', () => server.connections.total === 0);
    t.equal(input.bytes, 0, 'all of it is given back');
  },
);
