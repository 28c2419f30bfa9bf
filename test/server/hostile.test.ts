import fc from 'fast-check';
import t from 'tap';
import type { Test } from 'tap';
import { Client } from '../../lib/client/index.ts';
import { startServer } from '../../lib/server/index.ts';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { beginFrame, encodePreamble, endFrame } from '../../protocol/client-codec.ts';
import { CLIENT_MAGIC, FRAME_HEADER_BYTES, Kind } from '../../protocol/constants.ts';
import { BinaryClient, pushFrame, topFrame } from './support/binary.ts';
import { FakeNode } from './support/fake-node.ts';
import { raw } from './support/http.ts';

const node = new FakeNode();
const server = await startServer({
  node,
  listen: { port: 0 },
  limits: { handshakeTimeoutMs: 300, headersTimeoutMs: 300, closeGraceMs: 200 },
});
const { port } = server;
const honest = await Client.connect({ addresses: [server.address], preferLeader: false });
let pushed = 0;
t.teardown(async () => {
  await honest.close();
  await server.close();
});

/** Another client is served as if nothing were the matter. */
async function othersAreServed(t: Test): Promise<void> {
  t.equal(await honest.push('honest', pushed), ++pushed);
}
const kinds = [
  0, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x80, 0x90, 0x9f, 0xff,
];

const frame = fc
  .record({
    kind: fc.constantFrom(...kinds),
    flags: fc.oneof(fc.constant(0), fc.nat(255)),
    reserved: fc.oneof(fc.constant(0), fc.nat(65_535)),
    body: fc.uint8Array({ maxLength: 80 }),
  })
  .map(({ kind, flags, reserved, body }) => {
    const out = new ByteWriter(64);
    const start = beginFrame(out, kind as Kind, flags, 9);
    out.bytes(body);
    endFrame(out, start);
    out.buffer[start + 6] = reserved;
    out.buffer[start + 7] = reserved >>> 8;
    return Buffer.from(out.take());
  });

const good = fc.constantFrom(pushFrame(1, 'h', 'x'), topFrame(2, 'h'));

t.test('frames with any kind, flags and body end their own connection at most', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(frame, frame, good), { maxLength: 12 }), async (frames) => {
      await raw(port, Buffer.concat([encodePreamble(), ...frames]), true);
      await othersAreServed(t);
    }),
    { numRuns: 150 },
  );
});

t.test('any bytes, cut anywhere', async (t) => {
  const noise = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.concat([encodePreamble(), bytes])),
    fc.tuple(fc.nat(40), fc.nat(255)).map(([at, byte]) => {
      const bytes = Buffer.concat([encodePreamble(), pushFrame(1, 'h', 'x'), pushFrame(2, 'h', 'x')]);
      bytes[at] = byte;
      return bytes;
    }),
    fc.string({ maxLength: 60 }).map((text) => Buffer.from(`POST /sPush HTTP/1.1\r\n${text}\r\n\r\n`)),
  );
  await fc.assert(
    fc.asyncProperty(noise, fc.nat(300), async (bytes, cut) => {
      await raw(port, bytes.subarray(0, cut), true);
      await othersAreServed(t);
    }),
    { numRuns: 150 },
  );
});

t.test('a length that is announced is not a length that is allocated', async (t) => {
  const before = process.memoryUsage().arrayBuffers;
  const clients: BinaryClient[] = [];
  for (const length of [0xffffffff, 0x7fffffff, node.maxFrameBytes + 1, 7, 0]) {
    for (let i = 0; i < 40; i++) {
      const client = new BinaryClient(port);
      const bytes = Buffer.alloc(FRAME_HEADER_BYTES);
      bytes.writeUInt32LE(length);
      bytes[4] = Kind.command;
      client.socket.write(bytes);
      clients.push(client);
    }
  }
  for (const client of clients) {
    const last = await client.frame(2);
    t.equal(last.kind, Kind.error);
    t.match((last.value as { code: string }).code, /^(TOO_LARGE|PROTOCOL_ERROR)$/);
    await client.closed;
  }
  t.ok(process.memoryUsage().arrayBuffers - before < 64 << 20, 'memory did not follow the announcements');
  await othersAreServed(t);
});

t.test('an allowed length that never arrives holds what has arrived, no more', async (t) => {
  const before = process.memoryUsage().arrayBuffers;
  const clients = Array.from({ length: 100 }, () => new BinaryClient(port));
  for (const client of clients) {
    await client.frame(1);
    const bytes = Buffer.alloc(64);
    bytes.writeUInt32LE(node.maxFrameBytes - 4);
    bytes[4] = Kind.command;
    client.socket.write(bytes);
  }
  await othersAreServed(t);
  t.ok(process.memoryUsage().arrayBuffers - before < 64 << 20);
  for (const client of clients) client.destroy();
});

t.test('the error is the last word, even while the client goes on sending', async (t) => {
  const client = new BinaryClient(port);
  await client.frame(1);
  const flood = Buffer.alloc(256 << 10, 0x55);
  for (let i = 0; i < 8; i++) client.socket.write(flood);
  const last = await client.frame(2);
  t.match(last, { kind: Kind.error, value: { code: 'TOO_LARGE' } });
  await client.closed;
  t.equal(client.frames.length, 2);
  await othersAreServed(t);
});

t.test('a preamble in pieces, with and without its end', async (t) => {
  const half = new BinaryClient(port, CLIENT_MAGIC);
  t.match(await half.frame(1), { kind: Kind.error, value: { code: 'PROTOCOL_ERROR' } });
  await half.closed;
  const whole = new BinaryClient(port, CLIENT_MAGIC);
  whole.socket.write(encodePreamble().subarray(4));
  t.equal((await whole.frame(1)).kind, Kind.welcome);
  whole.destroy();
});

t.test('connections that come and go leave nothing behind', async (t) => {
  for (let i = 0; i < 300; i++) {
    const client = new BinaryClient(port, i % 3 === 0 ? new Uint8Array(0) : encodePreamble());
    if (i % 2 === 0) client.socket.write(pushFrame(i, 'churn', i));
    if (i % 5 === 0) await new Promise(setImmediate);
    client.destroy();
    await client.closed;
  }
  while (server.connections.total > 1) await new Promise(setImmediate);
  t.same(server.connections, { binary: 1, http: 0, total: 1 }, 'only the honest client is left');
  await othersAreServed(t);
});
