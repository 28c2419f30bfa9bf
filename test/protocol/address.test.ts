import fc from 'fast-check';
import t from 'tap';

import { formatAddress, parseAddress } from '../../protocol/address.ts';

t.test('addresses in all their forms', async (t) => {
  const forms: [string, string, number][] = [
    ['127.0.0.1:12379', '127.0.0.1', 12379],
    ['http://127.0.0.1:12379', '127.0.0.1', 12379],
    ['tcp://node-1.example:80/path', 'node-1.example', 80],
    ['[::1]:9', '::1', 9],
    [' localhost:0 ', 'localhost', 0],
  ];
  for (const [text, host, port] of forms) t.same(parseAddress(text), { host, port });
  for (const bad of ['', 'host', 'host:', ':80', 'host:65536', 'host:-1', '::1:80', 'a b:80', 'host:8o']) {
    t.throws(() => parseAddress(bad), RangeError, bad);
  }
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.nat(65_535), (host, port) => {
      t.same(parseAddress(formatAddress(host, port)), { host, port });
    }),
  );
});
