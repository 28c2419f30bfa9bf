import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import { WebSocket } from 'ws';
import { startServer } from '../../lib/server/index.ts';
import { FakeNode } from './support/fake-node.ts';
import { raw } from './support/http.ts';

const node = new FakeNode();
const server = await startServer({ node, listen: { port: 0 }, limits: { closeGraceMs: 500 } });
t.teardown(() => server.close());

interface Told {
  readonly type: string;
  readonly status: { readonly id: number; readonly leader: number | null };
}

/** A watcher, and what it is told, in order. */
function watch(
  query = '',
  headers: Record<string, string> = {},
): { socket: WebSocket; next(): Promise<Told> } {
  const socket = new WebSocket(`ws://${server.address}/v1/live${query}`, { headers });
  const told: Told[] = [];
  let waiting: (() => void) | null = null;
  socket.on('message', (data: Buffer) => {
    told.push(JSON.parse(data.toString()) as Told);
    waiting?.();
  });
  const next = async (): Promise<Told> => {
    while (told.length === 0) await new Promise<void>((resolve) => (waiting = resolve));
    return told.shift()!;
  };
  return { socket, next };
}

/** The status of the HTTP answer that comes in place of a WebSocket. */
async function refused(query: string, headers: Record<string, string> = {}): Promise<number> {
  const { socket } = watch(query, headers);
  socket.on('error', () => undefined);
  const [, response] = (await once(socket, 'unexpected-response')) as [unknown, { statusCode: number }];
  socket.terminate();
  return response.statusCode;
}

t.test('the status comes at once, again and again, and when the leader changes', async (t) => {
  const often = watch('?interval=100');
  t.match(await often.next(), { type: 'status', status: { id: 1, leader: 1 } });
  for (let i = 0; i < 3; i++) t.equal((await often.next()).type, 'status');
  const seldom = watch('?interval=60000');
  t.equal((await seldom.next()).status.leader, 1);
  node.setLeader(null);
  t.equal((await seldom.next()).status.leader, null);
  node.setLeader({ id: 1, address: server.address });
  t.equal((await seldom.next()).status.leader, 1);
  for (const { socket } of [often, seldom]) {
    socket.close();
    await once(socket, 'close');
  }
});

t.test('what a watcher says is ignored, and too much of it ends the stream', async (t) => {
  const { socket, next } = watch('?interval=100');
  await next();
  socket.send('hello');
  socket.send(Buffer.from([0xff, 0xfe]));
  t.equal((await next()).type, 'status');
  socket.send('x'.repeat(10_000));
  const [code] = (await once(socket, 'close')) as [number];
  t.equal(code, 1009);
});

t.test('pages of other sites, other paths and other intervals are refused', async (t) => {
  t.equal(await refused('', { origin: 'http://evil.example' }), 403);
  t.equal(await refused('/more'), 404);
  for (const interval of ['1', '1e9', 'x', ''])
    t.equal(await refused(`?interval=${interval}`), 400, interval);
  const plain = await fetch(`http://${server.address}/v1/live`);
  t.equal(plain.status, 426);
  t.equal(plain.headers.get('upgrade'), 'websocket');
  const page = watch('', { origin: `http://${server.address}` });
  t.equal((await page.next()).type, 'status', "the node's own pages may");
  page.socket.terminate();
});

t.test('upgrades to anything else get an answer and not a crash', async (t) => {
  const [host, port] = server.address.split(':') as [string, string];
  for (const head of [
    'GET /v1/live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
    'GET /v1/live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    'GET /v1/live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 7\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    'GET /v1/live//[ HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    'GET /v1/live?%%%=%&interval HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  ]) {
    const socket = connect(Number(port), host);
    socket.write(head);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    const [top, body = ''] = answer.toString().split('\r\n\r\n');
    t.match(top, /^HTTP\/1\.1 4\d\d [^]*\r\ncontent-type: application\/json\r\n/, head);
    t.match(JSON.parse(body), { error: { code: String, message: String, outcome: 'not_applied' } });
    socket.destroy();
  }
});

t.test(
  'an upgrade that does not begin its connection, or names a whole URL, is an ordinary request',
  async (t) => {
    const [host, port] = server.address.split(':') as [string, string];
    const rest =
      ' HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
    for (const before of [
      'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /v1/live',
      'GET http://localhost/v1/live',
    ])
      t.match(await raw(Number(port), before + rest, true), /HTTP\/1\.1 426 /, `${host} ${before}`);
  },
);

t.test('a client that offers HTTP/2 with its request is served as if it had not', async (t) => {
  const [host, port] = server.address.split(':') as [string, string];
  const socket = connect(Number(port), host);
  const offer = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk';
  socket.write(`POST /sPush HTTP/1.1\r\nHost: localhost\r\n${offer}\r\nContent-Length: 3\r\n\r\na,1`);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  t.match(answer.toString(), /^HTTP\/1\.1 200 /);
  socket.destroy();
});

t.test('a node that stops says goodbye', async (t) => {
  const own = await startServer({ node, listen: { port: 0 } });
  const socket = new WebSocket(`ws://${own.address}/v1/live`);
  await once(socket, 'message');
  const gone = once(socket, 'close');
  await own.close();
  t.equal((await gone)[0], 1001);
});
