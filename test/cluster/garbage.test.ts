// Whatever arrives on the ports of a node, it goes on serving those who behave, and its memory stays bounded.
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { CLIENT_MAGIC, Kind, PEER_MAGIC } from '../../protocol/constants.ts';
import { TestCluster } from '../e2e/support/cluster.ts';
import { http } from '../e2e/support/http-stacks.ts';
import { Random } from '../e2e/support/random.ts';
import { until } from '../e2e/support/until.ts';

const random = new Random(7);

function bytes(length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random.below(256)));
}

function u32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
}

function frame(length: number, kind: number, body: Uint8Array = Buffer.alloc(0)): Buffer {
  return Buffer.concat([u32(length), Buffer.of(kind, 0, 0, 0), u32(1), body]);
}

const clientHello = Buffer.concat([CLIENT_MAGIC, Buffer.of(1, 1, 0, 0)]);
const peerHello = Buffer.concat([PEER_MAGIC, Buffer.of(1, 1, 0, 0)]);
/** The beginning of a TLS 1.3 ClientHello. */
const tls = Buffer.concat([Buffer.from('1603010200010001fc0303', 'hex'), Buffer.alloc(500, 7)]);

const garbage: Record<string, () => Buffer[]> = {
  'random bytes': () => [bytes(1 + random.below(5000))],
  'random bytes behind a client preamble': () => [clientHello, bytes(1 + random.below(5000))],
  'random bytes behind a peer preamble': () => [peerHello, bytes(1 + random.below(5000))],
  'half a preamble': () => [clientHello.subarray(0, 1 + random.below(7))],
  'versions nobody speaks': () => [Buffer.concat([CLIENT_MAGIC, Buffer.of(200, 250, 0, 0)])],
  'a frame of 4 GiB announced': () => [clientHello, frame(0xffffffff, Kind.command), bytes(1000)],
  'a frame of 64 MiB announced': () => [clientHello, frame(64 << 20, Kind.query), bytes(1000)],
  'a hello of 4 GiB announced': () => [peerHello, u32(0xffffffff), bytes(1000)],
  'a hello of 60 KiB announced, slowly': () => [peerHello, u32(60_000), bytes(10), bytes(10), bytes(10)],
  'frames of length 0': () => [clientHello, ...Array.from({ length: 50 }, () => u32(0))],
  'a frame shorter than its header': () => [clientHello, frame(9, Kind.command)],
  'half a frame': () => [clientHello, frame(200, Kind.command, bytes(20))],
  'kinds of a server': () => [clientHello, frame(8, Kind.welcome), frame(8, Kind.response)],
  'deep msgpack': () => [clientHello, frame(8 + 5000, Kind.query, Buffer.alloc(5000, 0x91))],
  'a map of 4 billion': () => [clientHello, frame(13, Kind.query, Buffer.from('dfffffffff', 'hex'))],
  'a TLS hello': () => [tls],
  HTTP: () => [Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')],
  'HTTP that is none': () => [Buffer.from('GET / HTTP/9.9\r\n: :\r\n\r\n'), bytes(100)],
  'an HTTP body of 4 GiB announced': () => [
    Buffer.from('POST /sPush HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4294967295\r\n\r\n1,'),
    bytes(1000),
  ],
  'headers without end': () => [Buffer.from('GET / HTTP/1.1\r\n'), Buffer.from('x: y\r\n'.repeat(5000))],
  'two lengths': () => [
    Buffer.from(
      'POST /sPush HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ),
  ],
  'nothing at all': () => [],
};

/** Sends it, in pieces; ends when the other side closes, or by itself. */
function send(port: number, pieces: readonly Buffer[], linger: boolean): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.on('close', () => {
      resolve();
    });
    socket.resume();
    socket.on('connect', () => {
      for (const piece of pieces) socket.write(piece);
      if (!linger) socket.end();
      else if (random.next() < 0.5) socket.resetAndDestroy();
    });
  });
}

