// What the standard allows and few clients send.
import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';
import { until } from '../e2e/support/until.ts';
import { ask, errorOf, raw } from './support/http.ts';
import { openServer } from './support/open-server.ts';

const JUNK = Object.fromEntries(Array.from({ length: 150 }, (_, i) => [`x-junk-${i}`, String(i)]));
const CONNECT = 'CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n';
const PUSH = 'POST /sPush HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\no,1';

async function statusOf(t: Test, text: string): Promise<string> {
  const { port } = await openServer(t);
  return (await raw(port, text, true)).slice(9, 12);
}

t.test('no header is passed over because many are before it', async (t) => {
  const { port } = await openServer(t);
  const keyed = { body: 'junk,1', headers: { ...JUNK, 'idempotency-key': 'k' } };
  t.equal((await ask(port, '/sPush', keyed)).text, '1\n');
  t.equal((await ask(port, '/sPush', keyed)).text, '1\n', 'it ran once');
  const foreign = { body: 'junk,2', headers: { ...JUNK, origin: 'http://evil.example' } };
  t.equal((await ask(port, '/sPush', foreign)).status, 403);
  const chunked = { body: 'junk,3', headers: { ...JUNK, 'transfer-encoding': 'chunked' } };
  t.equal((await ask(port, '/sPush', chunked)).text, '2\n');
  const large = { body: 'junk,4', headers: { ...JUNK, 'x-large': 'x'.repeat(16_000) } };
  t.match(errorOf(await ask(port, '/sPush', large)), { code: 'TOO_LARGE' }, 'their bytes have a limit');
});

t.test('CONNECT is refused with an answer, behind those that are due', async (t) => {
  const { node, port } = await openServer(t);
  const alone = await raw(port, CONNECT);
  t.match(alone, /^HTTP\/1\.1 405 [^]*\r\nallow: GET, HEAD, POST, PUT, DELETE, OPTIONS\r\n/);
  t.match(JSON.parse(alone.slice(alone.indexOf('\r\n\r\n'))), { error: { code: 'UNSUPPORTED' } });
  t.equal((await ask(port, '/sCreate', { body: 'o' })).status, 201);
  node.holding = true;
  const behind = raw(port, PUSH + CONNECT + PUSH);
  await until('the push', () => node.waiting > 0);
  node.holding = false;
  node.work();
  t.match(await behind, /^HTTP\/1\.1 200 [^]*\r\n\r\n1\nHTTP\/1\.1 405 /);
  t.equal((await ask(port, '/sSize', { body: 'o' })).text, '1\n', 'what is behind it is not carried out');
});

t.test('OPTIONS of the whole server', async (t) => {
  const { port } = await openServer(t);
  const answer = await raw(port, 'OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
  t.match(answer, /^HTTP\/1\.1 204 [^]*\r\nallow: GET, HEAD, POST, PUT, DELETE, OPTIONS\r\n/);
  t.equal(await statusOf(t, 'GET * HTTP/1.1\r\nHost: localhost\r\n\r\n'), '400');
  t.equal(await statusOf(t, 'OPTIONS * HTTP/1.1\r\nHost: evil.example\r\n\r\n'), '403');
});

t.test('a host whose port is empty', async (t) => {
  for (const host of ['127.0.0.1:', '[::1]:', 'localhost:'])
    t.equal(await statusOf(t, `GET /healthz HTTP/1.1\r\nHost: ${host}\r\n\r\n`), '200', host);
  t.equal(await statusOf(t, 'GET /healthz HTTP/1.1\r\nHost: evil.example:\r\n\r\n'), '403');
});

t.test('an empty line before a request', async (t) => {
  t.equal(await statusOf(t, '\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'), '200');
  t.match(await statusOf(t, '\r\nhello'), ' th', 'it makes no HTTP of what is none');
  const { port } = await openServer(t);
  const socket = connect(port, '127.0.0.1');
  // In two pieces, and before what is told apart by its first bytes.
  await new Promise((resolve) => socket.write('\r', resolve));
  socket.write(
    '\nGET /v1/live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  const [answer] = (await once(socket, 'data')) as [Buffer];
  t.match(answer.toString(), /^HTTP\/1\.1 101 /);
  socket.destroy();
});
