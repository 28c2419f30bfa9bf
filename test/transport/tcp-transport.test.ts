import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import t from 'tap';

import { ByteWriter } from '../../protocol/byte-writer.ts';
import { CLIENT_MAGIC, Lane, PeerKind } from '../../protocol/constants.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { beginPeerFrame, sealPeerFrame } from '../../protocol/peer-frame.ts';
import { encodeHello, encodePeerWelcome } from '../../protocol/peer-handshake.ts';
import { createTcpTransport, type TcpTransport } from '../../lib/transport/tcp-transport.ts';
import type { TcpTransportOptions } from '../../lib/transport/transport-options.ts';
import type { Member } from '../../lib/core/types.ts';
import { freePorts } from '../e2e/support/ports.ts';
import { until } from '../e2e/support/until.ts';

interface Told {
  what: string;
  peer: number;
  lane?: number;
  detail?: string;
}

/** Records what a transport tells and lets a test wait for it. */
class Listener {
  readonly told: Told[] = [];
  #waiters: (() => void)[] = [];

  readonly onFrame = (peer: number, lane: Lane, bytes: Uint8Array, start: number, end: number): void => {
    this.#tell({
      what: 'frame',
      peer,
      lane,
      detail: Buffer.from(bytes.subarray(start + 16, end)).toString('latin1'),
    });
  };
  readonly onUp = (peer: number, lane: Lane): void => this.#tell({ what: 'up', peer, lane });
  readonly onDown = (peer: number, lane: Lane): void => this.#tell({ what: 'down', peer, lane });
  readonly onRefused = (peer: number): void => this.#tell({ what: 'refused', peer });
  readonly onRejected = (peer: number, code: string, message: string): void =>
    this.#tell({ what: 'rejected', peer, detail: `${code} ${message}` });

  #tell(event: Told): void {
    this.told.push(event);
    for (const wake of this.#waiters.splice(0)) wake();
  }

  of(what: string): Told[] {
    return this.told.filter((event) => event.what === what);
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }
}

interface Node {
  id: number;
  events: Listener;
  transport: TcpTransport;
  member: Member;
}

type Overrides = Partial<TcpTransportOptions> & { clusterId?: string; incarnation?: string; port?: number };

interface Test {
  teardown(callback: () => unknown): void;
}

async function start(test: Test, id: number, overrides: Overrides = {}): Promise<Node> {
  const events = new Listener();
  const { clusterId = 'wood', incarnation = `data-${id}`, port = 0, ...options } = overrides;
  const transport = await createTcpTransport({
    identity: { clusterId, nodeId: id, incarnation, clientAddress: `127.0.0.1:${id}` },
    listen: { host: '127.0.0.1', port },
    events,
    ...options,
  });
  test.teardown(() => transport.close());
  return { id, events, transport, member: { id, peerAddress: `http://127.0.0.1:${transport.port}` } };
}

async function pair(test: Test, a: Overrides = {}, b: Overrides = {}): Promise<[Node, Node]> {
  const one = await start(test, 1, a);
  const two = await start(test, 2, b);
  one.transport.setPeers([one.member, two.member]);
  two.transport.setPeers([one.member, two.member]);
  return [one, two];
}

const isUp = (node: Node, peer: number, lane: Lane) => () =>
  node.events.told.some((e) => e.what === 'up' && e.peer === peer && e.lane === lane);

async function bothUp([one, two]: [Node, Node]): Promise<void> {
  for (const lane of [Lane.control, Lane.data]) {
    await one.events.until(isUp(one, 2, lane));
    await two.events.until(isUp(two, 1, lane));
  }
}

function frame(text: string): Uint8Array {
  const out = new ByteWriter(64);
  const start = beginPeerFrame(out, PeerKind.heartbeat);
  out.bytes(Buffer.from(text, 'latin1'));
  sealPeerFrame(out, start);
  return out.take();
}

