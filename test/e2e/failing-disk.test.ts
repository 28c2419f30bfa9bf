// A disk that fails while the process is still getting ready: the node says so and ends as it would later.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import t from 'tap';
import { freePorts } from './support/ports.ts';
import { PROGRAM } from './support/test-node.ts';

t.test('a disk that fails right after the start', { skip: process.platform === 'win32' }, async (t) => {
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
  // Less than a segment of the log may take: the first write goes wrong.
  const limited = ['-c', 'ulimit -f 1000 && exec "$@"', 'sh', process.execPath, PROGRAM, ...args];
  const child = spawn('sh', limited, { stdio: ['ignore', 'ignore', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (log += text));
  t.strictSame(await once(child, 'close'), [5, null]);
  t.match(log, /^.* ERROR the node stops {2}err="the disk failed: EFBIG: file too large, write"$/m);
  t.match(log, /^cordwood: LOG_FAILED the disk failed: EFBIG.* \(not_applied\)\n$/m);
  // It may have been up before the first write went wrong, and cannot be after it.
  t.notMatch(log, /the node stops[^]*node is up/);
});
