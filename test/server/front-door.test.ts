import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { Client } from '../../lib/client/index.ts';
import { startServer } from '../../lib/server/index.ts';
import { encodePreamble } from '../../protocol/client-codec.ts';
import { Kind, Status } from '../../protocol/constants.ts';
import { BinaryClient, pushFrame, topFrame } from './support/binary.ts';
import { FakeNode } from './support/fake-node.ts';
import { ask, raw } from './support/http.ts';
import { openServer as open } from './support/open-server.ts';

t.test('both protocols on one port', async (t) => {
  const { server, port } = await open(t);
  const client = await Client.connect({ addresses: [server.address], preferLeader: false });
  t.teardown(() => client.close());
  t.equal(await client.push('both', 'binary'), 1);
  t.equal((await ask(port, '/sPush', { body: 'both,http' })).text, '2\n');
  t.equal(await client.pop('both'), 'http');
  t.equal((await ask(port, '/sPop', { body: 'both' })).text, 'binary\n');
  t.equal(server.connections.binary, 1);
});

t.test('the welcome says what PROTOCOL.md promises', async (t) => {
  const { node, port } = await open(t);
  const client = new BinaryClient(port);
  const welcome = await client.frame(1);
  t.equal(welcome.kind, Kind.welcome);
  t.match(welcome.value, {
    version: 1,
    clusterId: 'fake',
    nodeId: 1,
    maxFrameBytes: node.maxFrameBytes,
    leader: { id: 1 },
  });
  node.setLeader({ id: 2, address: '127.0.0.1:9' });
  t.match((await client.frame(2)).value, { leader: { id: 2, address: '127.0.0.1:9' } });
  node.setLeader(null);
  t.same((await client.frame(3)).value, { leader: null });
  t.equal(client.frames[2]!.kind, Kind.leader);
  client.destroy();
});

t.test('the door of a node that has stopped closes: its clients find another', async (t) => {
  const first = await open(t);
  const second = await open(t);
  const addresses = [first.server.address, second.server.address];
  const client = await Client.connect({ addresses, preferLeader: false });
  t.teardown(() => client.close());
  const [mine, other] = client.node!.address === addresses[0] ? [first, second] : [second, first];
  t.equal(await client.push('s', 1), 1);
  const left = new Promise<void>((resolve) => client.on('disconnect', () => resolve()));
  mine.node.end();
  await left;
  t.equal(await client.push('s', 2), 1, 'which is another cluster here');
  t.equal(other.server.connections.binary, 1);
});

t.test('bytes may arrive one at a time', async (t) => {
  const { port } = await open(t);
  const http =
    'POST /sPush HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nConnection: close\r\n\r\nslow,';
  t.match(await dribble(port, Buffer.from(http)), /\r\n\r\n1\n$/);
  const binary = new BinaryClient(port, new Uint8Array(0));
  for (const byte of Buffer.concat([encodePreamble(), pushFrame(7, 'slow', 'x')])) {
    binary.socket.write(Uint8Array.of(byte));
    await new Promise(setImmediate);
  }
  t.match(await binary.frame(2), { kind: Kind.response, requestId: 7, status: Status.ok, value: 2 });
  binary.destroy();
});

t.test('anything else gets one line that explains the port', async (t) => {
  const { port, server } = await open(t);
  for (const text of [
    'hello\r\n',
    'PUSH 1 10\n',
    '{"jsonrpc":"2.0"}',
    '\u0000\u0000\u0000\u0000',
    'SSH-2.0-x\r\n',
  ]) {
    const answer = await raw(port, text);
    t.match(
      answer,
      /^cordwood: this port speaks HTTP and the Cordwood binary protocol[^\n]*\n$/,
      JSON.stringify(text),
    );
  }
  t.match(await raw(port, Buffer.from('16030100c8010000c40303', 'hex')), /does not speak TLS/);
  t.match(await raw(port, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), /HTTP\/2/);
  t.match(await raw(port, Uint8Array.of(0xf6, 0x43, 0x57, 0x44)), /port for clients/);
  t.match(await raw(port, 'GE', true), /^cordwood: /, 'ends in the middle of a method');
  t.equal(await raw(port, '', true), '', 'says nothing and is told nothing');
  t.equal((await ask(port, '/healthz')).status, 200, 'and others are served');
  t.equal(server.connections.binary, 0);
});

t.test('versions that are not spoken are refused in words', async (t) => {
  const { port } = await open(t);
  const client = new BinaryClient(port, encodePreamble(undefined, 7, 9));
  t.match(await client.frame(1), { kind: Kind.error, value: { code: 'INCOMPATIBLE_VERSION' } });
  await client.closed;
  const broken = new BinaryClient(port, encodePreamble(undefined, 3, 1));
  t.match(await broken.frame(1), { kind: Kind.error, value: { code: 'PROTOCOL_ERROR' } });
  await broken.closed;
});

