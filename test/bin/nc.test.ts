import { PassThrough, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import fc from 'fast-check';
import t from 'tap';
import type { Test } from 'tap';
import { converse } from '../../bin/nc/run-nc.ts';
import { Client } from '../../lib/client/index.ts';
import { startServer } from '../../lib/server/index.ts';
import type { Server } from '../../lib/server/index.ts';
import { FakeNode } from '../server/support/fake-node.ts';
import { PROGRAM, run } from './support/run-command.ts';

interface Bench {
  readonly node: FakeNode;
  readonly server: Server;
  readonly client: Client;
  /** Sends whole lines and resolves to the lines that came back. */
  talk(
    input: string | Buffer,
    options?: { json?: boolean; window?: number },
  ): Promise<{ lines: string[]; code: number }>;
}

async function open(t: Test): Promise<Bench> {
  const node = new FakeNode();
  const server = await startServer({ node, listen: { port: 0 } });
  node.leader = { id: 1, address: server.address };
  const client = await Client.connect({ addresses: [server.address] });
  t.teardown(async () => {
    await client.close();
    await server.close();
  });
  return {
    node,
    server,
    client,
    talk: async (typed, { json = false, window = 256 } = {}) => {
      const input = new PassThrough();
      const output = new PassThrough();
      const chunks: Buffer[] = [];
      output.on('data', (chunk: Buffer) => chunks.push(chunk));
      const code = converse(client, input, output, { timeout: 5_000, window, json }, false);
      input.end(typed);
      const done = await code;
      const lines = Buffer.concat(chunks).toString().split('\n');
      lines.pop();
      return { lines, code: done };
    },
  };
}

t.test('a line in, a line out', async (t) => {
  const { talk } = await open(t);
  const session: [string, string][] = [
    ['create a', 'created'],
    ['create a', 'exists'],
    ['push a one two  three ', '1'],
    ['push a ', '2'],
    ['size a', '2'],
    ['top a', ''],
    ['pop a', ''],
    ['PUSH a UTF-8: grüße 🪵', '2'],
    ['pop a', 'UTF-8: grüße 🪵'],
    ['pop a', 'one two  three '],
    ['pop a', 'ERR EMPTY the stack "a" is empty'],
    ['pop b', 'ERR NOT_FOUND there is no stack "b"'],
    ['exists b', 'no'],
    ['push "with space" 1', '1'],
    ['push "\\u0031\\"" 1', '1'],
    ['list', '[["1\\"",1],["a",0],["with space",1]]'],
    ['list with', '[["with space",1]]'],
    ['drop a', 'dropped'],
    ['exists a', 'no'],
  ];
  const { lines, code } = await talk(session.map(([line]) => `${line}\n`).join(''));
  t.same(
    lines,
    session.map(([, reply]) => reply),
  );
  t.equal(code, 0);
});

t.test('lines that make no sense are answered like the others, and end in status 2', async (t) => {
  const { talk } = await open(t);
  const { lines, code } = await talk(
    'nonsense\npush\npush a\n\n   \npop a b\nlist a b\nlist a \npush "a 1\npush "a"x 1\nsize a\r\n',
  );
  t.equal(lines.length, 9, 'empty lines are skipped');
  for (const line of lines.slice(0, 8)) t.match(line, /^ERR MALFORMED /);
  t.match(lines[8], /^ERR NOT_FOUND/);
  t.equal(code, 2);
  t.match((await talk('nonsense\n', { json: true })).lines[0], /^\{"error":\{"code":"MALFORMED"/);
});

t.test('values that are more than a line stay one line', async (t) => {
  const { talk, node } = await open(t);
  const client = Client.local(node);
  await client.push('v', 'two\nlines');
  await client.push('v', { a: [1] });
  await client.push('v', Uint8Array.of(1));
  await client.close();
  t.same((await talk('pop v\npop v\npop v')).lines, ['{"$bin":"AQ=="}', '{"a":[1]}', '"two\\nlines"']);
  t.same((await talk('push v x\npop v\npop v\npush v y\nsize v', { json: true })).lines, [
    '{"size":1}',
    '{"value":"x"}',
    '{"empty":true}',
    '{"size":1}',
    '{"size":1}',
  ]);
});

t.test('quit ends it where it stands; help and status are lines too', async (t) => {
  const { talk } = await open(t);
  const { lines } = await talk('push q 1\nhelp\nstatus\nquit\npush q 2\n');
  t.equal(lines.length, 3);
  t.match(lines[1], /^push NAME VALUE \| /);
  t.match(JSON.parse(lines[2]!), { id: 1, role: 'leader' });
  t.same((await talk('size q')).lines, ['1']);
});

t.test('any lines, any window, any cuts: as if done one after the other', async (t) => {
  const { talk } = await open(t);
  let round = 0;
  const step = fc.constantFrom('push', 'push', 'pop', 'top', 'size', 'exists');
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 80 }),
      fc.integer({ min: 1, max: 40 }),
      async (steps, window) => {
        const name = `model${++round}`;
        const model: string[] = [];
        let made = false;
        const expected = steps.map((op, i) => {
          if (op === 'push') {
            made = true;
            return String(model.push(`v${i}`));
          }
          if (op === 'exists') return made ? 'yes' : 'no';
          if (!made) return `ERR NOT_FOUND there is no stack "${name}"`;
          if (op === 'size') return String(model.length);
          const value = op === 'pop' ? model.pop() : model.at(-1);
          return value ?? `ERR EMPTY the stack "${name}" is empty`;
        });
        const input = steps.map((op, i) => `${op} ${name}${op === 'push' ? ` v${i}` : ''}\n`).join('');
        t.same((await talk(input, { window })).lines, expected);
      },
    ),
    { numRuns: 60 },
  );
});

