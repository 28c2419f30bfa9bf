import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import t from 'tap';
import { Lane } from '../../protocol/constants.ts';
import { encodePeerWelcome } from '../../protocol/peer-handshake.ts';
import { until } from '../e2e/support/until.ts';
import { frame, isUp, joined, start } from './support/transport-pair.ts';

t.test('frames arrive whole, in order, on their lane, however they were cut into parts', async (t) => {
  const [one, two] = await joined(t);
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
  const [one, two] = await joined(t);
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
  const [one, two] = await joined(t, {
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

t.test('a full queue drops frames and says so', async (t) => {
  const [one, two] = await joined(t, { limits: { maxQueuedBytes: [1000, 2000, 1000] } });
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
  const [one, two] = await joined(t, {}, { limits: { maxFrameBytes: 5000 } });
  t.notOk(one.transport.send(2, Lane.data, [frame('z'.repeat(5000))]));
  t.match(one.events.of('rejected'), [{ peer: 2, detail: /^TOO_LARGE/ }]);
  t.ok(one.transport.send(2, Lane.data, [frame('z'.repeat(4000))]));
  one.transport.flush();
  await two.events.until(() => two.events.of('frame').length === 1);
});

t.test('close sends what was flushed, can be called twice, and leaves nothing behind', async (t) => {
  const [one, two] = await joined(t);
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
