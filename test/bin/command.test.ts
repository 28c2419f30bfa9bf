import { closeSync, existsSync, openSync, readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { Client } from '../../lib/client/index.ts';
import { startServer } from '../../lib/server/index.ts';
import { Kind } from '../../protocol/constants.ts';
import { freePorts } from '../e2e/support/ports.ts';
import { FakeNode } from '../server/support/fake-node.ts';
import { CommandHost, run } from './support/run-command.ts';
import type { CommandResult } from './support/run-command.ts';

const node = new FakeNode();
const server = await startServer({ node, listen: { port: 0 } });
node.leader = { id: 1, address: server.address };
const host = new CommandHost();
t.teardown(async () => {
  await host.close();
  await server.close();
});

const env = { CORDWOOD_ADDR: server.address };
const cordwood = (...args: string[]): Promise<CommandResult> => host.run(args, env);

async function check(
  t: Test,
  args: string[],
  code: number,
  stdout: string,
  stderr: RegExp | '' = '',
): Promise<void> {
  const result = await cordwood(...args);
  t.equal(result.code, code, args.join(' '));
  t.equal(result.stdout, stdout, args.join(' '));
  if (stderr === '') t.equal(result.stderr, '', args.join(' '));
  else {
    t.match(result.stderr, stderr, args.join(' '));
    t.equal(result.stderr.split('\n').length, 2, 'errors are one line');
  }
}

t.test('stacks from the shell', async (t) => {
  await check(t, ['create', 'a'], 0, 'created\n');
  await check(t, ['create', 'a'], 0, 'exists\n');
  await check(t, ['exists', 'a'], 0, 'yes\n');
  await check(t, ['exists', 'b'], 1, 'no\n');
  await check(t, ['push', 'a', 'one'], 0, '1\n');
  await check(t, ['push', 'a', 'two', 'three,four', ''], 0, '4\n');
  await check(t, ['push', 'a', '--json-value', '{"x":[1,null]}'], 0, '5\n');
  await check(t, ['size', 'a'], 0, '5\n');
  await check(t, ['top', 'a'], 0, '{"x":[1,null]}\n');
  await check(t, ['pop', 'a', '--json'], 0, '{"value":{"x":[1,null]}}\n');
  await check(t, ['pop', 'a', '--raw'], 0, '');
  await check(t, ['pop', 'a', '--count', '2'], 0, 'three,four\ntwo\n');
  await check(t, ['list', 'a'], 0, '1\ta\n');
  await check(t, ['pop', 'a'], 0, 'one\n');
  await check(t, ['pop', 'a'], 1, '', /^cordwood: EMPTY the stack "a" is empty \(not_applied\)\n$/);
  await check(t, ['pop', 'a', '--count', '3'], 1, '', /EMPTY/);
  await check(t, ['drop', 'a'], 0, 'dropped\n');
  await check(t, ['drop', 'a'], 1, '', /^cordwood: NOT_FOUND there is no stack "a"/);
  await check(t, ['size', 'a'], 1, '', /NOT_FOUND/);
  await check(t, ['pop', 'a'], 1, '', /NOT_FOUND/);
});

t.test('values from stdin come as they are', async (t) => {
  const input = Buffer.from([0, 255, 10, 10]);
  t.equal((await run(['push', 'bytes', '-'], { env, input })).stdout, '1\n');
  t.equal((await run(['push', 'bytes', '-'], { env, input: 'text\n' })).stdout, '2\n');
  t.equal((await cordwood('pop', 'bytes', '--raw')).stdout, 'text\n');
  t.equal((await cordwood('pop', 'bytes', '--json')).stdout, '{"value":{"$bin":"AP8KCg=="}}\n');
});

t.test('stdin that is larger than any request is refused before it fills the memory', async (t) => {
  const input = Buffer.alloc(12 << 20);
  const { code, stderr } = await run(['push', 'huge', '-'], { env, input });
  t.equal(code, 2);
  t.match(stderr, /^cordwood: TOO_LARGE stdin has more than .*\n$/);
});

t.test('a key or a value that cannot be is wrong input', async (t) => {
  const nested = `${'['.repeat(70)}${']'.repeat(70)}`;
  await check(t, ['push', 'w', 'x', '--key', ''], 2, '', /--key must have 1 to 255 bytes, not 0\n$/);
  await check(t, ['pop', 'w', '--key', 'k'.repeat(256)], 2, '', /--key must have 1 to 255 bytes, not 256\n$/);
  await check(t, ['push', 'w', '--json-value', nested], 2, '', /nests deeper/);
  await check(t, ['push', 'w', '--json-value', '"\\ud800"'], 2, '', /half a surrogate pair/);
  await check(t, ['push', 'w', '--json-value', '1e999'], 2, '', /too large/);
  await check(t, ['exists', 'w'], 1, 'no\n');
});

t.test('a key makes a repeated command run once', async (t) => {
  for (const size of ['1\n', '1\n'])
    t.equal((await cordwood('push', 'keyed', 'x', '--key', 'k1')).stdout, size);
});

t.test('JSON for programs', async (t) => {
  await check(t, ['create', 'j', '--json'], 0, '{"name":"j","created":true}\n');
  await check(t, ['exists', 'j', '--json'], 0, '{"exists":true}\n');
  await check(t, ['size', 'j', '--json'], 0, '{"size":0}\n');
  await check(t, ['push', 'j', 'v', '--json'], 0, '{"size":1}\n');
  await check(t, ['pop', 'j', '--count', '9', '--json'], 0, '{"values":["v"]}\n');
  const listed = JSON.parse((await cordwood('list', 'j', '--json')).stdout) as object;
  t.same(listed, { stacks: [{ name: 'j', size: 0 }] });
});

t.test('more stacks than one answer holds are all listed', async (t) => {
  const client = await Client.connect({ addresses: [server.address] });
  // An answer ends at about 1 MiB; nc asks for 10,000 at a time.
  const count = 10_500;
  const names = Array.from({ length: count }, (_, i) => `many${String(i).padStart(200, '0')}`);
  await Promise.all(names.map((name) => client.create(name)));
  await client.close();
  await check(t, ['list', 'many', '--limit', '1000000'], 0, names.map((name) => `0\t${name}\n`).join(''));
  const some = names.slice(1, count - 1);
  const limits = ['--after', names[0]!, '--limit', String(some.length)];
  await check(t, ['list', 'many', ...limits], 0, some.map((name) => `0\t${name}\n`).join(''));
  const { stdout } = await run(['nc'], { env, input: 'list many\n' });
  t.strictSame(
    JSON.parse(stdout),
    names.map((name) => [name, 0]),
  );
});

t.test('a command line that makes no sense', async (t) => {
  const cases: [string[], RegExp][] = [
    [['psuh', 'a', '1'], /unknown command 'psuh' \(did you mean push\?\)/],
    [['push', 'a'], /missing required argument 'value'/],
    [['pop', 'a', '--nope'], /unknown option '--nope'/],
    [['pop', 'a', '--count', 'x'], /--count must be a whole number/],
    [['pop', 'a', '--addr', 'nonsense'], /"nonsense" is not host:port/],
    [['push', 'a', '--json-value', '{'], /not JSON/],
    [['--id', '1'], /required option '--cluster/],
    [['--id', '2', '--cluster', '127.0.0.1:1', '--port', '0'], /--cluster names 1 node/],
    [['--id', '1', '--cluster', '127.0.0.1:1', '--port', '99999'], /--port must be a whole number/],
    [['local', 'up', '--base-port', '65530'], /leaves no room/],
    [['nc', '127.0.0.1:1', '--addr', '127.0.0.1:1'], /not both/],
  ];
  for (const [args, message] of cases) {
    const result = await host.run(args);
    t.equal(result.code, 2, args.join(' '));
    t.match(result.stderr, message, args.join(' '));
    t.match(result.stderr, /^cordwood: .*\n$/, args.join(' '));
    t.equal(result.stdout, '', args.join(' '));
  }
});

t.test('what a stack does not take is wrong input', async (t) => {
  await check(t, ['push', '', 'x'], 2, '', /^cordwood: BAD_COMMAND /);
  t.equal((await run(['nc'], { env, input: 'push "" x\n' })).code, 2);
});

t.test('paths that cannot be used are told with a code', async (t) => {
  const dir = t.testdir({ file: 'no backup' });
  const file = path.join(dir, 'file');
  const cluster = ['--cluster', '127.0.0.1:1'];
  const absent = path.join(dir, 'absent');
  await check(
    t,
    ['restore', absent, ...cluster, '--data', path.join(dir, 'new')],
    2,
    '',
    /^cordwood: BAD_OPTION open '.*absent': no such file or directory \(ENOENT\) \(not_applied\)\n$/,
  );
  await check(t, ['backup', path.join(absent, 'x')], 2, '', /^cordwood: BAD_OPTION .*ENOENT/);
  await check(t, ['backup', path.join(file, 'x')], 2, '', /^cordwood: BAD_OPTION .*ENOTDIR/);
  const started = await run(['--id', '1', ...cluster, '--port', '0', '--data', path.join(file, 'x')]);
  t.match(started, { code: 2, stderr: /^cordwood: BAD_OPTION .*ENOTDIR.*\n$/ });
});

t.test('a backup takes the place of a file and of nothing else', async (t) => {
  const dir = t.testdir({
    file: 'old',
    sub: {},
    link: t.fixture('symlink', 'file'),
    loose: t.fixture('symlink', 'no'),
  });
  const before = readdirSync(dir);
  const cases: [string, string[], RegExp][] = [
    ['file', [], /is there already; --force replaces it\n$/],
    ['link', [], /is there already; --force replaces it\n$/],
    ['loose', [], /is a link to what is not there\n$/],
    ['loose', ['--force'], /is a link to what is not there\n$/],
    ['sub', ['--force'], /is no file that could be replaced\n$/],
    ['/dev/null', ['--force'], /is no file that could be replaced\n$/],
  ];
  for (const [name, more, why] of cases)
    await check(t, ['backup', path.resolve(dir, name), ...more], 2, '', why);
  t.same(readdirSync(dir), before);
});

t.test('a backup that is damaged is an answer of inspect, as a damaged directory is', async (t) => {
  const file = path.join(t.testdir({ file: 'no backup' }), 'file');
  await check(t, ['inspect', file], 1, '', /^cordwood: SNAPSHOT_DAMAGED /);
  const result = await cordwood('inspect', file, '--json');
  t.match({ code: result.code, ...(JSON.parse(result.stdout) as object) }, { code: 1, file, whole: false });
});

t.test('a directory of a start that failed: the next start says what helps', async (t) => {
  const data = path.join(t.testdir(), 'data');
  const [one, two, free] = (await freePorts(3)) as [number, number, number];
  const taken = server.address.split(':')[1]!;
  const node = (peer: number, port: string): Promise<CommandResult> =>
    run(['--id', '1', '--cluster', `127.0.0.1:${peer}`, '--port', port, '--data', data]);
  t.match(await node(one, taken), { code: 5, stderr: /^cordwood: ADDRESS_IN_USE /m });
  t.match(await node(two, String(free)), {
    code: 5,
    stderr:
      /^cordwood: WRONG_CLUSTER .*; is --data another cluster’s\? .*--peer-listen .*Only if nothing is in the directory remove it/m,
  });
});

t.test('help and version', async (t) => {
  t.match(await run(['--version']), { code: 0, stdout: /^\d+\.\d+\.\d+\n$/ });
  t.match(await host.run(['--help']), { code: 0, stdout: /Usage: cordwood[^]*push[^]*Exit status/ });
  t.match(await host.run([]), { code: 0, stdout: /Usage: cordwood/ });
  t.match(await host.run(['push', '--help']), { code: 0, stdout: /Usage: cordwood push/ });
  t.match(await host.run(['help', 'pop']), { code: 0, stdout: /Usage: cordwood pop/ });
  t.match(await host.run(['start', '--help']), { code: 0, stdout: /--election-timeout-ms/ });
});

t.test('addresses from the environment that make no sense are blamed on it', async (t) => {
  const result = await host.run(['status'], { CORDWOOD_ADDR: 'foo' });
  t.match(result, { code: 2, stderr: 'cordwood: CORDWOOD_ADDR: "foo" is not host:port\n' });
  t.match(await host.run(['status', '--addr', 'foo']), { code: 2, stderr: /^cordwood: --addr: "foo" / });
});

t.test('nobody is there', async (t) => {
  const result = await host.run(['pop', 'a', '--addr', '127.0.0.1:1', '--timeout', '300']);
  t.equal(result.code, 3);
  t.equal(
    result.stderr,
    'cordwood: CONNECTION_LOST no node could be reached: 127.0.0.1:1 (ECONNREFUSED) (not_applied)\n',
  );
  t.match(await host.run(['members', '--addr', '127.0.0.1:1', '--timeout', '300']), {
    code: 3,
    stderr: /no node answers/,
  });
});

t.test('outcomes have exit statuses of their own', async (t) => {
  const silent = new FakeNode();
  const other = await startServer({ node: silent, listen: { port: 0 } });
  t.teardown(() => other.close());
  silent.leader = { id: 1, address: other.address };
  const args = ['--addr', other.address, '--timeout', '400'];
  silent.setLeader(null);
  t.match(await host.run(['push', 'a', '1', ...args]), { code: 3, stderr: /\(not_applied\)\n$/ });
  silent.setLeader({ id: 1, address: other.address });
  t.equal((await host.run(['push', 'a', '1', ...args])).code, 0);
  let losing = false;
  const submit = silent.submit.bind(silent);
  silent.submit = (bytes, start, end, sink) => {
    // Sessions open; what is pushed under them is taken and never answered.
    if (!losing || bytes[start + 4] !== Kind.command) submit(bytes, start, end, sink);
  };
  losing = true;
  t.match(await host.run(['push', 'a', '2', ...args]), { code: 4, stderr: /\(unknown\)\n$/ });
});

const FULL = '/dev/full';
t.test('an output that cannot be written', { skip: !existsSync(FULL) }, async (t) => {
  const full = openSync(FULL, 'w');
  t.teardown(() => closeSync(full));
  const cases: [string[], number, RegExp, string?][] = [
    [['push', 'full', 'one', 'two', 'three'], 4, /ENOSPC.* \(unknown\)\n$/],
    [['pop', 'full'], 4, /ENOSPC.* \(unknown\)\n$/],
    [['nc'], 4, /ENOSPC.* \(unknown\)\n$/, 'pop full\n'],
    [['top', 'full'], 3, /ENOSPC.* \(not_applied\)\n$/],
    [['exists', 'nothing'], 3, /ENOSPC.* \(not_applied\)\n$/],
    [['pop', 'nothing'], 1, /NOT_FOUND/],
    [['--version'], 3, /ENOSPC/],
  ];
  for (const [args, code, line, input = ''] of cases) {
    const { stderr, ...result } = await run(args, { env, stdout: full, input });
    t.equal(result.code, code, args.join(' '));
    t.match(stderr, line, args.join(' '));
    t.match(stderr, /^cordwood: .*\n$/, 'one line');
  }
  await check(t, ['size', 'full'], 0, '1\n');
});

t.test('what is no node and never ends its answer is not waited for', async (t) => {
  const endless = createServer((_, response) => {
    const drip = setInterval(() => response.write(' '), 20);
    response.on('close', () => clearInterval(drip));
  });
  await new Promise<void>((resolve) => endless.listen(0, '127.0.0.1', resolve));
  const addr = `127.0.0.1:${(endless.address() as AddressInfo).port}`;
  t.match(await cordwood('status', '--addr', addr, '--timeout', '200'), {
    code: 3,
    stdout: /does not answer/,
    stderr: /no node knows a leader/,
  });
  endless.close();
});

t.test('status', async (t) => {
  t.match(await cordwood('status'), { code: 0, stdout: /leader/ });
  const status = JSON.parse((await cordwood('status', '--json')).stdout) as {
    nodes: { status: { id: number } }[];
  };
  t.equal(status.nodes[0]!.status.id, 1);
  const down = (await freePorts(2)).map((port) => `127.0.0.1:${port}`);
  const peer = { id: 7, peerAddress: '127.0.0.1:3', connected: false, match: null, voter: true };
  node.peers = [{ ...peer, clientAddress: down[0]! }];
  const table = (await cordwood('status', '--addr', [...down, server.address].join(','))).stdout;
  node.peers = [{ ...peer, clientAddress: null }];
  const unmet = (await cordwood('status')).stdout;
  node.peers = [];
  t.match(unmet, /│ 7 +│ down: its address is not known +│ - +│ - +│ - +│ - +│/);
  t.match(table, new RegExp(`│ 7 +│ down: ECONNREFUSED .*${down[0]}`), 'its number is known from the others');
  t.match(table, new RegExp(`│ - +│ down: ECONNREFUSED .*${down[1]}`), 'a number nobody says is not made up');
});
