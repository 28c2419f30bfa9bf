// Whoever reads a node's log may stop reading: the node goes on, and still ends when it is asked to.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { http } from './support/http-stacks.ts';
import { freePorts } from './support/ports.ts';
import { PROGRAM } from './support/test-node.ts';
import { until } from './support/until.ts';

for (const format of ['human', 'json']) {
  t.test(`a log nobody reads, ${format}`, async (t) => {
    const [client, peer] = await freePorts(2);
    const args = [
      '--id',
      '1',
      '--cluster',
      `127.0.0.1:${peer}`,
      '--port',
      String(client),
      '--data',
      t.testdir(),
    ];
    const more = ['--log-level', 'debug', '--log-format', format];
    const child = spawn(process.execPath, [PROGRAM, ...args, ...more], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    t.teardown(() => child.kill('SIGKILL'));
    const exited = new Promise((resolve) => child.on('exit', (code, signal) => resolve({ code, signal })));
    child.stderr.pause();
    const url = `http://127.0.0.1:${client}/sPush`;
    await until(
      'the node to serve',
      async () => (await http(url, 'a,1', { timeoutMs: 1000 })).status === 200,
    );
    // Each is worth a line: more than any pipe holds.
    for (let round = 0; round < 40; round++) {
      await Promise.all(Array.from({ length: 100 }, () => nonsense(client!)));
    }
    t.equal((await http(url, 'a,1')).status, 200);
    child.kill('SIGTERM');
    t.strictSame(await exited, { code: 0, signal: null });
  });
}

/** A node alone that keeps its data in `dir`, with stderr in the file `log`, and how it ends. */
async function logTo(
  t: Test,
  dir: string,
  log: string,
  ...more: string[]
): Promise<{ child: ChildProcess; port: number; exited: Promise<unknown> }> {
  const [port, peer] = (await freePorts(2)) as [number, number];
  const args = ['--id', '1', '--cluster', `127.0.0.1:${peer}`, '--port', String(port)];
  const fd = openSync(log, 'w');
  const child = spawn(process.execPath, [PROGRAM, ...args, '--data', dir, ...more], {
    stdio: ['ignore', 'ignore', fd],
  });
  closeSync(fd);
  t.teardown(() => child.kill('SIGKILL'));
  return { child, port, exited: once(child, 'exit') };
}

async function serving(port: number): Promise<void> {
  const health = `http://127.0.0.1:${port}/healthz`;
  await until('the node to serve', async () => (await http(health, '', { method: 'GET' })).status === 200);
}

const FULL = '/dev/full';
const skip = !existsSync(FULL);

t.test('a log that cannot be written does not keep a node that is asked to end', { skip }, async (t) => {
  const { child, port, exited } = await logTo(t, t.testdir(), FULL);
  await serving(port);
  child.kill('SIGTERM');
  t.strictSame(await exited, [0, null]);
});

t.test('a log that cannot be written does not keep a node that is told twice', { skip }, async (t) => {
  const { child, port, exited } = await logTo(t, t.testdir(), FULL);
  await serving(port);
  // It waits a while for the rest of this request.
  const half = connect(port, '127.0.0.1');
  half.on('error', () => {});
  half.write('POST /sPush HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\na');
  await once(half, 'data');
  child.kill('SIGTERM');
  await until(
    'the first signal to be taken',
    async () => (await http(`http://127.0.0.1:${port}/`)).status === 0,
  );
  child.kill('SIGTERM');
  t.strictSame(await exited, [143, null]);
  half.destroy();
});

t.test('a log that cannot be written does not keep a node that has a fault', { skip }, async (t) => {
  const dir = t.testdir();
  const { port, child, exited } = await logTo(t, path.join(dir, 'a'), FULL);
  await serving(port);
  const taken = await logTo(t, path.join(dir, 'b'), FULL, '--port', String(port));
  t.strictSame(await taken.exited, [5, null]);
  child.kill('SIGKILL');
  await exited;
});

t.test('a log in a file has every line, to the last', async (t) => {
  const dir = t.testdir();
  const [log, failed] = [path.join(dir, 'log'), path.join(dir, 'failed')];
  const { child, port, exited } = await logTo(t, path.join(dir, 'a'), log);
  await serving(port);
  const taken = await logTo(t, path.join(dir, 'b'), failed, '--port', String(port));
  t.strictSame(await taken.exited, [5, null]);
  t.match(readFileSync(failed, 'utf8'), /^cordwood: ADDRESS_IN_USE [^\n]*\n$/m);
  child.kill('SIGTERM');
  t.strictSame(await exited, [0, null]);
  t.match(readFileSync(log, 'utf8'), / node is up [^]* stopping [^]* INFO {2}stopped {2}id=1\n$/);
});

function nonsense(port: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.on('close', () => {
      resolve();
    });
    socket.resume();
    socket.write('\u0001\u0002 nonsense');
  });
}
