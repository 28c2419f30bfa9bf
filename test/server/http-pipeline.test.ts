import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';
import { startServer } from '../../lib/server/index.ts';
import type { Server, ServerLimits } from '../../lib/server/index.ts';
import { until } from '../e2e/support/until.ts';
import { FakeNode } from './support/fake-node.ts';
import { ask, raw } from './support/http.ts';
import { openServer } from './support/open-server.ts';

/** A node that holds every request until `work` is called, behind a gateway that has its session. */
async function open(
  t: Test,
  limits: Partial<ServerLimits> = {},
): Promise<{ node: FakeNode; server: Server; port: number }> {
  const opened = await openServer(t, limits);
  t.equal((await ask(opened.port, '/sCreate', { body: 'p' })).status, 201);
  opened.node.holding = true;
  return opened;
}

function push(value: string, length: number = Buffer.byteLength(`p,${value}`)): string {
  return `POST /sPush HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${length}\r\n\r\np,${value}`;
}
const LAST = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';

async function workOne(node: FakeNode): Promise<void> {
  await until('a request', () => node.waiting > 0);
  node.work();
}

/** Resolves to all that comes on a connection until it is closed. */
async function all(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
  socket.on('error', () => {});
  await once(socket, 'close');
  return text;
}

/** Status and body of each answer. */
function answersIn(text: string): string[] {
  return text
    .split('HTTP/1.1 ')
    .slice(1)
    .map((answer) => `${answer.slice(0, 3)} ${answer.slice(answer.indexOf('\r\n\r\n') + 4).trimEnd()}`);
}
const MALFORMED = '400 {"error":{"code":"MALFORMED","message":"Bad Request","outcome":"not_applied"}}';

t.test('"not applied" is never said of a request that is under way', async (t) => {
  const { node, port } = await open(t);
  // Characters counted, where bytes were meant: the last byte of the body is the beginning of another request.
  const counted = raw(port, push('café', 6));
  await workOne(node);
  t.strictSame(answersIn(await counted), ['200 1', MALFORMED]);
  const garbage = raw(port, `${push('x')}${push('y')}\0\x01garbage\r\n\r\n`);
  await workOne(node);
  await workOne(node);
  t.strictSame(answersIn(await garbage), ['200 2', '200 3', MALFORMED]);
});

t.test('what is broken is the body: nothing is done, and the answers before it are given', async (t) => {
  const { node, port } = await open(t);
  const broken =
    'POST /sPush HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\np,2\r\nzz\r\n';
  t.strictSame(answersIn(await raw(port, broken)), [MALFORMED], 'the first of its connection');
  const second = raw(port, push('1') + broken);
  await workOne(node);
  t.strictSame(answersIn(await second), ['200 1', MALFORMED]);
  t.strictSame(answersIn(await raw(port, push('1', 9), true)), [MALFORMED], 'the client ends in the middle');
  const refused = push('1', 9).replace('localhost', 'evil.example');
  t.match(answersIn(await raw(port, refused, true)), [/^403 /], 'answered without its body: once');
  t.equal(node.waiting, 0);
});

t.test('headers that come too late wait for the answers before them', async (t) => {
  const { node, port } = await open(t, { headersTimeoutMs: 200 });
  const late = raw(port, `${push('1')}GET / HT`);
  await until('the push', () => node.waiting === 1);
  t.match(await raw(port, 'GET / HT'), /^HTTP\/1\.1 408 /, 'another connection, so this one is late as well');
  node.work();
  t.match(answersIn(await late), ['200 1', /^408 .*"not_applied"/]);
});

t.test('nobody is late while it is not read from', async (t) => {
  const { node, port } = await open(t, { headersTimeoutMs: 200 });
  const socket = connect(port, '127.0.0.1');
  const answers = all(socket);
  socket.write(`${push('x').repeat(20)}${LAST.slice(0, 20)}`);
  await until('the first', () => node.waiting === 1);
  t.match(await raw(port, 'GET / HT'), /^HTTP\/1\.1 408 /);
  for (let i = 0; i < 20; i++) await workOne(node);
  socket.write(LAST.slice(20));
  t.equal(answersIn(await answers).at(-1), '200 ok');
});

t.test('who has said everything still gets its answers', async (t) => {
  const { node, port } = await open(t);
  const halfClosed = raw(port, push('1') + push('2'), true);
  await workOne(node);
  await workOne(node);
  t.strictSame(answersIn(await halfClosed), ['200 1', '200 2']);

  const fresh = await startServer({ node: new FakeNode(), listen: { port: 0 } });
  t.teardown(() => fresh.close());
  t.strictSame(answersIn(await raw(fresh.port, push('1'), true)), ['200 1'], 'HTTP is not even loaded yet');
});

t.test('thousands of pipelined requests all get their answers', async (t) => {
  const { node, port } = await open(t);
  node.holding = false;
  const count = 4_000;
  const answers = answersIn(await raw(port, push('x').repeat(count) + LAST));
  t.strictSame(answers, [...Array.from({ length: count }, (_, i) => `200 ${i + 1}`), '200 ok']);
});

t.test('a flood of pipelined requests stays with the client', async (t) => {
  const { node, port } = await open(t);
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(push('1'));
  await until('the first', () => node.waiting === 1);
  // More than all buffers of the kernel.
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(1 << 20));
  // Requests of others: in each turn of the loop a connection that is read from is read once.
  for (let i = 0; i < 700; i++) await ask(port, '/healthz');
  t.ok(socket.writableLength > 0, 'it was not read to its end');
  socket.destroy();
});

t.test('requests that wait behind others are limited, all together', async (t) => {
  const { node, port, server } = await open(t, { maxWaitingRequests: 100 });
  const patient = raw(port, push('x').repeat(80) + LAST);
  await until('the first', () => node.waiting === 1);
  t.equal(await raw(port, push('y').repeat(80)), '', 'closed at once');
  t.equal(server.connections.http, 1);
  node.holding = false;
  node.work();
  t.equal(answersIn(await patient).length, 81);
  t.equal(answersIn(await raw(port, push('z').repeat(80) + LAST)).length, 81, 'there is room again');
});

t.test('clients that leave with an upload behind another request leave no room taken', async (t) => {
  const { node, port, server } = await open(t, { maxTotalBodyBytes: 100_000 });
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(`${push('1')}POST /sPush HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n`);
  await until('the push', () => node.waiting === 1);
  socket.resetAndDestroy();
  await until('its end', () => server.connections.http === 0);
  node.holding = false;
  node.work();
  const upload = { body: `p,${'x'.repeat(90_000)}`, headers: { 'x-timeout-ms': '1000' } };
  t.equal((await ask(port, '/sPush', upload)).status, 200);
});

t.test('no answer of Node itself overtakes: missing host, unknown expectation', async (t) => {
  const { node, port } = await open(t);
  const answers = raw(
    port,
    `${push('1')}GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\nExpect: wonders\r\n\r\n${LAST}`,
  );
  await workOne(node);
  t.match(answersIn(await answers), ['200 1', /^400 .*Host header/, /^417 .*"UNSUPPORTED"/, '200 ok']);
});

t.test('no WebSocket begins behind a request without an answer', async (t) => {
  const { node, port } = await open(t);
  const upgrade =
    'GET /v1/live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
  t.equal(await raw(port, `GET /v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n${push('1')}${upgrade}`), '');
  t.equal(node.waiting, 0);
});
