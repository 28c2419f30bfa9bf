import fc from 'fast-check';
import t from 'tap';
import { Client } from '../../lib/client/index.ts';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { beginFrame, encodeError, encodeWelcome, endFrame } from '../../protocol/client-codec.ts';
import { Kind } from '../../protocol/constants.ts';
import { encodeValue } from '../../protocol/msgpack.ts';
import { FakeCluster, type FakeLink } from './fake-cluster.ts';

const frame = (kind: number, flags: number, requestId: number, body: Uint8Array): Buffer => {
  const out = new ByteWriter(64);
  const start = beginFrame(out, kind as Kind, flags, requestId);
  out.bytes(body);
  endFrame(out, start);
  return out.take();
};

const hostile: readonly [string, (link: FakeLink) => void][] = [
  [
    'an announcement of four gigabytes',
    (link) => link.sendRaw(Buffer.from('ffffffff9000000001000000', 'hex')),
  ],
  ['a frame too short for a header', (link) => link.sendRaw(Buffer.from('0400000090000000', 'hex'))],
  ['a request', (link) => link.sendRaw(frame(Kind.ping, 0, 1, new Uint8Array(3)))],
  ['a second welcome', (link) => link.sendRaw(link.node.welcome())],
  [
    'a leader frame that is no msgpack',
    (link) => link.sendRaw(frame(Kind.leader, 0, 0, Uint8Array.of(0xc1))),
  ],
  [
    'a leader frame of the wrong shape',
    (link) => link.sendRaw(frame(Kind.leader, 0, 0, encodeValue({ leader: 7 }))),
  ],
  [
    'an error frame',
    (link) => {
      const out = new ByteWriter(64);
      encodeError(out, '__proto__', 'go away');
      link.sendRaw(out.take());
    },
  ],
  ['an error frame that is no msgpack', (link) => link.sendRaw(frame(Kind.error, 0, 0, Uint8Array.of(0xc1)))],
  ['HTTP', (link) => link.sendRaw(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'))],
];

for (const [name, attack] of hostile) {
  t.test(`${name}: the connection ends, the client goes on with another`, async (t) => {
    const cluster = await FakeCluster.start();
    t.teardown(() => cluster.close());
    const node = cluster.node(1);
    let attacks = 1;
    node.onFrame = (received, link) => {
      if (received.kind === Kind.command && attacks-- > 0) attack(link);
      else link.answer(received);
    };
    await using client = await Client.connect({ addresses: cluster.addresses });
    const disconnects: unknown[] = [];
    client.on('disconnect', ({ error }) => disconnects.push(error));
    t.equal(await client.push('a', 1), 1);
    t.equal(disconnects.length, 1);
  });
}

t.test('answers nobody asked for are ignored', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  const node = cluster.node(1);
  node.onFrame = (received, link) => {
    for (const id of [0, 1 << 20, 0xffffffff, received.requestId + 1, received.requestId + 256]) {
      link.respond(id, 0, encodeValue(99));
    }
    link.answer(received);
    link.answer(received);
  };
  await using client = await Client.connect({ addresses: cluster.addresses });
  t.equal(await client.push('a', 1), 1);
  t.equal(await client.push('a', 1), 2);
  t.equal(client.node?.nodeId, 1);
});

t.test('frames of a kind this client does not know are ignored', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  const node = cluster.node(1);
  node.onFrame = (received, link) => {
    for (const kind of [0x42, 0x92]) link.sendRaw(frame(kind, 0, received.requestId, new Uint8Array(3)));
    link.answer(received);
  };
  // Without a session: were the connection to end, the command would be unknown.
  await using client = await Client.connect({ addresses: cluster.addresses, session: false });
  const disconnects: unknown[] = [];
  client.on('disconnect', ({ error }) => disconnects.push(error));
  t.equal(await client.push('a', 1), 1);
  t.strictSame(disconnects, []);
});

