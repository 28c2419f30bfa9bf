// One node with a port for clients. Try it: curl http://127.0.0.1:7180/sPush -d jobs,hello
import path from 'node:path';
import { RaftNode, StackMachine } from 'cordwood';
import { startServer } from 'cordwood/server';

const node = await RaftNode.start({
  id: 1,
  cluster: ['127.0.0.1:7179'],
  clientAddress: '127.0.0.1:7180',
  dataDir: path.join('cordwood-data', 'example'),
  machine: new StackMachine(),
  logger: console,
});
const server = await startServer({ node, listen: { port: 7180 } });
console.log(`http://${server.address}/ until Ctrl-C`);

process.once('SIGINT', async () => {
  await server.close();
  await node.close();
});
