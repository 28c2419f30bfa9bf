import fc from 'fast-check';
import t from 'tap';
import type { Test } from 'tap';
import { startServer } from '../../lib/server/index.ts';
import { Status } from '../../protocol/constants.ts';
import { FakeNode } from './support/fake-node.ts';
import { ask, errorOf } from './support/http.ts';
import type { HttpAsk } from './support/http.ts';

const json = { accept: 'application/json' };
const bytes = { accept: 'application/octet-stream' };

interface Tools {
  readonly node: FakeNode;
  readonly port: number;
  post(path: string, body: string | Uint8Array, headers?: HttpAsk['headers']): ReturnType<typeof ask>;
}

async function open(t: Test): Promise<Tools> {
  const node = new FakeNode();
  const server = await startServer({ node, listen: { port: 0 } });
  t.teardown(() => server.close());
  const post: Tools['post'] = (path, body, headers) =>
    ask(server.port, path, { method: 'POST', body, ...(headers === undefined ? {} : { headers }) });
  return { node, port: server.port, post };
}

t.test('the table of commands, as text', async (t) => {
  const { post } = await open(t);
  const check = async (path: string, body: string, status: number, text: string): Promise<void> => {
    const answer = await post(path, body);
    t.equal(answer.status, status, `${path} ${body}`);
    t.equal(answer.text, text, `${path} ${body}`);
    if (text !== '') t.equal(answer.headers['content-type'], 'text/plain; charset=utf-8');
  };
  await check('/sCreate', '1', 201, '1\n');
  await check('/sPush', '1,10', 200, '1\n');
  await check('/sPush', '1,20', 200, '2\n');
  await check('/sCreate', '1', 200, '1\n');
  await check('/sId', '1', 200, '1\n');
  await check('/sSize', '1', 200, '2\n');
  await check('/sTop', '1', 200, '20\n');
  await check('/sPop', '1', 200, '20\n');
  await check('/sPop', '1', 200, '10\n');
  await check('/sPop', '1', 204, '');
  await check('/sTop', '1', 204, '');
  await check('/sSize', '1', 200, '0\n');
  await check('/sPush', 'made by pushing,x', 200, '1\n');
  await check('/sId', 'made by pushing', 200, 'made by pushing\n');
  for (const path of ['/sId', '/sPop', '/sTop', '/sSize']) {
    const answer = await post(path, 'no such');
    t.equal(answer.status, 404, path);
    t.same(errorOf(answer), {
      code: 'NOT_FOUND',
      message: 'there is no stack "no such"',
      outcome: 'not_applied',
    });
  }
});

t.test('the table of commands, as JSON', async (t) => {
  const { post } = await open(t);
  const check = async (path: string, body: string, status: number, value: object): Promise<void> => {
    const answer = await post(path, body, json);
    t.equal(answer.status, status, path);
    t.same(JSON.parse(answer.text), value, path);
    t.equal(answer.headers['content-type'], 'application/json');
  };
  await check('/sCreate', 'a', 201, { name: 'a', created: true });
  await check('/sCreate', 'a', 200, { name: 'a', created: false });
  await check('/sPush', 'a,hello, world', 200, { size: 1 });
  await check('/sId', 'a', 200, { exists: true });
  await check('/sSize', 'a', 200, { size: 1 });
  await check('/sTop', 'a', 200, { value: 'hello, world' });
  await check('/sPop', 'a', 200, { value: 'hello, world' });
  t.equal((await post('/sPop', 'a', json)).status, 204);
});

t.test('any text comes back as it went in', async (t) => {
  const { post } = await open(t);
  const samples = [
    '',
    ',',
    ',,',
    'a,b,c',
    'grüße, 世界 🪵',
    ' leading',
    'trailing ',
    'two\nlines\r\n',
    '\u0000',
    '0',
    'null',
  ];
  for (const value of samples) {
    t.equal((await post('/sPush', `s,${value}`)).text, '1\n', JSON.stringify(value));
    t.equal((await post('/sTop', 's')).text, `${value}\n`);
    t.same(JSON.parse((await post('/sTop', 's', json)).text), { value });
    const exact = await post('/sPop', 's', bytes);
    t.equal(exact.text, value);
    t.equal(exact.headers['content-type'], 'application/octet-stream');
  }
});

