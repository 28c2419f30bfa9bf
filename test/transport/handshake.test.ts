import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { CLIENT_MAGIC, Lane } from '../../protocol/constants.ts';
import { until } from '../e2e/support/until.ts';
import { bothUp, conversation, frame, isUp, joined, start } from './support/transport-pair.ts';

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
    const [one, two] = await joined(t, {}, { identity: { ...identity, peerAddress: '10.0.0.2:1' } });
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

t.test('an address in use has a code of its own', async (t) => {
  const one = await start(t, 1);
  await t.rejects(start(t, 2, { port: one.transport.port }), { code: 'ADDRESS_IN_USE' });
  await t.rejects(start(t, 2, { listen: { host: '203.0.113.1', port: 0 } }), { code: 'BAD_OPTION' });
});
