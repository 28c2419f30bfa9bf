import { once } from 'node:events';
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import t from 'tap';
import { startServer } from '../../lib/server/index.ts';
import type { Server } from '../../lib/server/index.ts';
import type { Backup } from '../../lib/node/backup.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { until } from '../e2e/support/until.ts';
import { FakeNode } from './support/fake-node.ts';

/** A node whose backups are what a test makes them. */
class BackupNode extends FakeNode {
  ended = 0;
  /** Pieces of the next backup. */
  pieces: () => AsyncIterable<Uint8Array> = async function* () {};
  refusal: CordwoodError | null = null;

  async backup(): Promise<Backup> {
    if (this.refusal !== null) throw this.refusal;
    const origin = {
      clusterId: 'c'.repeat(32),
      nodeId: 1,
      createdMs: 1,
      machine: 'stack',
      machineVersion: 1,
    };
    const pieces = this.pieces();
    return {
      index: 7,
      origin,
      close: () => {
        this.ended++;
      },
      [Symbol.asyncIterator]: () => pieces[Symbol.asyncIterator](),
    };
  }
}

const node = new BackupNode();
const server: Server = await startServer({ node, listen: { port: 0 }, limits: { stallTimeoutMs: 200 } });
t.teardown(() => server.close());

function ask(method = 'GET'): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const { host, port } = server;
    request({ host, port, method, path: '/v1/admin/backup', agent: false }, resolve)
      .on('error', reject)
      .end();
  });
}

async function bodyOf(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const MIB = new Uint8Array(1 << 20).fill(5);

t.test('all pieces, in order, however large', async (t) => {
  node.pieces = async function* () {
    for (let i = 0; i < 20; i++) yield new Uint8Array(300_000).fill(i);
  };
  const response = await ask();
  t.equal(response.statusCode, 200);
  t.equal(response.headers['x-cordwood-index'], '7');
  t.match(response.headers['content-disposition'], /filename="cordwood-cccccccc-7\.backup"/);
  const body = await bodyOf(response);
  t.equal(body.length, 20 * 300_000);
  t.ok(Array.from({ length: 20 }, (_, i) => body[i * 300_000 + 299_999]).every((byte, i) => byte === i));
  t.equal(node.ended, 1);
});

t.test('a backup that breaks off does not look like one that ended', async (t) => {
  node.pieces = async function* () {
    yield MIB;
    throw new Error('the disk is gone');
  };
  await t.rejects(bodyOf(await ask()), { code: 'ECONNRESET' });
  t.equal(node.ended, 2);
});

t.test('rubbish behind the request gets no answer in the middle of a backup', async (t) => {
  let goOn: () => void = () => {};
  const gate = new Promise<void>((resolve) => (goOn = resolve));
  node.pieces = async function* () {
    yield MIB;
    await gate;
    yield MIB;
  };
  const socket = connect(server.port, server.host);
  socket.write('GET /v1/admin/backup HTTP/1.1\r\nHost: localhost\r\n\r\n');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  await once(socket, 'data');
  await new Promise((resolve) => socket.write('\0\x01\r\n\r\n', resolve));
  // A round trip through the same server: the rubbish has been read by then.
  await fetch(`http://${server.address}/healthz`);
  goOn();
  await once(socket, 'close');
  const text = Buffer.concat(chunks).toString('latin1');
  t.ok(text.indexOf('HTTP/1.1 400') > 2 * MIB.length, 'not in the middle');
  t.match(text.slice(-600), /\r\n0\r\n\r\nHTTP\/1\.1 400 /);
  t.equal(node.ended, 3);
});

t.test('who only asks whether there is one gets no bytes', async (t) => {
  node.pieces = async function* () {
    t.fail('nothing is read');
    yield MIB;
  };
  const response = await ask('HEAD');
  t.equal(response.statusCode, 200);
  t.equal((await bodyOf(response)).length, 0);
  t.equal(node.ended, 4);
});

t.test('a reader that stands still, or leaves, holds nothing', async (t) => {
  let taken = 0;
  node.pieces = async function* () {
    for (;;) {
      taken++;
      yield MIB;
    }
  };
  const idle = connect(server.port, server.host);
  idle.write('GET /v1/admin/backup HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await once(idle, 'readable');
  idle.on('error', () => undefined);
  await until('the end of the one that is not read', () => node.ended === 5);
  t.ok(taken < 100, `${taken} pieces were made for nobody`);
  idle.destroy();

  const response = await ask();
  await once(response, 'data');
  response.on('error', () => undefined);
  response.destroy();
  await until('the end of the one that was left', () => node.ended === 6);
});

t.test('a CONNECT behind the request: the backup comes to its end', async (t) => {
  const ended = node.ended;
  let left = 40;
  node.pieces = async function* () {
    while (left-- > 0) yield MIB;
  };
  const socket = connect(server.port, server.host);
  socket.write(
    'GET /v1/admin/backup HTTP/1.1\r\nHost: localhost\r\n\r\nCONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n',
  );
  let tail = '';
  socket.setEncoding('latin1').on('data', (text: string) => (tail = (tail + text).slice(-1_000)));
  await once(socket, 'close');
  t.match(tail, /\r\n0\r\n\r\nHTTP\/1\.1 405 /);
  t.equal(node.ended, ended + 1);
});

t.test('a refusal is an answer like any other', async (t) => {
  node.refusal = new CordwoodError('BUSY', 'this node makes a backup already');
  const response = await ask();
  t.equal(response.statusCode, 429);
  t.match(JSON.parse((await bodyOf(response)).toString()), { error: { code: 'BUSY' } });
});
