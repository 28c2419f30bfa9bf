import fc from 'fast-check';
import t from 'tap';
import { startServer } from '../../lib/server/index.ts';
import { FakeNode } from './support/fake-node.ts';
import { ask, errorOf } from './support/http.ts';

const node = new FakeNode();
const server = await startServer({ node, listen: { port: 0 } });
t.teardown(() => server.close());
const { port } = server;

const json = async (method: string, path: string, body?: unknown): Promise<[number, unknown]> => {
  const answer = await ask(
    port,
    path,
    body === undefined ? { method } : { method, body: JSON.stringify(body) },
  );
  return [answer.status, answer.text === '' ? null : JSON.parse(answer.text)];
};

t.test('JSON that a value cannot keep is refused, not stored as something else', async (t) => {
  for (const value of ['"\\ud800"', '{"\\udc00":1}', '[["a\\ud83d"]]', '1e999', '{"x":-1e999}']) {
    const answer = await ask(port, '/v1/stacks/kept/push', { method: 'POST', body: `{"value":${value}}` });
    t.equal(answer.status, 400, value);
    t.match(errorOf(answer), { code: 'MALFORMED', outcome: 'not_applied' }, value);
  }
  t.equal((await json('GET', '/v1/stacks/kept'))[0], 404);
  t.same(await json('POST', '/v1/stacks/kept/push', { value: '\u{1fab5}' }), [200, { size: 1 }]);
  t.same(await json('DELETE', '/v1/stacks/kept'), [200, { name: 'kept', dropped: true }]);
});

t.test('a pop with a count is JSON in any case, and ends at about 1 MiB', async (t) => {
  const [low, high] = ['l', 'h'].map((letter) => letter.repeat(700_000));
  t.same(await json('POST', '/v1/stacks/large/push', { values: [low, high] }), [200, { size: 2 }]);
  const pop = { body: '{"count":2}', headers: { accept: 'text/plain' } };
  for (const value of [high, low]) {
    const answer = await ask(port, '/v1/stacks/large/pop', pop);
    t.equal(answer.headers['content-type'], 'application/json');
    t.ok(answer.text === `{"values":["${value}"]}\n`, 'one of them');
  }
  t.equal((await ask(port, '/v1/stacks/large/pop', pop)).text, '{"values":[]}\n');
  t.equal((await json('DELETE', '/v1/stacks/large'))[0], 200);
});

t.test('stacks as resources', async (t) => {
  t.same(await json('PUT', '/v1/stacks/a'), [201, { name: 'a', created: true }]);
  t.same(await json('PUT', '/v1/stacks/a'), [200, { name: 'a', created: false }]);
  t.same(await json('GET', '/v1/stacks/a'), [200, { name: 'a', size: 0 }]);
  t.same(await json('POST', '/v1/stacks/a/push', { value: { x: [1, null] } }), [200, { size: 1 }]);
  t.same(await json('POST', '/v1/stacks/a/push', { values: [1, 'two', false] }), [200, { size: 4 }]);
  t.same(await json('GET', '/v1/stacks/a/top'), [200, { value: false }]);
  t.same(await json('POST', '/v1/stacks/a/pop', { count: 2 }), [200, { values: [false, 'two'] }]);
  t.same(await json('POST', '/v1/stacks/a/pop'), [200, { value: 1 }]);
  t.same(await json('POST', '/v1/stacks/a/pop', {}), [200, { value: { x: [1, null] } }]);
  t.same(await json('POST', '/v1/stacks/a/pop'), [204, null]);
  t.same(await json('GET', '/v1/stacks/a/top'), [204, null]);
  t.same(await json('DELETE', '/v1/stacks/a'), [200, { name: 'a', dropped: true }]);
  for (const [method, path] of [
    ['GET', '/v1/stacks/a'],
    ['DELETE', '/v1/stacks/a'],
    ['GET', '/v1/stacks/a/top'],
    ['POST', '/v1/stacks/a/pop'],
  ] as const) {
    t.equal((await json(method, path))[0], 404, `${method} ${path}`);
  }
});

t.test('bodies that are values themselves', async (t) => {
  const push = (type: string, body: Uint8Array | string): ReturnType<typeof ask> =>
    ask(port, '/v1/stacks/raw/push', { method: 'POST', body, headers: { 'content-type': type } });
  t.equal((await push('text/plain; charset=utf-8', '{"not":"parsed"}')).status, 200);
  t.same(await json('POST', '/v1/stacks/raw/pop'), [200, { value: '{"not":"parsed"}' }]);
  t.equal((await push('application/octet-stream', 'text too')).status, 200);
  t.same(await json('GET', '/v1/stacks/raw/top'), [
    200,
    { value: { $bin: Buffer.from('text too').toString('base64') } },
  ]);
  const plain = await ask(port, '/v1/stacks/raw/pop', { method: 'POST', headers: { accept: 'text/plain' } });
  t.equal(plain.text, 'text too');
  t.equal(plain.headers['content-type'], 'application/octet-stream');
});

t.test('any name can stand in a path', async (t) => {
  const name = fc
    .string({ minLength: 1, maxLength: 30, unit: 'binary' })
    .filter((s) => Buffer.from(s).toString() === s);
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(name, fc.constantFrom('.', '..', '/', 'a/b', '%', '?', '#', '\\', ' ', 'push')),
      async (name) => {
        const path = `/v1/stacks/${encodeURIComponent(name).replace(/\./g, '%2e')}`;
        t.same(await json('PUT', path), [201, { name, created: true }]);
        t.same(await json('POST', `${path}/push`, { value: 1 }), [200, { size: 1 }]);
        t.same(await json('GET', path), [200, { name, size: 1 }]);
        t.same(await json('DELETE', path), [200, { name, dropped: true }]);
      },
    ),
    { numRuns: 40 },
  );
});