t.test('any bytes come back as they went in; any name works', async (t) => {
  const { post } = await open(t);
  const name = fc
    .string({ minLength: 1, maxLength: 40, unit: 'binary' })
    .filter((s) => !s.includes(',') && Buffer.from(s).toString() === s);
  await fc.assert(
    fc.asyncProperty(name, fc.uint8Array({ maxLength: 300 }), async (name, value) => {
      t.equal((await post('/sPush', Buffer.concat([Buffer.from(`${name},`), value]))).text, '1\n');
      t.equal((await post('/sId', name)).text, `${name}\n`);
      const popped = await post('/sPop', name, bytes);
      t.same(popped.body, Buffer.from(value));
    }),
    { numRuns: 60 },
  );
});

t.test('names that objects have', async (t) => {
  const { post } = await open(t);
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '../../x', ' ']) {
    t.equal((await post('/sPush', `${name},v`)).text, '1\n', name);
    t.equal((await post('/sPop', name)).text, 'v\n', name);
  }
  t.equal(({} as Record<string, unknown>)['v'], undefined);
});

t.test('a megabyte and more', async (t) => {
  const { node, post } = await open(t);
  const value = 'é'.repeat(512 * 1024);
  t.equal((await post('/sPush', `big,${value}`)).text, '1\n');
  t.equal((await post('/sPop', 'big')).text, `${value}\n`);
  const tooLarge = await post('/sPush', `big,${'x'.repeat(node.maxFrameBytes)}`);
  t.equal(tooLarge.status, 413);
  t.equal(errorOf(tooLarge).code, 'TOO_LARGE');
  t.equal((await post('/sSize', 'big')).text, '0\n', 'and nothing came of it');
  const fits = 'x'.repeat(node.maxFrameBytes - 4_096);
  t.equal((await post('/sPush', `big,${fits}`)).text, '1\n', 'nearly a whole frame');
});

t.test('a body of unknown length is read up to the limit', async (t) => {
  const { node, port } = await open(t);
  const headers = { 'transfer-encoding': 'chunked' };
  const body = `s,${'x'.repeat(100)}`;
  t.equal((await ask(port, '/sPush', { method: 'POST', body, headers })).text, '1\n');
  const large = await ask(port, '/sPush', {
    method: 'POST',
    body: 'x'.repeat(node.maxFrameBytes),
    headers,
  }).catch(() => null);
  if (large !== null) t.equal(large.status, 413);
  t.equal(node.commandsApplied, 1);
});

t.test('what makes no sense is refused with 400', async (t) => {
  const { node, post } = await open(t);
  const cases: [string, string | Uint8Array][] = [
    ['/sPush', 'no comma'],
    ['/sPush', ',value'],
    ['/sPush', ''],
    ['/sCreate', ''],
    ['/sPop', ''],
    ['/sCreate', 'x'.repeat(1_025)],
    ['/sCreate', Uint8Array.of(0xff, 0xfe)],
  ];
  for (const [path, body] of cases) {
    const answer = await post(path, body);
    t.equal(answer.status, 400, `${path} ${body.length}`);
    t.match(errorOf(answer), { code: 'MALFORMED', outcome: 'not_applied' });
  }
  t.equal(node.commandsApplied, 0);
  t.equal((await post('/sCreate', 'x'.repeat(1_024))).status, 201, 'the longest name there can be');
});