t.test('who says nothing, or too slowly, is let go', async (t) => {
  const { port, server } = await open(t, {
    handshakeTimeoutMs: 60,
    headersTimeoutMs: 200,
    requestTimeoutMs: 300,
  });
  const [nothing, half, preamble, headers, body] = await Promise.all([
    raw(port, ''),
    raw(port, 'GE'),
    raw(port, encodePreamble().subarray(0, 6)),
    raw(port, 'GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: '),
    raw(port, 'POST /sPush HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n1,'),
  ]);
  t.match(nothing, /^cordwood: /);
  t.match(half, /in time/);
  t.match(preamble, /PROTOCOL_ERROR/);
  t.match(headers, /^HTTP\/1\.1 408 /);
  t.match(body, /^HTTP\/1\.1 408 /);
  while (server.connections.total > 0) await new Promise(setImmediate);
});

t.test('headers are limited', async (t) => {
  const { port } = await open(t, { maxHeaderBytes: 2_048 });
  t.match(
    await raw(port, `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(4_000)}\r\n\r\n`),
    /^HTTP\/1\.1 431 /,
  );
  t.match(
    await raw(port, 'GET / HTTP/1.1\r\nHost: localhost\r\nbroken\r\n\r\n'),
    /^HTTP\/1\.1 400 [^]*"MALFORMED"/,
  );
  const smuggled =
    'POST /sPush HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n';
  t.match(await raw(port, smuggled), /^HTTP\/1\.1 400 /);
});

t.test('connections are limited, all together and by address', async (t) => {
  for (const limits of [{ maxConnections: 3 }, { maxConnectionsPerAddress: 3 }]) {
    const { port, server } = await open(t, limits);
    const clients = [1, 2, 3].map(() => new BinaryClient(port));
    for (const client of clients) await client.frame(1);
    const fourth = new BinaryClient(port);
    await fourth.closed;
    t.equal(fourth.frames.length, 0);
    clients[0]!.destroy();
    await clients[0]!.closed;
    while (server.connections.total > 2) await new Promise(setImmediate);
    const fifth = new BinaryClient(port);
    t.equal((await fifth.frame(1)).kind, Kind.welcome, 'there is room again');
    for (const client of [...clients, fifth]) client.destroy();
  }
});

t.test('who has said everything still gets every answer', async (t) => {
  const { node, port } = await open(t);
  node.holding = true;
  const client = new BinaryClient(port);
  const count = 3_000;
  for (let i = 1; i <= count; i++) client.socket.write(pushFrame(i, 'fin', i));
  client.socket.end();
  while (node.waiting === 0 || !client.socket.writableFinished) await new Promise(setImmediate);
  node.holding = false;
  node.work();
  await client.closed;
  t.equal(client.frames.length, count + 1);
  t.same(
    client.frames.slice(1).map((frame) => frame.value),
    Array.from({ length: count }, (_, i) => i + 1),
  );
});

t.test('a saturated node is not read from', async (t) => {
  const { node, port } = await open(t);
  const client = new BinaryClient(port);
  await client.frame(1);
  node.holding = true;
  node.saturated = true;
  client.socket.write(pushFrame(1, 'sat', 1));
  while (node.waiting === 0) await new Promise(setImmediate);
  client.socket.write(pushFrame(2, 'sat', 2));
  // Another connection's request is a round trip through the same server: the second push would have been read by then.
  await ask(port, '/healthz');
  t.equal(node.waiting, 1);
  node.holding = false;
  node.work();
  t.equal((await client.frame(2)).requestId, 1);
  node.makeRoom();
  t.equal((await client.frame(3)).requestId, 2);
  client.destroy();
});

t.test('who does not take answers is not read from, then cut off', async (t) => {
  const limits = { pauseOutputBytes: 1 << 20, stallTimeoutMs: 150 };
  const { node, port, server } = await open(t, limits);
  const client = new BinaryClient(port);
  await client.frame(1);
  client.socket.write(pushFrame(1, 'slow reader', 'x'.repeat(1 << 20)));
  await client.frame(2);
  client.socket.pause();
  const asked = 4_000;
  for (let i = 0; i < asked; i++) client.socket.write(topFrame(i, 'slow reader'));
  const other = await Client.connect({ addresses: [server.address], preferLeader: false });
  for (let i = 1; i <= 200; i++) t.equal(await other.push('other', i), i);
  while (server.connections.binary > 1) await new Promise(setImmediate);
  t.ok(node.detached > 0, 'and the node knows');
  await other.close();
  client.destroy();
});