t.test('hostile answers to the preamble', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  const node = cluster.node(1);
  const out = new ByteWriter(64);
  encodeError(out, 'INCOMPATIBLE_VERSION', 'too old');
  const tooOld = out.take();
  node.onPreamble = (link) => link.sendRaw(tooOld);
  await t.rejects(Client.connect({ addresses: cluster.addresses }), { code: 'INCOMPATIBLE_VERSION' });
  node.onPreamble = (link) => link.sendRaw(Buffer.from('SSH-2.0-OpenSSH_9.6\r\n'));
  await t.rejects(Client.connect({ addresses: cluster.addresses, connectTimeoutMs: 300 }), {
    outcome: 'not_applied',
  } as never);
  node.onPreamble = (link) => link.sendRaw(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'));
  await t.rejects(Client.connect({ addresses: cluster.addresses }), {
    code: 'PROTOCOL_ERROR',
    message: /is it the client port of a node/,
  });
  node.onPreamble = (link) => link.sendRaw(frame(0x42, 0, 1, new Uint8Array(3)));
  await t.rejects(Client.connect({ addresses: cluster.addresses }), { code: 'PROTOCOL_ERROR' });
  node.onPreamble = (link) => link.respond(1, 0, encodeValue(1));
  await t.rejects(Client.connect({ addresses: cluster.addresses }), { code: 'PROTOCOL_ERROR' });
  node.onPreamble = (link) => link.drop();
  await t.rejects(Client.connect({ addresses: cluster.addresses, connectTimeoutMs: 60 }), {
    code: 'CONNECTION_LOST',
  });
  node.onPreamble = () => {};
  await t.rejects(Client.connect({ addresses: cluster.addresses, connectTimeoutMs: 60 }), {
    code: 'CONNECTION_LOST',
  });
});

t.test('hints that lead nowhere, many of them', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  const node = cluster.node(1);
  await using client = await Client.connect({ addresses: cluster.addresses });
  for (const link of node.links) {
    for (let i = 2; i < 300; i++)
      link.sendLeader({ id: i, address: i % 2 === 0 ? 'nonsense' : `127.0.0.1:1` });
    link.sendLeader({ id: 2 ** 50, address: '' });
  }
  t.equal(await client.push('a', 1), 1);
});

t.test('random bytes never get out of the connection', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  const node = cluster.node(1);
  await using client = await Client.connect({ addresses: cluster.addresses, timeoutMs: 10_000 });
  const welcome = new ByteWriter();
  encodeWelcome(welcome, {
    version: 1,
    clusterId: 'fake',
    nodeId: 1,
    leader: null,
    maxFrameBytes: 1000,
    maxWindow: 100,
  });
  const good = welcome.take();
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 60 }),
      fc.integer({ min: 0, max: 255 }),
      fc.boolean(),
      async (body, kind, whole) => {
        let attacked = false;
        node.onFrame = (received, link) => {
          if (attacked) {
            link.answer(received);
            return;
          }
          attacked = true;
          link.sendRaw(
            whole ? frame(kind, body[0] ?? 0, received.requestId, body) : Buffer.concat([body, good]),
          );
          link.socket.end();
        };
        // Whatever it was taken for, the call ends; it must not be the process.
        await client.push('a', 1).catch(() => {});
        await client.exists('a').catch(() => {});
      },
    ),
    { numRuns: 150, seed: 7 },
  );
  node.onFrame = (received, link) => link.answer(received);
  t.equal(await client.create('b'), true);
});

t.test('a listener that puts another in its place is called once for each event', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  await using client = await Client.connect({ addresses: cluster.addresses });
  let called = 0;
  const listen = (): void => {
    const off = client.on('leader', () => {
      off();
      // Were it called again at once, this would not end.
      if (++called < 100) listen();
    });
  };
  listen();
  let late = 0;
  const offOther = client.on('leader', () => offLate());
  const offLate = client.on('leader', () => late++);
  cluster.setLeader(null);
  t.equal(await client.exists('a', { level: 'local' }), false);
  t.equal(called, 1);
  t.equal(late, 0, 'what was taken back is not called any more');
  offOther();
});

t.test('a listener that throws does not stop the client', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  await using client = await Client.connect({ addresses: cluster.addresses });
  const uncaught: unknown[] = [];
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => uncaught.push(error));
  t.teardown(() => {
    process.removeAllListeners('uncaughtException');
    listeners.forEach((listener) => process.on('uncaughtException', listener));
  });
  let called = 0;
  const off = client.on('leader', () => {
    called++;
    throw new Error('a bug of the application');
  });
  client.on('leader', () => called++);
  cluster.setLeader(null);
  cluster.setLeader(1);
  t.equal(await client.push('a', 1), 1);
  t.equal(called, 4, 'both listeners heard both changes');
  t.equal(uncaught.length, 2);
  off();
  cluster.setLeader(null);
  t.equal(await client.exists('a', { level: 'local' }), true);
  t.equal(called, 5);
});