t.test('garbage on every port, under load', async (t) => {
  const cluster = await TestCluster.start(t);
  const client = await cluster.client({ timeoutMs: 20_000 });
  const [before] = await cluster.converged();
  const rss = await Promise.all(cluster.nodes.map((node) => node.rssBytes()));
  let pushed = 0;
  let running = true;
  let slowest = 0;
  const load = (async () => {
    while (running) {
      const start = performance.now();
      await client.push('load', ++pushed);
      slowest = Math.max(slowest, performance.now() - start);
      if (pushed % 10 === 0) t.equal((await http(`${cluster.node(1).url}/sSize`, 'load')).status, 200);
    }
  })();

  // Connections that say nothing, or a little, and stay: they hold nobody up meanwhile.
  const idle: Socket[] = [];
  for (const node of cluster.nodes) {
    for (let i = 0; i < 100; i++) {
      for (const port of [node.clientPort, node.peerPort]) {
        const socket = connect(port, '127.0.0.1');
        socket.on('error', () => {});
        if (i % 3 === 1) socket.write(clientHello.subarray(0, 3));
        if (i % 3 === 2) socket.write('GET / HTT');
        idle.push(socket);
      }
    }
  }
  for (const [name, pieces] of Object.entries(garbage)) {
    const sent: Promise<void>[] = [];
    for (const node of cluster.nodes) {
      for (const port of [node.clientPort, node.peerPort]) {
        for (let i = 0; i < 5; i++) sent.push(send(port, pieces(), i >= 3));
      }
    }
    // Those that linger are cut off by deadlines, some of seconds: they go on beside what follows.
    await Promise.race([Promise.all(sent), until('a push', () => pushed > 0)]);
    t.ok(
      cluster.nodes.every((node) => node.alive),
      name,
    );
  }
  // Announcements of frames that never come, on many connections at a time.
  const bombs = cluster.nodes.flatMap((node) =>
    Array.from({ length: 200 }, (_, i) => {
      const socket = connect(i % 2 === 0 ? node.clientPort : node.peerPort, '127.0.0.1');
      socket.on('error', () => {});
      socket.write(i % 2 === 0 ? Buffer.concat([clientHello, frame(4 << 20, Kind.command)]) : peerHello);
      return socket;
    }),
  );
  const done = pushed + 20;
  await until('pushes in the face of all this', () => pushed > done);
  const after = await Promise.all(cluster.nodes.map((node) => node.rssBytes()));
  after.forEach((now, i) => {
    // 100 announcements of 4 MiB each would be 400 MiB.
    t.ok(now - rss[i]! < 150 << 20, `node ${i + 1} has grown by ${(now - rss[i]!) >> 20} MiB`);
  });
  for (const socket of [...idle, ...bombs]) socket.destroy();
  running = false;
  await load;
  t.equal(await client.size('load'), pushed);
  const [now] = await cluster.converged();
  t.equal(now!.term, before!.term, 'nobody had reason to elect a leader');
  t.comment(`${pushed} pushes meanwhile, the slowest ${slowest.toFixed(0)} ms`);
});

t.test('a node is still joined by its peers while strangers fill its peer port', async (t) => {
  const cluster = await TestCluster.start(t);
  const client = await cluster.client({ timeoutMs: 30_000 });
  const leader = await cluster.settled();
  const other = cluster.nodes.find((node) => node !== leader)!;
  await other.kill();
  const strangers = cluster.nodes
    .filter((node) => node.alive)
    .flatMap((node) =>
      Array.from({ length: 200 }, () => {
        const socket = connect(node.peerPort, '127.0.0.1');
        socket.on('error', () => {});
        return socket;
      }),
    );
  other.start();
  await cluster.settled();
  t.equal(await client.push('joined', 1), 1);
  await cluster.converged();
  for (const socket of strangers) socket.destroy();
});
