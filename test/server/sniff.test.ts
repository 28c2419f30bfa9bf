import fc from 'fast-check';
import t from 'tap';
import { refusal, sniff, SNIFF_BYTES } from '../../lib/server/sniff.ts';
import { CLIENT_MAGIC, PEER_MAGIC } from '../../protocol/constants.ts';

const METHODS = ['GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE', 'CONNECT'];

t.test('knows each protocol by its first bytes', async (t) => {
  t.equal(sniff(CLIENT_MAGIC), 'binary');
  t.equal(sniff(PEER_MAGIC), 'peer');
  for (const method of METHODS) {
    t.equal(sniff(Buffer.from(`${method} / HTTP/1.1\r\n`)), 'http', method);
    t.equal(sniff(Buffer.from(`\r\n${method} / HTTP/1.1\r\n`)), 'http', `an empty line, ${method}`);
  }
  t.equal(sniff(Uint8Array.of(0x16, 0x03, 0x01, 0x02, 0x00)), 'tls');
  t.equal(sniff(Buffer.from('PRI * HTTP/2.0')), 'http2');
});

t.test('what only looks like it is something else', async (t) => {
  for (const text of [
    'PUSH 1 10\n',
    'get / HTTP/1.1',
    'GETX / ',
    'hello',
    '\n',
    '\r\n\r\n',
    '\r\nPRI * HTTP/2.0',
    '{"a":1}',
    'SSH-2.0-',
    '*1\r\n',
  ]) {
    t.equal(sniff(Buffer.from(text)), 'other', JSON.stringify(text));
  }
});

t.test('says "more" exactly for what can still become one of them', async (t) => {
  const openings = [
    CLIENT_MAGIC,
    PEER_MAGIC,
    ...METHODS.flatMap((method) => [`${method} `, `\r\n${method} `]).map((text) => Buffer.from(text)),
  ];
  for (const opening of openings) {
    for (let length = 0; length < opening.length; length++) {
      t.equal(
        sniff(opening.subarray(0, length)),
        'more',
        `${length} bytes of ${Buffer.from(opening).toString()}`,
      );
    }
  }
});

t.test(
  'any bytes: the answer does not change with what comes later, and does not wait for ever',
  async (t) => {
    const bytes = fc.uint8Array({ maxLength: 12 });
    const likely = fc.tuple(
      fc.constantFrom('GET', '\r', '\r\nOPTIO', 'POS', 'PRI * HTT', '\x16', 'CONNECT'),
      bytes,
    );
    fc.assert(
      fc.property(
        fc.oneof(
          bytes,
          likely.map(([text, tail]) => Buffer.concat([Buffer.from(text), tail])),
        ),
        (input) => {
          let decided: string | null = null;
          for (let length = 0; length <= input.length; length++) {
            const now = sniff(input.subarray(0, length));
            if (decided !== null && now !== decided) return false;
            if (now !== 'more') decided = now;
            if (length >= SNIFF_BYTES && now === 'more') return false;
          }
          return true;
        },
      ),
    );
    t.pass();
  },
);

t.test('the refusal is one line, whatever came', async (t) => {
  for (const speech of ['tls', 'http2', 'peer', 'more', 'other'] as const) {
    const line = refusal(speech);
    t.match(line, /^cordwood: this port speaks HTTP and the Cordwood binary protocol/);
    t.equal(line.indexOf('\n'), line.length - 1);
  }
  t.match(refusal('tls'), /https/);
});