t.test('a hundred thousand pushes are answered in order', async (t) => {
  const { server } = await open(t);
  const count = 100_000;
  const input = Array.from({ length: count }, (_, i) => `push 1 ${i}\n`).join('');
  const { code, stdout, stderr } = await run(['nc', server.address], { input });
  t.equal(code, 0);
  t.equal(stderr, '');
  t.equal(stdout, Array.from({ length: count }, (_, i) => `${i + 1}\n`).join(''));
});

t.test('an output that is not taken stops the input', async (t) => {
  const { client } = await open(t);
  const input = new PassThrough();
  let take: () => void = () => {};
  const taken: Buffer[] = [];
  const output = new Writable({
    highWaterMark: 10,
    write(chunk: Buffer, _encoding, done) {
      taken.push(chunk);
      take = done;
    },
  });
  const done = converse(client, input, output, { timeout: 5_000, window: 16 }, false);
  let written = 0;
  // Until the input is full, which it never would be if the runner went on reading.
  while (input.write(`push slow ${++written}\n`)) await new Promise(setImmediate);
  t.ok(written < 100_000);
  const size = await client.size('slow');
  t.ok(size <= 16 + written, 'no more under way than the window allows');
  input.end();
  output._write = (chunk: Buffer, _encoding, next) => {
    taken.push(chunk);
    next();
  };
  take();
  t.equal(await done, 0);
  const lines = Buffer.concat(taken).toString().trimEnd().split('\n');
  t.same(
    lines,
    Array.from({ length: written }, (_, i) => String(i + 1)),
  );
});

t.test('a line that is too long ends it; those before it are carried out and answered', async (t) => {
  const { client } = await open(t);
  const input = new PassThrough();
  const output = new PassThrough();
  const done = converse(client, input, output, { timeout: 5_000, window: 16 }, false);
  input.write(`push early 1\npush early 2\npush early ${'x'.repeat(5 << 20)}`);
  input.write('\npush early 3\n');
  await t.rejects(done, { message: /a line is longer than \d+ bytes/ });
  t.equal(input.destroyed, true);
  t.equal(String(output.read()), '1\n2\n');
  t.equal(await client.size('early'), 2, 'what follows it is no line');
});

