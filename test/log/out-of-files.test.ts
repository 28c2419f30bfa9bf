import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import '../support/plain-start.ts';

t.test(
  'a log that needs a file while all are in use waits for one',
  { skip: process.platform === 'win32' },
  async (t) => {
    const program = fileURLToPath(new URL('./exhaust-files.js', import.meta.url));
    const command = 'ulimit -n 120 && exec "$0" "$1" "$2"';
    const { stdout } = await promisify(execFile)('sh', [
      '-c',
      command,
      process.execPath,
      program,
      t.testdir(),
    ]);
    const { held, before, durable, failures } = JSON.parse(stdout) as Record<string, unknown>;
    t.ok((held as number) > 10);
    t.ok((before as number) < 40, `${String(before)} of 40 were durable without new files`);
    t.equal(durable, 40);
    t.same(failures, []);
  },
);
