// A replicated machine of one's own: named counters.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Client, CommandError, defineMachine, RaftNode } from 'cordwood';

/** Every node runs the same commands in the same order, so these functions may depend on nothing but their arguments. */
const counters = () =>
  defineMachine({
    name: 'counters',
    version: 1,
    initial: () => new Map(),
    apply(state, command) {
      const { name, by } = command ?? {};
      if (typeof name !== 'string' || !Number.isSafeInteger(by))
        throw new CommandError('{name, by} is needed');
      const total = (state.get(name) ?? 0) + by;
      state.set(name, total);
      return total;
    },
    query: (state, name) => state.get(name) ?? 0,
    save: (state) => [...state],
    load: (saved) => new Map(saved),
  });

const cluster = ['127.0.0.1:7111', '127.0.0.1:7112', '127.0.0.1:7113'];
const data = await mkdtemp(path.join(tmpdir(), 'cordwood-'));
const nodes = await Promise.all(
  cluster.map((_, i) =>
    RaftNode.start({ id: i + 1, cluster, dataDir: path.join(data, `${i + 1}`), machine: counters() }),
  ),
);

const client = Client.local(nodes[0]);
await Promise.all(Array.from({ length: 1000 }, () => client.send({ name: 'visits', by: 1 })));
console.log(await client.ask('visits')); // 1000
// Sent twice, by whatever accident, it still runs once.
await client.send({ name: 'paid', by: 100 }, { idempotencyKey: 'order-17' });
await client.send({ name: 'paid', by: 100 }, { idempotencyKey: 'order-17' });
console.log(await client.ask('paid')); // 100

await client.close();
await Promise.all(nodes.map((node) => node.close()));
await rm(data, { recursive: true });
