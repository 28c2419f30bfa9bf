import type { IncomingHttpHeaders } from 'node:http';
import t from 'tap';
import { defencePolicy, refusalOf } from '../../lib/server/http-defence.ts';
import { formOf } from '../../lib/server/http-reply.ts';
import { startServer } from '../../lib/server/index.ts';
import { FakeNode } from './support/fake-node.ts';
import { ask, errorOf, raw } from './support/http.ts';

const local = defencePolicy('127.0.0.1', ['node1.internal']);
const open = defencePolicy('0.0.0.0', []);

t.test('who may ask', async (t) => {
  const allowed: [IncomingHttpHeaders, typeof local][] = [
    [{ host: '127.0.0.1:12380' }, local],
    [{ host: 'localhost:12380' }, local],
    [{ host: 'LOCALHOST' }, local],
    [{ host: '[::1]:12380' }, local],
    [{ host: 'node1.internal:12380' }, local],
    [{}, local],
    [{ host: 'localhost:1', origin: 'http://localhost:1' }, local],
    [{ host: 'localhost:1', 'sec-fetch-site': 'same-origin', origin: 'http://localhost:1' }, local],
    [{ host: 'localhost:1', 'sec-fetch-site': 'none' }, local],
    [{ host: 'anything.example:80' }, open],
  ];
  for (const [headers, policy] of allowed) t.equal(refusalOf(headers, policy), null, JSON.stringify(headers));
});

t.test('who may not', async (t) => {
  const refused: [IncomingHttpHeaders, typeof local][] = [
    [{ host: 'evil.example:12380' }, local],
    [{ host: 'localhost.evil.example' }, local],
    [{ host: '127.0.0.1.evil.example' }, local],
    [{ host: '128.0.0.1' }, local],
    [{ host: 'localhost:1', origin: 'http://evil.example' }, local],
    [{ host: 'localhost:1', origin: 'http://localhost:2' }, local],
    [{ host: 'localhost:1', origin: 'null' }, local],
    [{ host: 'localhost:1', origin: '' }, local],
    [{ host: 'localhost:1', 'sec-fetch-site': 'cross-site' }, local],
    [{ host: 'stacks.example', origin: 'http://evil.example' }, open],
    [{ host: 'stacks.example', 'sec-fetch-site': 'cross-site' }, open],
  ];
  for (const [headers, policy] of refused)
    t.type(refusalOf(headers, policy), 'string', JSON.stringify(headers));
});

t.test('a refused request changes nothing, whatever it is', async (t) => {
  const node = new FakeNode();
  const server = await startServer({ node, listen: { port: 0 } });
  t.teardown(() => server.close());
  const attacks = [
    { origin: 'http://evil.example' },
    { 'sec-fetch-site': 'cross-site' },
    { host: 'evil.example' },
    { origin: 'null', 'sec-fetch-site': 'cross-site' },
  ];
  const types = [
    'application/x-www-form-urlencoded',
    'text/plain',
    'application/json',
    'multipart/form-data',
  ];
  const requests: [string, string][] = [
    ['POST', '/sPush'],
    ['POST', '/v1/stacks/1/push'],
    ['PUT', '/v1/stacks/1'],
    ['DELETE', '/v1/stacks/1'],
    ['GET', '/v1/status'],
    ['OPTIONS', '/sPush'],
  ];
  for (const attack of attacks) {
    for (const type of types) {
      for (const [method, path] of requests) {
        const answer = await ask(server.port, path, {
          method,
          body: '1,10',
          headers: { 'content-type': type, ...attack },
        });
        t.equal(answer.status, 403, `${method} ${path} ${JSON.stringify(attack)}`);
        t.match(errorOf(answer), { code: 'UNAUTHORIZED', outcome: 'not_applied' });
      }
    }
  }
  t.equal(node.commandsApplied, 0);
  const curl =
    'POST /sPush HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: curl/8\r\nAccept: */*\r\nContent-Length: 4\r\nContent-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n\r\n1,10';
  t.match(await raw(server.port, curl), /^HTTP\/1\.1 200 OK[^]*\r\n\r\n1\n$/);
});

t.test('the form that Accept asks for', async (t) => {
  const forms: [string | undefined, string][] = [
    [undefined, 'text'],
    ['*/*', 'text'],
    ['application/json', 'json'],
    ['Application/JSON; charset=utf-8', 'json'],
    ['application/octet-stream', 'bytes'],
    ['text/html, application/json;q=0.9, */*;q=0.8', 'json'],
    ['application/json;q=0.1, text/plain', 'text'],
    ['application/json;q=0', 'text'],
    ['image/png', 'text'],
    [',;q=,', 'text'],
  ];
  for (const [accept, form] of forms) t.equal(formOf(accept, 'text'), form, String(accept));
  t.equal(formOf('*/*', 'json'), 'json');
});
