// Clients may hold all connections they can get: the node goes on, and still has files for its log.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { Client } from '../../lib/client/client.ts';
import '../support/plain-start.ts';
import { freePorts } from './support/ports.ts';
import { PROGRAM } from './support/test-node.ts';
import { until } from './support/until.ts';

t.test('idle clients leave files to the node', { skip: !fs.existsSync('/proc/self/limits') }, async (t) => {
  const [port, peer] = await freePorts(2);
  const args = ['--id', '1', '--cluster', `127.0.0.1:${peer}`, '--port', `${port}`, '--data', t.testdir()];
  const command = 'ulimit -n 320 && exec "$0" "$@"';
  const child = spawn('sh', ['-c', command, process.execPath, PROGRAM, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (log += text));
  const exited = new Promise((resolve) => child.on('exit', (code, signal) => resolve({ code, signal })));
  await using client = await Client.connect({ addresses: [`127.0.0.1:${port}`], timeoutMs: 20_000 });
  const stack = client.stack('a');
  await stack.push(1);
  t.match(log, /takes 160 client connections at most: the process may open 320 files/);

  const idle: Socket[] = [];
  let closed = 0;
  for (let i = 0; i < 330; i++) {
    const socket = connect(port!, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.on('close', () => closed++);
    // Two bytes of HTTP: nobody knows yet what will come.
    socket.write('GE');
    socket.resume();
    idle.push(socket);
  }
  t.teardown(() => idle.forEach((socket) => socket.destroy()));
  await until('those that are too many to be turned away', () => closed >= 330 - 160);
  const value = new Uint8Array(1 << 20);
  for (let i = 0; i < 24; i++) await stack.push(value);
  t.equal(await stack.size(), 25);
  child.kill('SIGTERM');
  t.strictSame(await exited, { code: 0, signal: null });
});