t.test('a repeated request with the same key runs once', async (t) => {
  const { node, post } = await open(t);
  const key = { 'idempotency-key': 'order-17' };
  t.equal((await post('/sPush', 'k,1', key)).text, '1\n');
  t.equal((await post('/sPush', 'k,1', key)).text, '1\n');
  t.equal((await post('/sSize', 'k')).text, '1\n');
  const reused = await post('/sPush', 'k,2', key);
  t.equal(reused.status, 422);
  t.match(errorOf(reused), { code: 'KEY_REUSED', outcome: 'not_applied', message: /another command/ });
  const before = node.commandsApplied;
  for (const bad of ['', 'x'.repeat(256)]) {
    t.equal((await post('/sPush', 'k,3', { 'idempotency-key': bad })).status, 400, `${bad.length} bytes`);
  }
  t.equal(node.commandsApplied, before);
});

t.test('failures carry the truth about the outcome', async (t) => {
  const { node, post } = await open(t);
  const soon = { 'x-timeout-ms': '150' };
  node.setLeader(null);
  const led = await post('/sPush', 'f,1', soon);
  t.equal(led.status, 503);
  t.equal(led.headers['retry-after'], '1');
  t.equal(errorOf(led).outcome, 'not_applied');
  t.equal((await post('/sTop', 'f', soon)).status, 503);
  node.setLeader({ id: 1, address: '127.0.0.1:1' });
  t.equal((await post('/sPush', 'f,2')).text, '1\n', 'nothing came of the first');

  node.holding = true;
  const silent = await post('/sPush', 'f,3', soon);
  t.equal(silent.status, 504);
  t.match(errorOf(silent), { outcome: 'unknown' });
  const read = await post('/sTop', 'f', soon);
  t.equal(errorOf(read).outcome, 'not_applied', 'a read leaves nothing unknown');
  node.holding = false;
  node.work();
  t.equal((await post('/sSize', 'f')).text, '2\n');
});

t.test('each refusal of the cluster has its status', async (t) => {
  const { node, post } = await open(t);
  t.equal((await post('/sPush', 'r,1')).text, '1\n');
  const soon = { 'x-timeout-ms': '100' };
  const cases: [Status, number, string][] = [
    [Status.diskFull, 503, 'not_applied'],
    [Status.unauthorized, 403, 'not_applied'],
    [Status.unsupported, 400, 'not_applied'],
    [Status.limit, 409, 'not_applied'],
  ];
  for (const [status, expected, outcome] of cases) {
    node.refuseWith = status;
    const answer = await post('/sPush', 'r,2', soon);
    t.equal(answer.status, expected, `status ${status}`);
    t.equal(errorOf(answer).outcome, outcome);
  }
  node.refuseWith = Status.busy;
  t.ok([429, 503].includes((await post('/sPush', 'r,2', soon)).status), 'busy until the time was up');
  node.refuseWith = null;
  t.equal((await post('/sSize', 'r')).text, '1\n');
});

t.test('a timeout must be a number', async (t) => {
  const { post } = await open(t);
  for (const headers of [
    { 'x-timeout-ms': 'soon' },
    { 'x-timeout-ms': '0' },
    { 'request-timeout': '-1' },
    { 'x-timeout-ms': '' },
  ]) {
    t.equal((await post('/sCreate', 'x', headers)).status, 400, JSON.stringify(headers));
  }
  t.equal((await post('/sCreate', 'x', { 'request-timeout': '2.5' })).status, 201);
});

t.test('values pushed by other clients, in plain form', async (t) => {
  const { port, post } = await open(t);
  const push = (value: unknown): Promise<unknown> =>
    ask(port, '/v1/stacks/v/push', { method: 'POST', body: JSON.stringify({ value }) });
  for (const value of [5, 1.5, true, null, [1, 'two', [3]], { a: { b: [null] } }]) {
    await push(value);
    t.equal((await post('/sTop', 'v')).text, `${JSON.stringify(value)}\n`);
    t.same(JSON.parse((await post('/sPop', 'v', json)).text), { value });
  }
});