/** Everything the other side says until it closes. */
async function conversation(port: number, first: Uint8Array | string): Promise<Buffer> {
  const socket = connect(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', () => {});
  socket.write(first);
  await new Promise((resolve) => socket.on('close', resolve));
  return Buffer.concat(chunks);
}

t.test('frames arrive whole, in order, on their lane, however they were cut into parts', async (t) => {
  const nodes = await pair(t);
  const [one, two] = nodes;
  await bothUp(nodes);
  const sent: string[] = [];
  for (let i = 0; i < 300; i++) {
    const text = `${i} `.repeat(i % 7 === 0 ? 3000 : 3);
    sent.push(text);
    const bytes = frame(text);
    const cut = i % bytes.length;
    t.ok(one.transport.send(2, Lane.data, [bytes.subarray(0, cut), bytes.subarray(cut)]));
    if (i % 10 === 0) one.transport.flush();
  }
  t.ok(one.transport.send(2, Lane.control, [frame('ping')]));
  one.transport.flush();
  await two.events.until(() => two.events.of('frame').length === 301);
  const frames = two.events.of('frame');
  t.same(
    frames.filter((f) => f.lane === Lane.data).map((f) => f.detail),
    sent,
  );
  t.same(
    frames.filter((f) => f.lane === Lane.control).map((f) => f.detail),
    ['ping'],
  );
  t.equal(one.transport.queuedBytes(2, Lane.data), 0);
  t.equal(one.transport.clientAddress(2), '127.0.0.1:2');
  t.equal(two.transport.clientAddress(1), '127.0.0.1:1');
});

t.test('nothing leaves before flush, and a part may be shared memory', async (t) => {
  const nodes = await pair(t);
  const [one, two] = nodes;
  await bothUp(nodes);
  const bytes = frame('x'.repeat(100_000));
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
  shared.set(bytes);
  one.transport.send(2, Lane.data, [shared.subarray(0, 10), shared.subarray(10)]);
  t.equal(one.transport.queuedBytes(2, Lane.data), bytes.length);
  one.transport.flush();
  await two.events.until(() => two.events.of('frame').length === 1);
  t.equal(two.events.of('frame')[0]!.detail, 'x'.repeat(100_000));
});

t.test('the bulk lane is dialled by its first frame and closed after disuse, without loss', async (t) => {
  const idleChecks: (() => void)[] = [];
  const nodes = await pair(t, {
    limits: { bulkIdleMs: 77_777 },
    setTimer: (delayMs, callback) => {
      if (delayMs === 77_777) {
        idleChecks.push(callback);
        return () => {};
      }
      const handle = setTimeout(callback, delayMs);
      return () => clearTimeout(handle);
    },
  });
  const [one, two] = nodes;
  await bothUp(nodes);
  t.notOk(isUp(one, 2, Lane.bulk)());
  t.ok(one.transport.send(2, Lane.bulk, [frame('first')]));
  one.transport.flush();
  await two.events.until(() => two.events.of('frame').length === 1);
  t.match(two.events.of('frame')[0], { lane: Lane.bulk, detail: 'first' });

  t.ok(one.transport.send(2, Lane.bulk, [frame('second')]));
  one.transport.flush();
  await two.events.until(() => two.events.of('frame').length === 2);
  idleChecks.pop()!();
  t.equal(idleChecks.length, 1, 'it was used: it is looked at again later');
  idleChecks.pop()!();
  t.ok(one.transport.send(2, Lane.bulk, [frame('third')]), 'closed by now, and dialled again');
  one.transport.flush();
  await two.events.until(() => two.events.of('frame').length === 3);
  t.equal(one.events.of('up').filter((e) => e.lane === Lane.bulk).length, 2);
  t.same(one.events.of('down'), [], 'disuse is no loss');
});

t.test('a peer that is gone is told within a moment, once, and found again when it is back', async (t) => {
  const nodes = await pair(t);
  const [one, two] = nodes;
  await bothUp(nodes);
  const { port } = two.transport;
  await two.transport.close();
  await one.events.until(() => one.events.of('refused').length > 0);
  t.same(one.events.of('refused'), [{ what: 'refused', peer: 2 }]);
  await one.events.until(() => one.events.of('down').length === 2);
  t.notOk(one.transport.send(2, Lane.data, [frame('lost')]), 'nothing is queued for a lane that is down');

  one.events.told.length = 0;
  const again = await start(t, 2, { port });
  again.transport.setPeers([one.member]);
  await bothUp([one, again]);
  t.ok(one.transport.send(2, Lane.data, [frame('found')]));
  one.transport.flush();
  await again.events.until(() => again.events.of('frame').length === 1);
  t.equal(one.events.of('refused').length, 0);
});

t.test(
  'connections that are ended as soon as they are up are not dialled without a pause for ever',
  async (t) => {
    const server = createServer((socket) => {
      const welcome = {
        clusterId: 'wood',
        from: 2,
        to: 1,
        incarnation: 'data-2',
        clientAddress: '',
        version: 1,
      };
      socket.on('error', () => {});
      socket.once('data', () =>
        socket.end(encodePeerWelcome({ ...welcome, maxFrameBytes: 1 << 20, features: [] })),
      );
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    t.teardown(() => server.close());
    const limits = { minRedialMs: 5, maxRedialMs: 20 };
    let pauses = 0;
    const setTimer = (delayMs: number, callback: () => void) => {
      if (delayMs <= limits.maxRedialMs) pauses++;
      const handle = setTimeout(callback, delayMs);
      return () => {
        clearTimeout(handle);
      };
    };
    const { transport, events } = await start(t, 1, { limits, setTimer });
    transport.setPeers([{ id: 2, peerAddress: `127.0.0.1:${(server.address() as AddressInfo).port}` }]);
    await events.until(() => events.of('down').length >= 30);
    t.ok(pauses >= 30 - 2 * 4, `${pauses} pauses; on each lane the first few losses are followed by none`);
  },
);

t.test('a peer that was never there is not reported as gone', async (t) => {
  const closed = createServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const { port } = closed.address() as AddressInfo;
  closed.close();
  await once(closed, 'close');
  let dials = 0;
  const attempts = new Listener();
  const one = await start(t, 1, {
    setTimer: (delayMs, callback) => {
      // Dial timeouts are armed with every dial; redials run at once.
      if (delayMs === 2000) {
        if (++dials === 4) attempts.onRefused(0);
        return () => {};
      }
      const handle = setImmediate(callback);
      return () => clearImmediate(handle);
    },
  });
  one.transport.setPeers([{ id: 2, peerAddress: `127.0.0.1:${port}` }]);
  await attempts.until(() => attempts.told.length > 0);
  t.same(one.events.told, []);
});

t.test('the waiting side dials at once when the peer dials it', async (t) => {
  // Redial timers never fire: only the nudge can bring node 1 to dial again.
  const frozen = new Set<() => void>();
  const one = await start(t, 1, {
    setTimer: (_delayMs, callback) => {
      frozen.add(callback);
      return () => frozen.delete(callback);
    },
  });
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  const failed = new Listener();
  probe.on('connection', (socket) => {
    socket.destroy();
    failed.onRefused(0);
  });
  one.transport.setPeers([{ id: 2, peerAddress: `127.0.0.1:${port}` }]);
  await failed.until(() => failed.told.length === 2);
  probe.close();
  await once(probe, 'close');
  const two = await start(t, 2, { port });
  two.transport.setPeers([one.member]);
  await bothUp([one, two]);
  t.pass('both directions are up');
});

t.test('a full queue drops frames and says so', async (t) => {
  const nodes = await pair(t, { limits: { maxQueuedBytes: [1000, 2000, 1000] } });
  const [one, two] = nodes;
  await bothUp(nodes);
  const bytes = frame('y'.repeat(84));
  t.equal(bytes.length, 100);
  let taken = 0;
  while (one.transport.send(2, Lane.data, [bytes])) taken++;
  t.equal(taken, 20);
  t.equal(one.transport.queuedBytes(2, Lane.data), 2000);
  t.ok(one.transport.send(2, Lane.control, [bytes]), 'the other lane has room of its own');
  one.transport.flush();
  await two.events.until(() => two.events.of('frame').length === 21);
  t.ok(one.transport.send(2, Lane.data, [bytes]), 'there is room again');
  t.notOk(one.transport.send(3, Lane.data, [bytes]), 'an unknown peer has no queue');
});

t.test('a peer that takes nothing off its connection is cut off, one that does is not', async (t) => {
  const stallTimeoutMs = 100;
  const one = await start(t, 1, { limits: { stallTimeoutMs } });
  let welcomed = 0;
  const accepted: Socket[] = [];
  // Says that it is node 2 and welcomes everybody; what comes after the hello it leaves in the kernel.
  const deaf = createServer((socket) => {
    accepted.push(socket);
    socket.on('error', () => {});
    socket.once('data', () => {
      socket.pause();
      welcomed++;
      const introduction = { clusterId: 'wood', from: 2, to: 1, incarnation: 'data-2', configIndex: 0 };
      const rest = { clientAddress: '127.0.0.1:2', maxFrameBytes: 64 << 20, features: [] };
      socket.write(encodePeerWelcome({ version: 1, ...introduction, ...rest }));
    });
  });
  deaf.listen(0, '127.0.0.1');
  await once(deaf, 'listening');
  t.teardown(() => {
    for (const socket of accepted) socket.destroy();
    deaf.close();
  });
  const peerAddress = `127.0.0.1:${(deaf.address() as AddressInfo).port}`;
  one.transport.setPeers([one.member, { id: 2, peerAddress }]);
  await one.events.until(isUp(one, 2, Lane.data));
  await one.events.until(isUp(one, 2, Lane.control));
  const before = welcomed;
  t.ok(one.transport.send(2, Lane.control, [frame('ping')]));
  // More than the kernel has room for on both sides.
  while (one.transport.queuedBytes(2, Lane.data) === 0) {
    t.ok(one.transport.send(2, Lane.data, [new Uint8Array(1 << 20)]));
    one.transport.flush();
  }
  await one.events.until(() => one.events.of('down').length > 0);
  t.match(one.events.of('down'), [{ peer: 2, lane: Lane.data }]);
  await until('it is dialled anew', () => welcomed > before);
  t.equal(one.events.of('down').length, 1, 'the lane that had nothing to send is still up');
});

t.test('a frame larger than the peer takes is refused on this side', async (t) => {
  const nodes = await pair(t, {}, { limits: { maxFrameBytes: 5000 } });
  const [one, two] = nodes;
  await bothUp(nodes);
  t.notOk(one.transport.send(2, Lane.data, [frame('z'.repeat(5000))]));
  t.match(one.events.of('rejected'), [{ peer: 2, detail: /^TOO_LARGE/ }]);
  t.ok(one.transport.send(2, Lane.data, [frame('z'.repeat(4000))]));
  one.transport.flush();
  await two.events.until(() => two.events.of('frame').length === 1);
});

t.test('an address that leads nowhere is told once, a peer that is not up yet is not', async (t) => {
  const one = await start(t, 1);
  const [free] = await freePorts(1);
  one.transport.setPeers([
    { id: 2, peerAddress: 'no..name:1' },
    { id: 3, peerAddress: `127.0.0.1:${free}` },
  ]);
  await one.events.until(() => one.events.of('rejected').length >= 1);
  one.transport.setPeers([{ id: 4, peerAddress: 'no..name:2' }]);
  await one.events.until(() => one.events.of('rejected').length >= 2);
  t.match(one.events.of('rejected'), [
    { peer: 2, detail: /^UNREACHABLE node 2 cannot be reached at no..name:1: E\w+$/ },
    { peer: 4, detail: /^UNREACHABLE node 4 / },
  ]);
});

t.test('another cluster, another node, a stranger: refused on both sides, each told once', async (t) => {
  const one = await start(t, 1);
  const alien = await start(t, 2, { clusterId: 'stone' });
  one.transport.setPeers([alien.member]);
  alien.transport.setPeers([one.member]);
  await one.events.until(() => one.events.of('rejected').length >= 2);
  for (const { detail } of one.events.of('rejected')) t.match(detail, /^WRONG_CLUSTER /);

  const three = await start(t, 3);
  three.transport.setPeers([{ id: 7, peerAddress: one.member.peerAddress }]);
  await three.events.until(() => three.events.of('rejected').length >= 1);
  t.match(three.events.of('rejected')[0]!.detail, /^WRONG_NODE .*node 7/);

  const four = await start(t, 4);
  four.transport.setPeers([one.member]);
  await four.events.until(() => four.events.of('rejected').length >= 1);
  t.match(four.events.of('rejected')[0]!.detail, /^UNKNOWN_PEER /);
  const details = one.events.of('rejected').map((e) => `${e.peer} ${e.detail}`);
  t.equal(new Set(details).size, details.length, 'no cause is told twice');
  t.same(one.events.of('up'), []);
});

t.test('the hook can refuse a peer; a changed incarnation is reported', async (t) => {
  const one = await start(t, 1, {
    checkPeer: (hello) => (hello.from === 3 ? { code: 'NO', message: 'not you' } : null),
  });
  const two = await start(t, 2);
  const three = await start(t, 3);
  one.transport.setPeers([two.member, three.member]);
  two.transport.setPeers([one.member]);
  three.transport.setPeers([one.member]);
  await bothUp([one, two]);
  await three.events.until(() => three.events.of('rejected').length > 0);
  t.match(three.events.of('rejected')[0], { peer: 1, detail: 'NO not you' });

  const { port } = two.transport;
  await two.transport.close();
  const wiped = await start(t, 2, { port, incarnation: 'fresh' });
  wiped.transport.setPeers([one.member]);
  await one.events.until(() =>
    one.events.of('rejected').some((e) => e.detail!.startsWith('INCARNATION_CHANGED')),
  );
  await wiped.events.until(isUp(wiped, 1, Lane.data));
  t.pass('and it is connected all the same');
});

t.test(
  'a second process with the directory of a peer that is there does not end its connections',
  async (t) => {
    const identity = { clusterId: 'wood', nodeId: 2, incarnation: 'data-2', clientAddress: '' };
    const nodes = await pair(t, {}, { identity: { ...identity, peerAddress: '10.0.0.2:1' } });
    const [one, two] = nodes;
    await bothUp(nodes);
    const copy = await start(t, 2, { identity: { ...identity, peerAddress: '10.0.0.3:1' } });
    copy.transport.setPeers([one.member]);
    await copy.events.until(() => copy.events.told.length > 0);
    t.match(copy.events.told[0], { what: 'rejected', detail: /WRONG_NODE.*10\.0\.0\.2.*10\.0\.0\.3.*copy/ });
    t.match(one.events.of('rejected'), [{ peer: 2, detail: /WRONG_NODE/ }], 'the operator hears of it');
    t.same(two.events.of('down'), []);

    // When the one that answers where peers look for it is gone, the other may be where it went.
    await two.transport.close();
    await copy.events.until(isUp(copy, 1, Lane.control));
  },
);

t.test('whoever is no peer gets one clear answer and is closed', async (t) => {
  const one = await start(t, 1);
  const { port } = one.transport;
  const http = (await conversation(port, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n')).toString();
  t.match(
    http,
    /^HTTP\/1\.1 421 .*\r\n\r\ncordwood: this is the port of cluster peers; clients connect to 127\.0\.0\.1:1\r\n$/s,
  );
  const text = (await conversation(port, 'hello?\n')).toString();
  t.match(text, /^cordwood: [^\n]*\r\n$/);
  const binary = await conversation(port, Uint8Array.of(...CLIENT_MAGIC, 1, 1, 0, 0));
  t.equal(binary[4], 0x9f, 'a client of the binary protocol gets an error frame');
  t.match(
    await conversation(port, Uint8Array.of(0xf6, 0x43, 0x57, 0x44, 9, 9, 0, 0)),
    /INCOMPATIBLE_VERSION/,
  );
  const bomb = Uint8Array.of(0xf6, 0x43, 0x57, 0x44, 1, 1, 0, 0, 255, 255, 255, 255);
  t.match(await conversation(port, bomb), /TOO_LARGE/);
  const noise = Buffer.concat([
    Uint8Array.of(0xf6, 0x43, 0x57, 0x44, 1, 1, 0, 0, 30, 0, 0, 0),
    Buffer.alloc(100_000, 7),
  ]);
  t.match((await conversation(port, noise)).toString('latin1'), /PROTOCOL_ERROR/);
  t.equal(one.events.of('rejected').length, 4, 'causes from one address are told once each');
});

t.test('silence is cut off at the deadline, on both ends', async (t) => {
  const one = await start(t, 1, {
    limits: { acceptTimeoutMs: 20, dialTimeoutMs: 20, minRedialMs: 1, maxStrangers: 2 },
  });
  t.equal((await conversation(one.transport.port, Uint8Array.of(0xf6))).length, 0);
  t.match(one.events.of('rejected')[0]!.detail, /^TIMEOUT/);

  const mute = createServer().listen(0, '127.0.0.1');
  t.teardown(() => mute.close());
  await once(mute, 'listening');
  one.transport.setPeers([{ id: 2, peerAddress: `127.0.0.1:${(mute.address() as AddressInfo).port}` }]);
  const sockets: Socket[] = [];
  while (sockets.length < 4) {
    const [socket] = (await once(mute, 'connection')) as [Socket];
    socket.on('error', () => {});
    sockets.push(socket);
  }
  t.pass('it gives up a mute connection and dials again');
  for (const socket of sockets) socket.destroy();
});

t.test('silent strangers keep no peer out: the oldest of them makes room', async (t) => {
  // No deadline comes to the rescue.
  const limits = { maxStrangers: 2, acceptTimeoutMs: 600_000 };
  const one = await start(t, 1, { limits });
  const idle: Socket[] = [];
  const ended: number[] = [];
  const open = async (): Promise<void> => {
    const number = idle.length;
    const socket = connect(one.transport.port, '127.0.0.1');
    idle.push(socket);
    socket.on('error', () => {});
    socket.on('close', () => ended.push(number));
    t.teardown(() => socket.destroy());
    await once(socket, 'connect');
  };
  await open();
  await open();
  await open();
  await until('one of them to be closed', () => ended.length > 0);
  t.same(ended, [0], 'the oldest');
  t.match(one.events.of('rejected')[0]!.detail, /^BUSY more than 2 connections/);

  const two = await start(t, 2);
  two.transport.setPeers([one.member]);
  one.transport.setPeers([two.member]);
  await bothUp([one, two]);

  await open();
  await open();
  await open();
  t.match((await conversation(one.transport.port, 'hello?')).toString(), /^cordwood:/, 'an answer, at once');
  one.transport.send(2, Lane.data, [frame('peers stay')]);
  one.transport.flush();
  await two.events.until(() => two.events.of('frame').length === 1);
  t.same(two.events.of('down'), [], 'whoever has introduced itself is no stranger');
});

t.test('a connection can be given up for a new one, and frames go on there', async (t) => {
  const nodes = await pair(t);
  const [one, two] = nodes;
  await bothUp(nodes);
  one.transport.send(2, Lane.data, [frame('not flushed, and gone with the connection')]);
  one.transport.renew(2, Lane.data);
  one.transport.renew(2, Lane.data);
  one.transport.renew(3, Lane.data);
  t.match(one.events.of('down'), [{ peer: 2, lane: Lane.data }], 'one that is being made is left alone');
  await one.events.until(() => one.events.of('up').filter((e) => e.lane === Lane.data).length === 2);
  one.transport.send(2, Lane.data, [frame('on the new one')]);
  one.transport.flush();
  await two.events.until(() => two.events.of('frame').length === 1);
  t.equal(two.events.of('frame')[0]!.detail, 'on the new one');
});

t.test('a peer that has given up its connection is dialled anew too, unless that is young', async (t) => {
  for (const minRenewedAgeMs of [0, 600_000]) {
    const one = await start(t, 1);
    const two = await start(t, 2, { limits: { minRenewedAgeMs } });
    two.transport.setPeers([one.member]);
    one.transport.setPeers([two.member]);
    await bothUp([one, two]);
    // As node 1 does that has lost its patience, where the network takes the end of the old connection with it.
    const hello = encodeHello({
      clusterId: 'wood',
      from: 1,
      to: 2,
      incarnation: 'data-1',
      clientAddress: '127.0.0.1:1',
      maxFrameBytes: 1 << 20,
      features: [],
      lane: Lane.control,
    });
    const socket = connect(two.transport.port, '127.0.0.1');
    t.teardown(() => socket.destroy());
    socket.on('error', () => {});
    socket.write(hello);
    await once(socket, 'data');
    const lost = two.events.of('down');
    if (minRenewedAgeMs > 0) t.same(lost, []);
    else t.match(lost, [{ peer: 1, lane: Lane.control }]);
    two.transport.send(1, Lane.data, [frame('the other lane is the old one')]);
    two.transport.flush();
    await one.events.until(() => one.events.of('frame').length === 1);
  }
});

t.test('a listener that refuses a frame ends that connection only', async (t) => {
  const nodes = await pair(t);
  const [one, two] = nodes;
  await bothUp(nodes);
  const onFrame = two.events.onFrame;
  let bad = 0;
  Object.assign(two.events, {
    onFrame: (...frame: Parameters<typeof onFrame>) => {
      if (bad++ === 0) throw new CordwoodError('PROTOCOL_ERROR', 'nonsense');
      onFrame(...frame);
    },
  });
  one.transport.send(2, Lane.data, [frame('bad')]);
  one.transport.send(2, Lane.data, [frame('never seen')]);
  one.transport.flush();
  await one.events.until(() => one.events.of('down').length === 1);
  t.match(one.events.of('down'), [{ peer: 2, lane: Lane.data }]);
  await one.events.until(() => one.events.of('up').filter((e) => e.lane === Lane.data).length === 2);
  one.transport.send(2, Lane.data, [frame('good')]);
  one.transport.flush();
  await two.events.until(() => two.events.of('frame').length === 1);
  t.same(
    two.events.of('frame').map((e) => e.detail),
    ['good'],
  );
  t.match(two.events.of('rejected'), [{ peer: 1, detail: /nonsense/ }]);
  t.equal(one.events.of('refused').length, 0, 'a lost connection to a living process is no refusal');
});

t.test('members come, move and go', async (t) => {
  const nodes = await pair(t);
  const [one, two] = nodes;
  await bothUp(nodes);
  const moved = await start(t, 2);
  moved.transport.setPeers([one.member]);
  one.events.told.length = 0;
  one.transport.setPeers([moved.member]);
  await one.events.until(() => one.events.of('up').length >= 2);
  one.transport.send(2, Lane.data, [frame('at the new address')]);
  one.transport.flush();
  await moved.events.until(() => moved.events.of('frame').length === 1);
  t.same(one.events.of('refused'), []);
  one.transport.setPeers([{ id: 5, peerAddress: 'nowhere' }]);
  t.match(one.events.of('rejected'), [{ peer: 5, detail: /^BAD_ADDRESS/ }]);
  t.notOk(one.transport.send(2, Lane.data, [frame('gone')]));
  await moved.events.until(() => moved.events.of('down').length > 0);
  t.ok(two);
});

t.test('close sends what was flushed, can be called twice, and leaves nothing behind', async (t) => {
  const nodes = await pair(t);
  const [one, two] = nodes;
  await bothUp(nodes);
  one.transport.send(2, Lane.control, [frame('last words')]);
  one.transport.flush();
  const told = one.events.told.length;
  await Promise.all([one.transport.close(), one.transport.close()]);
  await two.events.until(() => two.events.of('frame').length === 1);
  t.equal(one.events.told.length, told, 'a closed transport is silent');
  t.notOk(one.transport.send(2, Lane.data, [frame('no')]));
  one.transport.flush();
  one.transport.setPeers([two.member]);
  await two.transport.close();
});

t.test('an address in use has a code of its own', async (t) => {
  const one = await start(t, 1);
  await t.rejects(start(t, 2, { port: one.transport.port }), { code: 'ADDRESS_IN_USE' });
  await t.rejects(start(t, 2, { listen: { host: '203.0.113.1', port: 0 } }), { code: 'BAD_OPTION' });
});