t.test('lists are paged', async (t) => {
  for (const name of ['p/1', 'p/2', 'p/3', 'q']) await json('PUT', `/v1/stacks/${encodeURIComponent(name)}`);
  t.same(await json('GET', '/v1/stacks?prefix=p/&limit=2'), [
    200,
    {
      stacks: [
        { name: 'p/1', size: 0 },
        { name: 'p/2', size: 0 },
      ],
      next: 'p/2',
    },
  ]);
  t.same(await json('GET', '/v1/stacks?prefix=p/&limit=2&after=p/2'), [
    200,
    { stacks: [{ name: 'p/3', size: 0 }], next: null },
  ]);
  t.equal((await json('GET', '/v1/stacks?limit=none'))[0], 400);
});

t.test('bodies that make no sense', async (t) => {
  for (const body of ['', '{', '[]', 'null', '{}', '{"values":1}', '\xff']) {
    const answer = await ask(port, '/v1/stacks/x/push', {
      method: 'POST',
      body: Buffer.from(body, 'latin1'),
    });
    t.equal(answer.status, 400, JSON.stringify(body));
    t.equal(errorOf(answer).code, 'MALFORMED');
  }
  t.equal((await json('POST', '/v1/stacks/x/push', { value: nested(100) }))[0], 400, 'too deep');
  t.equal((await json('POST', '/v1/stacks/x/pop', { count: -1 }))[0], 400);
  t.equal((await json('PUT', '/v1/stacks/%ff'))[0], 400);
  t.equal((await json('PUT', `/v1/stacks/${'x'.repeat(1_025)}`))[0], 400);
});

t.test('a push of "value" and "values", or a field nobody knows, is refused and does nothing', async (t) => {
  for (const [path, body, message] of [
    ['push', { value: 1, values: [2] }, 'the body has both "value" and "values"'],
    ['push', {}, 'the body needs "value" or a list of "values"'],
    ['push', { values: 1 }, '"values" must be a list'],
    [
      'push',
      { value: 1, vlaues: [2] },
      '"vlaues" is not a field of this request; it takes "value", "values"',
    ],
    ['pop', { count: 1, n: 2 }, '"n" is not a field of this request; it takes "count"'],
    ['pop', { count: '1' }, '"count" must be a whole number from 0'],
  ] as const) {
    const answer = await ask(port, `/v1/stacks/both/${path}`, { method: 'POST', body: JSON.stringify(body) });
    t.equal(answer.status, 400);
    t.match(errorOf(answer), { code: 'MALFORMED', message, outcome: 'not_applied' });
  }
  t.equal((await json('GET', '/v1/stacks/both'))[0], 404);
});

t.test('methods and paths that are not there', async (t) => {
  const wrong = await ask(port, '/sPop', { method: 'GET' });
  t.equal(wrong.status, 405);
  t.equal(wrong.headers['allow'], 'POST, OPTIONS');
  t.equal(errorOf(wrong).outcome, 'not_applied');
  t.equal(
    (await ask(port, '/v1/stacks/x', { method: 'PATCH' })).headers['allow'],
    'PUT, GET, HEAD, DELETE, OPTIONS',
  );
  const options = await ask(port, '/v1/stacks', { method: 'OPTIONS' });
  t.equal(options.status, 204);
  t.equal(options.headers['allow'], 'GET, HEAD, OPTIONS');
  t.equal(options.headers['access-control-allow-origin'], undefined);
  for (const path of ['/nothing', '/v1', '/sPop/', '/../etc/passwd', '/%2e%2e/x', '//sPop']) {
    const answer = await ask(port, path);
    t.equal(answer.status, 404, path);
    t.equal(errorOf(answer).code, 'NOT_FOUND');
  }
  const head = await ask(port, '/healthz', { method: 'HEAD' });
  t.equal(head.status, 200);
  t.equal(head.text, '');
  t.equal(head.headers['content-length'], '3');
});

t.test('what the node says of itself', async (t) => {
  t.match((await ask(port, '/')).text, new RegExp(`curl http://127.0.0.1:${port}/sPush`));
  t.equal((await ask(port, '/healthz')).text, 'ok\n');
  t.equal((await ask(port, '/readyz')).status, 200);
  t.match((await json('GET', '/v1/status'))[1], { id: 1, role: 'leader', clusterId: 'fake', leader: 1 });
  node.setLeader(null);
  t.equal((await ask(port, '/readyz')).status, 503);
  t.equal((await ask(port, '/healthz')).status, 200, 'it lives all the same');
  node.setLeader({ id: 2, address: '' });
  node.quarantine = 'log/3: checksum';
  t.match(errorOf(await ask(port, '/readyz')), { code: 'LOG_DAMAGED' });
  node.quarantineCode = 'NODE_REMOVED';
  t.match(errorOf(await ask(port, '/readyz')), { code: 'NODE_REMOVED' });
  node.quarantine = null;
  node.diskFull = true;
  t.match(errorOf(await ask(port, '/readyz')), { code: 'DISK_FULL' });
  node.setLeader({ id: 1, address: '' });
  t.equal((await ask(port, '/readyz')).status, 200, 'a leader has all there is');
  node.diskFull = false;
  t.equal((await ask(port, '/readyz')).status, 200);
});

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = [value];
  return value;
}