t.test('a pile of answers that grows too high ends its connection', async (t) => {
  const { node, port, server } = await open(t, { pauseOutputBytes: 1 << 16, maxOutputBytes: 8 << 20 });
  const client = new BinaryClient(port);
  await client.frame(1);
  client.socket.write(pushFrame(1, 'pile', 'x'.repeat(1 << 20)));
  await client.frame(2);
  client.socket.pause();
  node.holding = true;
  client.socket.write(Buffer.concat(Array.from({ length: 64 }, (_, i) => topFrame(i, 'pile'))));
  while (node.waiting < 64) await new Promise(setImmediate);
  node.holding = false;
  node.work();
  while (server.connections.binary > 0) await new Promise(setImmediate);
  t.pass('closed at once, without waiting for a stall');
  t.equal(node.waiting, 0, 'and what was left to answer was forgotten');
  client.destroy();
});

t.test('pipelined HTTP requests are answered one by one, in order', async (t) => {
  const { node, port } = await open(t);
  const one = (value: number): string =>
    `POST /sPush HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${`p,${value}`.length}\r\n\r\np,${value}`;
  t.equal((await ask(port, '/sCreate', { body: 'p' })).status, 201, 'the gateway has its session');
  node.holding = true;
  const last = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';
  const answers = raw(port, [1, 2, 3, 4].map(one).join('') + last);
  for (let i = 1; i <= 4; i++) {
    while (node.waiting === 0) await new Promise(setImmediate);
    t.equal(node.waiting, 1, 'never two at a time');
    node.work();
  }
  const bodies = (await answers).split(/HTTP\/1\.1 200 OK[^]*?\r\n\r\n/);
  t.same(bodies, ['', '1\n', '2\n', '3\n', '4\n', 'ok\n']);
});

t.test('closing gives the answers that are due, says why, and lets go of everyone', async (t) => {
  const { node, port, server } = await open(t);
  t.equal((await ask(port, '/sCreate', { body: 'closing' })).status, 201, 'the gateway has its session');
  const idle = new BinaryClient(port);
  await idle.frame(1);
  const busy = new BinaryClient(port);
  await busy.frame(1);
  const silent = raw(port, '');
  node.holding = true;
  busy.socket.write(pushFrame(5, 'closing', 1));
  while (node.waiting < 1) await new Promise(setImmediate);
  const http = ask(port, '/sPush', { body: 'closing,2' });
  while (node.waiting < 2) await new Promise(setImmediate);
  const closed = server.close();
  t.match((await idle.frame(2)).value, { code: 'SHUTTING_DOWN' });
  node.holding = false;
  node.work();
  t.equal((await http).status, 200);
  t.match(await busy.frame(2), { kind: Kind.response, requestId: 5, status: Status.ok });
  t.match((await busy.frame(3)).value, { code: 'SHUTTING_DOWN' });
  await Promise.all([closed, idle.closed, busy.closed]);
  t.equal(await silent, '');
  t.equal(await server.close(), undefined, 'twice does no harm');
  t.equal(server.connections.total, 0);
});

t.test('HTTP requests that nobody can carry out any more are answered before the door closes', async (t) => {
  const { node, port, server } = await open(t, { closeGraceMs: 4_000 });
  t.equal((await ask(port, '/sCreate', { body: 'closing' })).status, 201, 'the gateway has its session');
  node.holding = true;
  const sent = ask(port, '/sPush', { body: 'closing,1' });
  while (node.waiting < 1) await new Promise(setImmediate);
  const closed = server.close();
  const { status, text } = await sent;
  t.equal(status, 504);
  t.match(JSON.parse(text), { error: { code: 'CLOSED', outcome: 'unknown' } });
  await closed;
});

t.test('who hangs on is cut off when the grace is over', async (t) => {
  const { node, port, server } = await open(t, { closeGraceMs: 80 });
  node.holding = true;
  const client = new BinaryClient(port);
  client.socket.write(pushFrame(1, 'never answered', 1));
  while (node.waiting < 1) await new Promise(setImmediate);
  await server.close();
  await client.closed;
  t.equal(server.connections.total, 0);
});

t.test('an address that is taken, or is none', async (t) => {
  const blocker = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => blocker.once('listening', resolve));
  t.teardown(() => blocker.close());
  const { port } = blocker.address() as AddressInfo;
  const node = new FakeNode();
  await t.rejects(startServer({ node, listen: { port } }), { code: 'ADDRESS_IN_USE' });
  await t.rejects(startServer({ node, listen: { host: '192.0.2.1', port: 0 } }), { code: 'BAD_OPTION' });
  await t.rejects(startServer({ node, listen: { port: 0 }, limits: { maxConnections: 0 } }), {
    code: 'BAD_OPTION',
  });
});

/** Sends byte by byte, a turn between them, and resolves to what came back. */
function dribble(port: number, bytes: Buffer): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('close', () => resolve(text));
    socket.on('connect', () => {
      socket.setNoDelay(true);
      let at = 0;
      const next = (): void => {
        if (at === bytes.length) return;
        socket.write(bytes.subarray(at, ++at), () => setImmediate(next));
      };
      next();
    });
  });
}