t.test('an input that breaks is told, and no line is taken any more', async (t) => {
  const { client } = await open(t);
  const input = new PassThrough();
  const output = new PassThrough();
  const done = converse(client, input, output, { timeout: 5_000, window: 16 }, false);
  input.write('push broken 1\n');
  await once(output, 'readable');
  input.destroy(new Error('the pipe broke'));
  await t.rejects(done, { message: 'the pipe broke' });
  t.equal(String(output.read()), '1\n');
});

t.test('few long lines are under way at a time', async (t) => {
  const { client } = await open(t);
  const input = new PassThrough({ highWaterMark: 64 << 20 });
  const output = new PassThrough();
  const done = converse(client, input, output, { timeout: 5_000, window: 1000 }, false);
  let most = 0;
  const watch = (): void => {
    most = Math.max(most, client.outstanding);
    if (!input.destroyed) setImmediate(watch);
  };
  watch();
  for (let i = 0; i < 40; i++) input.write(`push long ${'x'.repeat(1 << 20)}\n`);
  input.end();
  t.equal(await done, 0);
  t.equal(await client.size('long'), 40);
  t.ok(most > 1 && most <= 17, `${most} under way`);
});

t.test('it ends when the last replies were taken late', async (t) => {
  const { client } = await open(t);
  const input = new PassThrough();
  let take: (() => void) | undefined;
  let wroteAll = (): void => {};
  const full = new Promise<void>((resolve) => (wroteAll = resolve));
  const output = new Writable({
    highWaterMark: 1,
    write(_chunk, _encoding, done) {
      take = done;
      wroteAll();
    },
  });
  const done = converse(client, input, output, { timeout: 5_000, window: 16 }, false);
  input.end('push late 1\n');
  await full;
  // Nothing but the output is waited for any more.
  await new Promise(setImmediate);
  take!();
  t.equal(await done, 0);
});

t.test('whoever reads the replies may stop: no noise, no wait', async (t) => {
  const { server } = await open(t);
  const child = spawn(process.execPath, [PROGRAM, 'nc', server.address]);
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdin.on('error', () => {});
  child.stdin.write('push closed 1\n');
  await once(child.stdout, 'data');
  child.stdout.destroy();
  const flood = setInterval(() => child.stdin.write('push closed x\n'.repeat(1_000)), 1);
  const [code] = (await once(child, 'close')) as [number];
  clearInterval(flood);
  t.equal(code, 0);
  t.equal(stderr, '');
});

t.test('--hex shows the frames on stderr and changes nothing else', async (t) => {
  const { server } = await open(t);
  const { code, stdout, stderr } = await run(['nc', '--hex', server.address], { input: 'push h hello\n' });
  t.equal(code, 0);
  t.equal(stdout, '1\n');
  t.match(stderr, /^> preamble, 8 bytes\n>   0000 {2}f5 43 57 44 01 01 00 00/m);
  t.match(stderr, /^< welcome #0, \d+ bytes$/m);
  t.match(stderr, /^> command #\d+, \d+ bytes$/m);
  t.match(stderr, /hello/);
  t.match(stderr, /^< response #\d+, \d+ bytes$/m);
});

t.test('the end of the cluster is told line by line', async (t) => {
  const { node, talk } = await open(t);
  t.same((await talk('push e 1\n')).lines, ['1']);
  node.setLeader(null);
  const input = new PassThrough();
  const output = new PassThrough();
  const client = Client.local(node);
  const done = converse(client, input, output, { timeout: 200, window: 10 }, false);
  input.end('push e 2\nsize e\n');
  t.equal(await done, 3);
  const lines = (await text(output.end())).trimEnd().split('\n');
  t.equal(lines.length, 2);
  for (const line of lines) t.match(line, /^ERR [A-Z_]+ /);
  await client.close();
});
