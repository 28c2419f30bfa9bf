import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import t from 'tap';
import { Lane } from '../../protocol/constants.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { encodeHello, encodePeerWelcome } from '../../protocol/peer-handshake.ts';
import { freePorts } from '../e2e/support/ports.ts';
import { bothUp, conversation, frame, joined, Listener, start } from './support/transport-pair.ts';

t.test('a peer that is gone is told within a moment, once, and found again when it is back', async (t) => {
  const [one, two] = await joined(t);
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

t.test('a connection can be given up for a new one, and frames go on there', async (t) => {
  const [one, two] = await joined(t);
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
  const [one, two] = await joined(t);
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
  const [one, two] = await joined(t);
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
