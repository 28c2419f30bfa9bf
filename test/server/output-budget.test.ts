import { EventEmitter, once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';
import { Client } from '../../lib/client/index.ts';
import { startServer } from '../../lib/server/index.ts';
import type { Server, ServerLimits } from '../../lib/server/index.ts';
import { OutputBudget } from '../../lib/server/output-budget.ts';
import { until } from '../e2e/support/until.ts';
import { BinaryClient, pushFrame, topFrame } from './support/binary.ts';
import { FakeNode } from './support/fake-node.ts';
import { ask } from './support/http.ts';

const MIB = 1 << 20;
const FOR_EVER_MS = 600_000;

/** As much of a socket as the budget looks at. */
class FakeSocket extends EventEmitter {
  writableLength = 0;
  bytesWritten = 0;
  readonly _handle = { writeQueueSize: 0 };

  get asSocket(): Socket {
    return this as unknown as Socket;
  }
}

t.test('a long write that leaves piece by piece is no stall; one that does not leave is', async (t) => {
  const budget = new OutputBudget({ stallTimeoutMs: 100, maxTotalOutputBytes: Infinity });
  const [slow, still, empty] = [new FakeSocket(), new FakeSocket(), new FakeSocket()];
  const ended: string[] = [];
  const watch = (name: string, socket: FakeSocket): void =>
    void budget.watch(socket.asSocket, () => ended.push(name));
  slow.writableLength = MIB;
  // Looked at as often as the sweeps do.
  Object.defineProperty(slow._handle, 'writeQueueSize', { get: () => Math.random() });
  still.writableLength = 1;
  watch('slow', slow);
  watch('empty', empty);
  watch('still', still);
  await until('the end of one', () => ended.length > 0);
  const late = new FakeSocket();
  late.writableLength = 1;
  watch('late', late);
  await until('the end of another, as many sweeps later', () => ended.length > 1);
  t.strictSame(ended, ['still', 'late']);
  t.equal(budget.bytes, MIB);
  for (const socket of [slow, empty]) socket.emit('close');
  t.equal(budget.bytes, 0);
});

t.test('who takes answers of one length, one after the other, does not stand still', async (t) => {
  const budget = new OutputBudget({ stallTimeoutMs: 100, maxTotalOutputBytes: Infinity });
  const [slow, still] = [new FakeSocket(), new FakeSocket()];
  const ended: string[] = [];
  for (const socket of [slow, still]) socket.writableLength = socket._handle.writeQueueSize = 300;
  // Whenever it is looked at, another answer has left and the next waits in its place.
  let answers = 0;
  Object.defineProperty(slow, 'bytesWritten', { get: () => 300 * ++answers });
  budget.watch(slow.asSocket, () => ended.push('slow'));
  budget.watch(still.asSocket, () => ended.push('still'));
  await until('the end of one', () => ended.length > 0);
  t.strictSame(ended, ['still']);
  slow.emit('close');
});

t.test('beyond the total those that keep the most go first, until there is room', async (t) => {
  const budget = new OutputBudget({ stallTimeoutMs: FOR_EVER_MS, maxTotalOutputBytes: 800 });
  const ended: number[] = [];
  const sockets = [100, 400, 50, 300].map((bytes) => {
    const socket = new FakeSocket();
    const unsent = budget.watch(socket.asSocket, () => ended.push(bytes));
    socket.writableLength = bytes;
    unsent.weigh();
    return socket;
  });
  // All that was weighed has left but one: there is nothing to do.
  sockets[1]!.writableLength = 100;
  await Promise.resolve();
  t.strictSame(ended, []);
  t.equal(budget.bytes, 550);
  const last = new FakeSocket();
  last.writableLength = 260;
  budget.watch(last.asSocket, () => ended.push(260)).weigh();
  await Promise.resolve();
  t.strictSame(ended, [300]);
  t.equal(budget.bytes, 510);
  t.notOk(budget.hasRoomFor(291));
  for (const socket of [...sockets, last]) socket.emit('close');
  t.equal(budget.bytes, 0, 'nothing is given back twice');
});

async function open(
  t: Test,
  valueBytes: number,
  limits: Partial<ServerLimits>,
): Promise<{ node: FakeNode; server: Server; port: number }> {
  const node = new FakeNode();
  const server = await startServer({ node, listen: { port: 0 }, limits: { closeGraceMs: 500, ...limits } });
  t.teardown(() => server.close());
  const client = await Client.connect({ addresses: [server.address], preferLeader: false });
  await client.push('large', 'x'.repeat(valueBytes));
  await client.close();
  await until('nobody', () => server.connections.total === 0);
  return { node, server, port: server.port };
}

const GET = 'GET /v1/stacks/large/top HTTP/1.1\r\nHost: localhost\r\n\r\n';

t.test('who takes no answers is let go, however few they are', async (t) => {
  const { server, port } = await open(t, MIB, { stallTimeoutMs: 150, pauseOutputBytes: 64 * MIB });
  const binary = new BinaryClient(port);
  await binary.frame(1);
  binary.socket.pause();
  // More than all buffers of the kernel, and less than the pause.
  for (let i = 0; i < 32; i++) binary.socket.write(topFrame(i, 'large'));
  const http = connect(port, '127.0.0.1').on('error', () => {});
  http.pause();
  http.write(GET.repeat(15));
  await until('the end of both', () => server.connections.binary === 0 && server.connections.http === 0);
  binary.destroy();
  http.destroy();
});

t.test('many that keep less than each may keep no more than all may', async (t) => {
  const most = 32 * MIB;
  const { server, port } = await open(t, MIB, { maxTotalOutputBytes: most, pauseOutputBytes: 64 * MIB });
  const clients = Array.from({ length: 10 }, () => new BinaryClient(port));
  for (const client of clients) {
    await client.frame(1);
    client.socket.pause();
    for (let i = 0; i < 16; i++) client.socket.write(topFrame(i, 'large'));
  }
  await until('the end of some', () => server.connections.binary < clients.length);
  const reader = new BinaryClient(port);
  reader.socket.write(pushFrame(1, 'other', 1));
  t.equal((await reader.frame(2)).value, 1, 'others are served');
  t.ok((server as unknown as { readonly output: OutputBudget }).output.bytes <= most);
  for (const client of [...clients, reader]) client.destroy();
});

t.test('replies that were all asked for at once are counted before they are kept', async (t) => {
  const { node, port } = await open(t, 4_000_000, { maxTotalOutputBytes: 16 * MIB });
  t.equal((await ask(port, '/sCreate', { body: 'p' })).status, 201, 'the gateway has its session');
  node.holding = true;
  const sockets = Array.from({ length: 30 }, () => connect(port, '127.0.0.1').on('error', () => {}));
  for (const socket of sockets) {
    socket.pause();
    socket.write(GET);
  }
  await until('all of them', () => node.waiting === sockets.length);
  node.holding = false;
  node.work();
  const statuses = await Promise.all(
    sockets.map(async (socket) => {
      await once(socket, 'readable');
      const head = (socket.read() as Buffer).toString('latin1', 0, 12);
      socket.destroy();
      return head;
    }),
  );
  t.strictSame([...new Set(statuses)].sort(), ['HTTP/1.1 200', 'HTTP/1.1 429']);
});
