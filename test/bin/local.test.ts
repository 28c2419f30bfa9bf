import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Test } from 'tap';
import {
  controlSocketPath,
  readControlFile,
  sendControl,
  serveControl,
  writeControlFile,
} from '../../bin/local/control.ts';
import { localLayout } from '../../bin/local/layout.ts';
import { LocalCluster } from '../../bin/local/local-cluster.ts';
import { checkPorts } from '../../bin/local/ports.ts';
import { nodeTable } from '../../bin/local/table.ts';
import type { ControlReply } from '../../bin/local/messages.ts';
import { freePortRange } from '../e2e/support/ports.ts';
import { start } from '../e2e/support/run-command.ts';
import { PROGRAM } from './support/run-command.ts';

const program = [process.execPath, fileURLToPath(new URL('./support/fake-program.js', import.meta.url))];

interface Bench {
  readonly cluster: LocalCluster;
  readonly dataDir: string;
  readonly said: string[];
  /** Resolves when a line that matches has been said. */
  hear(pattern: RegExp): Promise<string>;
  log(id: number): string;
}

function bench(t: Test, nodes = 3): Bench {
  const dataDir = t.testdir();
  const said: string[] = [];
  let wake = (): void => {};
  const cluster = new LocalCluster({
    nodes: localLayout(nodes),
    dataDir,
    program,
    nodeArgs: ['--log-level', 'info'],
    self: 'cordwood local',
    selfOptions: ' --data d',
    say: (line) => {
      said.push(line);
      wake();
    },
  });
  t.teardown(() => cluster.down());
  return {
    cluster,
    dataDir,
    said,
    hear: async (pattern) => {
      for (;;) {
        const line = said.find((line) => pattern.test(line));
        if (line !== undefined) return line;
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
    log: (id) => readFileSync(path.join(dataDir, `${id}.log`), 'utf8'),
  };
}

/** Node `id` behaves as `mode` says, until the test is over. */
function pretend(t: Test, id: number, mode: string): void {
  process.env['FAKE_NODE'] = String(id);
  process.env['FAKE_MODE'] = mode;
  t.teardown(() => {
    delete process.env['FAKE_NODE'];
    delete process.env['FAKE_MODE'];
  });
}

t.test('the standard layout is that of the original stack server', async (t) => {
  t.same(
    localLayout(5).map((node) => [node.clientAddress, node.peerAddress]),
    [1, 2, 3, 4, 5].map((i) => [`127.0.0.1:${i}2380`, `127.0.0.1:${i}2379`]),
  );
  t.same(
    localLayout(2, 7_380).map((node) => [node.clientPort, node.peerPort]),
    [
      [7_380, 7_379],
      [7_390, 7_389],
    ],
  );
  for (let nodes = 1; nodes <= 9; nodes++) {
    const ports = localLayout(nodes).flatMap((node) => [node.clientPort, node.peerPort]);
    t.equal(new Set(ports).size, 2 * nodes);
    t.ok(Math.max(...ports) <= 65_535);
  }
  t.throws(() => localLayout(3, 65_530), /leaves no room/);
});

t.test('up, status, down', async (t) => {
  const { cluster, dataDir, said, log } = bench(t);
  await cluster.up();
  t.equal(await cluster.leaderKnown(10_000), true);
  t.same(said, ['node 1 leads (term 7)']);
  const reports = await cluster.reports();
  t.same(
    reports.map(({ id, state, status }) => [id, state, status?.role]),
    [
      [1, 'up', 'leader'],
      [2, 'up', 'follower'],
      [3, 'up', 'follower'],
    ],
  );
  const table = nodeTable(reports);
  for (const { pid, clientAddress, peerAddress } of reports) {
    for (const text of [String(pid), clientAddress, peerAddress]) t.ok(table.includes(text), text);
  }
  const peers = 'http://127.0.0.1:12379,http://127.0.0.1:22379,http://127.0.0.1:32379';
  const data = path.join(dataDir, '2');
  t.match(log(2), `--id 2 --cluster ${peers} --port 22380 --data ${data} --log-level info`);
  await cluster.down();
  for (const id of [1, 2, 3]) t.match(log(id), /stop transfer=false/);
  t.same(
    (await cluster.reports()).map((report) => report.state),
    ['down', 'down', 'down'],
  );
});

t.test('what is shown first shows nobody as a candidate who is about to follow', async (t) => {
  pretend(t, 3, 'late');
  const { cluster, hear } = bench(t);
  await cluster.up();
  let told = false;
  const known = cluster.leaderKnown(60_000).then(() => (told = true));
  await hear(/node 1 leads/);
  t.equal(told, false, 'node 3 does not know yet');
  await cluster.reports();
  t.equal(await known, true);
});

t.test('a cluster that is stopped while it waits for a leader waits no longer', async (t) => {
  pretend(t, 1, 'late');
  const { cluster } = bench(t, 1);
  await cluster.up();
  // The test would time out before this does.
  const known = cluster.leaderKnown(600_000);
  await cluster.down();
  t.equal(await known, null);
  t.equal(await cluster.leaderKnown(600_000), null, 'nor if it is asked afterwards');
});

t.test('a cluster that is stopped while its nodes start has not failed', async (t) => {
  pretend(t, 2, 'mute');
  const { cluster, said } = bench(t);
  const up = cluster.up();
  await cluster.down();
  await t.resolves(up);
  t.same(
    (await cluster.reports()).map((report) => report.state),
    ['down', 'down', 'down'],
  );
  t.same(
    said.filter((line) => /is down/.test(line)),
    [],
  );
});

t.test('a node that is restarted while the cluster goes down stays down', async (t) => {
  const { cluster } = bench(t);
  await cluster.up();
  const restarted = cluster.handle({ command: 'restart', id: 2 });
  await cluster.down();
  t.match(await restarted, { ok: false, message: 'the cluster is going down' });
  t.same(
    (await cluster.reports()).map((report) => report.state),
    ['down', 'down', 'down'],
  );
});

t.test('Ctrl-C during the start ends the command', async (t) => {
  const basePort = String((await freePortRange(12)) + 1);
  const args = ['local', 'up', '--nodes', '2', '--base-port', basePort, '--data', t.testdir()];
  const { child, finished, stdout } = start(process.execPath, [PROGRAM, ...args]);
  child.stdout!.on('data', () => {
    if (/^starting 2 nodes/m.test(stdout()) && !child.killed) child.kill('SIGINT');
  });
  t.match(await finished, { code: 0, stdout: /stopping all nodes[^]*\nstopped\n$/ });
  t.notMatch(stdout(), /No leader yet|Try it/, 'what is going down is not introduced');
});

t.test('nodes are stopped and started one by one', async (t) => {
  const { cluster, log } = bench(t);
  await cluster.up();
  const [before] = await cluster.reports();
  t.match(await cluster.handle({ command: 'stop', id: 1 }), { ok: true, message: 'node 1 is stopped' });
  t.match(log(1), /stop transfer=true/, 'leadership is handed over first');
  t.match(await cluster.handle({ command: 'stop', id: 1 }), { ok: false, message: /down already/ });
  t.match((await cluster.handle({ command: 'status' })).nodes?.[0], { state: 'down', pid: null });
  t.match(await cluster.handle({ command: 'start', id: 1 }), {
    ok: true,
    message: /node 1 is up \(pid \d+\)/,
  });
  t.match(await cluster.handle({ command: 'start', id: 1 }), { ok: false, message: /runs already/ });
  t.match(await cluster.handle({ command: 'restart', id: 1 }), { ok: true });
  const [after] = await cluster.reports();
  t.not(after!.pid, before!.pid);
  t.match(await cluster.handle({ command: 'stop', id: 9 }), { ok: false, message: /no node 9/ });
  t.match(await cluster.handle({ command: 'dance' as 'stop' }), { ok: false });
  const ended = cluster.ended;
  t.match(await cluster.handle({ command: 'down' }), { ok: true });
  await ended;
  t.match(await cluster.handle({ command: 'start', id: 1 }), { ok: false, message: /going down/ });
});

t.test('a node that is killed from outside is reported and stays down', async (t) => {
  const { cluster, hear } = bench(t);
  await cluster.up();
  const pid = (await cluster.reports())[1]!.pid!;
  process.kill(pid, 'SIGKILL');
  t.equal(
    await hear(/^node 2/),
    'node 2 is down: killed by SIGKILL. Start it again with: cordwood local start 2 --data d',
  );
  t.match((await cluster.reports())[1], { state: 'down', pid: null, note: 'killed by SIGKILL' });
  t.match(await cluster.handle({ command: 'restart', id: 2 }), { ok: true });
  t.match((await cluster.reports())[1], { state: 'up' });
});

t.test('a frozen node is silent, not up', async (t) => {
  const { cluster } = bench(t, 1);
  await cluster.up();
  const pid = (await cluster.reports())[0]!.pid!;
  process.kill(pid, 'SIGSTOP');
  t.match((await cluster.reports())[0], { state: 'silent', status: null });
  process.kill(pid, 'SIGCONT');
  t.match((await cluster.reports())[0], { state: 'up' });
});

t.test('a node that cannot start takes the others with it, and says why', async (t) => {
  for (const [mode, reason] of [
    ['fail', /^node 2: cordwood: DIRECTORY_LOCKED somebody is here \(not_applied\) \(log: .*2\.log\)$/],
    ['crash', /^node 2: exited with status 9/],
  ] as const) {
    process.env['FAKE_NODE'] = '2';
    process.env['FAKE_MODE'] = mode;
    t.teardown(() => delete process.env['FAKE_MODE']);
    const { cluster } = bench(t);
    await t.rejects(cluster.up(), { message: reason });
    t.same(
      (await cluster.reports()).map((report) => report.pid),
      [null, null, null],
    );
    delete process.env['FAKE_MODE'];
  }
});

t.test('a log that cannot be opened ends the start, and leaves no node behind', async (t) => {
  const { cluster, dataDir } = bench(t);
  mkdirSync(path.join(dataDir, '2.log'));
  await t.rejects(cluster.up(), { code: 'EISDIR' });
  t.same(
    (await cluster.reports()).map((report) => report.pid),
    [null, null, null],
  );
});

t.test('commands come over a socket in the data directory', async (t) => {
  const dataDir = t.testdir();
  const socketPath = controlSocketPath(dataDir);
  t.equal(await sendControl(socketPath, { command: 'status' }), null, 'nobody is there');
  const seen: unknown[] = [];
  const handle = async (request: unknown): Promise<ControlReply> => {
    seen.push(request);
    if (seen.length === 2) throw new Error('went wrong');
    return { ok: true, message: 'héllo' };
  };
  const server = await serveControl(socketPath, handle);
  t.ok(server);
  t.same(await sendControl(socketPath, { command: 'stop', id: 3 }), { ok: true, message: 'héllo' });
  t.same(await sendControl(socketPath, { command: 'down' }), { ok: false, message: 'went wrong' });
  t.same(seen, [{ command: 'stop', id: 3 }, { command: 'down' }]);
  t.equal(await serveControl(socketPath, handle), null, 'one supervisor at a time');
  await new Promise((resolve) => server!.close(resolve));
});

t.test('a supervisor that is suspended is not waited for', async (t) => {
  const socketPath = controlSocketPath(t.testdir());
  // As the kernel does in its place: the connection is taken, and nobody reads.
  const frozen = createServer({ pauseOnConnect: true }, (socket) => t.teardown(() => socket.destroy()));
  t.teardown(() => frozen.close());
  await new Promise<void>((resolve) => frozen.listen(socketPath, resolve));
  const answer = { code: 'TIMEOUT', message: /suspended/ };
  await t.rejects(sendControl(socketPath, { command: 'status' }, 20), { ...answer, outcome: 'not_applied' });
  await t.rejects(sendControl(socketPath, { command: 'stop', id: 1 }, 20), { ...answer, outcome: 'unknown' });
});

t.test('a supervisor that is busy with a command says that it is there', async (t) => {
  const socketPath = controlSocketPath(t.testdir());
  let finish = (): void => {};
  const done = new Promise<void>((resolve) => (finish = resolve));
  const server = await serveControl(socketPath, async () => {
    await done;
    return { ok: true, message: 'done' };
  });
  const socket = connect(socketPath).setEncoding('utf8');
  socket.write('{"command":"stop","id":1}\n');
  t.equal(((await once(socket, 'data')) as [string])[0], '\n');
  finish();
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  t.same(JSON.parse(text), { ok: true, message: 'done' });
  const asked = sendControl(socketPath, { command: 'start', id: 1 });
  t.same(await asked, { ok: true, message: 'done' });
  await new Promise((resolve) => server!.close(resolve));
});

t.test('what a killed supervisor left behind is taken over', async (t) => {
  const dataDir = t.testdir();
  const socketPath = controlSocketPath(dataDir);
  writeFileSync(socketPath, '');
  const server = await serveControl(socketPath, async () => ({ ok: true, message: 'new' }));
  t.match(await sendControl(socketPath, { command: 'status' }), { message: 'new' });
  await new Promise((resolve) => server!.close(resolve));
});

t.test('a directory with a long name has its socket elsewhere', async (t) => {
  const dataDir = path.join(t.testdir({ ['x'.repeat(120)]: {} }), 'x'.repeat(120));
  const socketPath = controlSocketPath(dataDir);
  t.ok(Buffer.byteLength(socketPath) < 104);
  t.equal(controlSocketPath(dataDir), socketPath);
});

t.test('the directory remembers its cluster', async (t) => {
  const dataDir = t.testdir();
  t.equal(readControlFile(dataDir), null);
  const content = { version: 1, nodes: 3, basePort: null, pid: 1 } as const;
  writeControlFile(dataDir, content);
  t.same(readControlFile(dataDir), content);
  t.notOk(existsSync(path.join(dataDir, 'cluster.json.new')));
  writeFileSync(path.join(dataDir, 'cluster.json'), '{"nodes":');
  t.equal(readControlFile(dataDir), null, 'half a file is none');
});

t.test('taken ports are named', async (t) => {
  const blocker = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => blocker.once('listening', resolve));
  t.teardown(() => blocker.close());
  const { port } = blocker.address() as AddressInfo;
  const [node] = localLayout(1);
  await t.rejects(checkPorts([{ ...node!, clientPort: port, peerPort: 0 }]), {
    code: 'ADDRESS_IN_USE',
    message: new RegExp(`^port ${port} is in use`),
  });
  await t.resolves(checkPorts([{ ...node!, clientPort: 0, peerPort: 0 }]));
});
