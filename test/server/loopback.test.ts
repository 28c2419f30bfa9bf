import t from 'tap';
import { isLoopback } from '../../lib/server/loopback.ts';

t.test('hosts that always mean this machine', async (t) => {
  for (const host of [
    ...['localhost', 'LOCALHOST', 'node1.localhost'],
    ...['127.0.0.1', '127.255.0.9', '::1', '0:0:0:0:0:0:0:1', '0::1', '::ffff:127.0.0.1'],
  ]) {
    t.ok(isLoopback(host), host);
  }
});

t.test('hosts that may lead anywhere', async (t) => {
  for (const host of [
    ...['', '0.0.0.0', '128.0.0.1', '10.127.0.1', '::', '::2', '::ffff:10.0.0.1', 'fe80::1'],
    ...[
      '127.evil.example',
      '127.0.0.1.evil.example',
      '127.1.evil',
      'localhost.evil.example',
      'evillocalhost',
    ],
  ]) {
    t.notOk(isLoopback(host), host);
  }
});
