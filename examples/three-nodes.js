// Three nodes in one process: push, pop, close.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Client, RaftNode, StackMachine } from 'cordwood';

const cluster = ['127.0.0.1:7101', '127.0.0.1:7102', '127.0.0.1:7103'];
const data = await mkdtemp(path.join(tmpdir(), 'cordwood-'));
const nodes = await Promise.all(
  cluster.map((_, i) =>
    RaftNode.start({ id: i + 1, cluster, dataDir: path.join(data, `${i + 1}`), machine: new StackMachine() }),
  ),
);

const client = Client.local(nodes[0]);
await client.push('jobs', { id: 1, task: 'split logs' });
console.log(await client.push('jobs', { id: 2, task: 'stack them' })); // 2
console.log(await client.pop('jobs')); // { id: 2, task: 'stack them' }

await client.close();
await Promise.all(nodes.map((node) => node.close()));
await rm(data, { recursive: true });
