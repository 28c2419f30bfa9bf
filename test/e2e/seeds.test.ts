// What a user of the original stack server does, to the letter: five nodes, curl, nodes stopped and started by hand.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t, { type Test } from 'tap';
import { http, type HttpAnswer } from './support/http-stacks.ts';
import { freePortRange, freePorts } from './support/ports.ts';
import { cordwood, run, start, type Running } from './support/run-command.ts';
import { PROGRAM } from './support/test-node.ts';
import { until } from './support/until.ts';

/** Five client ports, 10 apart, with the peers' one below each. */
async function basePort(): Promise<number> {
  return (await freePortRange(42)) + 1;
}

interface NodeReport {
  readonly id: number;
  readonly state: string;
  readonly pid: number | null;
  readonly status: { readonly role: string } | null;
}

t.test('cordwood local up', async (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), 'cordwood-seeds-'));
  const base = await basePort();
  const clients = [0, 1, 2, 3, 4].map((i) => `127.0.0.1:${base + 10 * i}`);
  const addr = ['--addr', clients.join(',')];
  let up: Running | null = null;
  t.teardown(async () => {
    if (up !== null && up.child.exitCode === null) {
      await cordwood(['local', 'down', '--data', dir]);
      await up.finished;
    }
    rmSync(dir, { recursive: true, force: true });
  });

  const startCluster = async (): Promise<void> => {
    const args = [PROGRAM, 'local', 'up', '--data', dir, '--base-port', String(base)];
    up = start(process.execPath, args);
    const { child, stdout } = up;
    await until('the cluster says what to try', () => {
      if (child.exitCode !== null) throw new Error(`it ended: ${stdout()}`);
      return stdout().includes('Ctrl-C stops all nodes');
    });
  };
  const local = async (t: Test, ...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await cordwood(['local', ...args, '--data', dir]);
    t.equal(code, 0, `local ${args.join(' ')}: ${stderr}`);
    return stdout;
  };
  const reports = async (t: Test): Promise<readonly NodeReport[]> =>
    (JSON.parse(await local(t, 'status', '--json')) as { nodes: NodeReport[] }).nodes;

  await t.test('starts, and says so', async (t) => {
    await startCluster();
    for (const client of clients) t.match(up!.stdout(), client);
    const nodes = await reports(t);
    t.equal(nodes.length, 5);
    t.ok(nodes.every((node) => node.state === 'up'));
    t.equal(nodes.filter((node) => node.status?.role === 'leader').length, 1);
  });

  await t.test('the six commands, by curl, at every node', async (t) => {
    const curl = async (client: string, command: string, body: string): Promise<HttpAnswer> => {
      const url = `http://${client}/${command}`;
      const { code, stdout } = await run('curl', [
        '-s',
        '-L',
        url,
        '-XPOST',
        '-d',
        body,
        '-w',
        '%{http_code}',
      ]);
      // Without curl: what curl would send.
      const headers = { 'content-type': 'application/x-www-form-urlencoded' };
      if (code === null) return http(url, body, { headers });
      const text = Buffer.from(stdout);
      return { status: Number(text.subarray(-3)), body: text.subarray(0, -3), headers: {}, error: '' };
    };
    for (const [i, client] of clients.entries()) {
      const name = `curl${i}`;
      const steps: [command: string, body: string, status: number, reply: string][] = [
        ['sId', name, 404, ''],
        ['sSize', name, 404, ''],
        ['sPop', name, 404, ''],
        ['sCreate', name, 201, `${name}\n`],
        ['sPush', `${name},10`, 200, '1\n'],
        ['sCreate', name, 200, `${name}\n`],
        ['sId', name, 200, `${name}\n`],
        ['sPush', `${name},a,b,,c`, 200, '2\n'],
        ['sPush', `${name},Grüße 世界 🪵`, 200, '3\n'],
        ['sPush', `${name},`, 200, '4\n'],
        ['sSize', name, 200, '4\n'],
        ['sTop', name, 200, '\n'],
        ['sPop', name, 200, '\n'],
        ['sPop', name, 200, 'Grüße 世界 🪵\n'],
        ['sPop', name, 200, 'a,b,,c\n'],
        ['sPop', name, 200, '10\n'],
        ['sPop', name, 204, ''],
        ['sTop', name, 204, ''],
        ['sSize', name, 200, '0\n'],
        ['sPush', 'no comma here', 400, ''],
      ];
      for (const [command, body, status, reply] of steps) {
        const answer = await curl(client, command, body);
        t.equal(answer.status, status, `${client} ${command} ${body}`);
        if (status < 400) t.equal(answer.body.toString(), reply);
        else t.match(JSON.parse(answer.body.toString()), { error: { outcome: 'not_applied' } });
      }
      const accept = { accept: 'application/json' };
      const size = await http(`http://${client}/sPush`, `${name},x`, { headers: accept });
      t.strictSame(JSON.parse(size.body.toString()), { size: 1 });
      const megabyte = 'm'.repeat(1 << 20);
      t.equal((await http(`http://${client}/sPush`, `${name},${megabyte}`)).body.toString(), '2\n');
      const next = clients[(i + 1) % clients.length]!;
      t.equal(
        (await http(`http://${next}/sTop`, name)).body.toString(),
        `${megabyte}\n`,
        'read at the next node',
      );
    }
  });

  await t.test('a hundred thousand pushes through a pipe', async (t) => {
    const lines = Array.from({ length: 100_000 }, (_, i) => `push pipe ${i + 1}\n`).join('');
    const { code, stdout, stderr } = await cordwood(['nc', clients[2]!], lines);
    t.equal(code, 0, stderr);
    t.equal(stdout, Array.from({ length: 100_000 }, (_, i) => `${i + 1}\n`).join(''), 'in order');
    const top = await cordwood(['top', 'pipe', ...addr]);
    t.equal(top.stdout, '100000\n');
  });

  await t.test('nodes are stopped, started, restarted and killed meanwhile', async (t) => {
    await local(t, 'stop', '3');
    t.equal((await reports(t))[2]!.state, 'down');
    t.equal((await cordwood(['push', 'jobs', 'with three down', ...addr])).stdout, '1\n');
    await local(t, 'stop', '1');
    t.equal((await cordwood(['push', 'jobs', 'with one and three down', ...addr])).stdout, '2\n');
    await local(t, 'start', '3');
    await local(t, 'restart', '5');
    const four = (await reports(t))[3]!;
    process.kill(four.pid!, 'SIGKILL');
    await until('the supervisor to notice', async () => (await reports(t))[3]!.state === 'down');
    t.equal((await cordwood(['push', 'jobs', 'after all that', ...addr])).stdout, '3\n');
    await local(t, 'start', '1');
    await local(t, 'start', '4');
    t.ok((await reports(t)).every((node) => node.state === 'up'));
    const again = await cordwood(['local', 'start', '4', '--data', dir]);
    t.equal(again.code, 3, 'it runs already');
    t.equal(again.stderr.trim().split('\n').length, 1, again.stderr);
  });

  await t.test('Ctrl-C stops all, and a second start finds the data', async (t) => {
    up!.child.kill('SIGINT');
    const { code, stderr } = await up!.finished;
    t.equal(code, 0);
    t.equal(stderr, '');
    for (const client of clients)
      t.equal((await http(`http://${client}/sSize`, 'jobs')).error, 'ECONNREFUSED');
    const status = await cordwood(['local', 'status', '--data', dir]);
    t.equal(status.code, 2, 'nothing runs');
    await startCluster();
    t.equal((await cordwood(['pop', 'jobs', ...addr])).stdout, 'after all that\n');
    t.equal((await cordwood(['size', 'pipe', ...addr])).stdout, '100000\n');
    await local(t, 'down');
    t.equal((await up!.finished).code, 0);
  });
});

t.test('a single node, started as its users start it', async (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), 'cordwood-single-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const [client, peer] = await freePorts(2);
  // No --data: it goes below the working directory.
  const args = ['--id', '1', '--cluster', `http://127.0.0.1:${peer}`, '--port', String(client)];
  for (const [round, signal] of (['SIGINT', 'SIGTERM'] as const).entries()) {
    const node = start(process.execPath, [PROGRAM, ...args], { cwd: dir });
    const url = `http://127.0.0.1:${client}`;
    const answer = await until('the node to serve', async () => {
      const tried = await http(`${url}/sPush`, '1,10');
      return tried.status === 200 ? tried : null;
    });
    t.equal(answer.body.toString(), `${round + 1}\n`);
    node.child.kill(signal);
    t.equal((await node.finished).code, 0, signal);
  }
});
