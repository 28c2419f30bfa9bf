// Whoever reads a node's log may stop reading: the node goes on, and still ends when it is asked to.
import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import t from 'tap';
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
