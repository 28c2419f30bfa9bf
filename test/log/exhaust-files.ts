import fs from 'node:fs';
import { DataDirectory, openLogStore } from '../../lib/log/index.ts';
import { pause, until } from '../e2e/support/until.ts';
import { entry, tinySizes, writeOf } from './helpers.ts';

// Started by out-of-files.test.ts where few files may be open: holds all that are left while the log needs new ones.
const LAST = 40;
// What is at rest is read meanwhile: that needs files, too, and nothing may wait for it.
const sizes = { ...tinySizes, scrubIntervalMs: 20 };
const path = process.argv[2]!;
const members = [{ id: 1, peerAddress: 'localhost:1' }];
const directory = await DataDirectory.open({ path, clusterId: 'c', nodeId: 1, members, sizes });
const failures: string[] = [];
let durable = 0;
let finish: () => void = () => undefined;
const finished = new Promise<void>((resolve) => {
  finish = resolve;
});
const log = await openLogStore({
  directory,
  sizes,
  events: {
    onDurable: (ticket) => {
      durable = ticket;
      if (ticket === LAST) finish();
    },
    onFailure: (error) => {
      failures.push(error.message);
      finish();
    },
  },
});
log.append(writeOf(1, [entry(1, 1, 1, 8)], { term: 1, vote: 1 }));
await until('the log to have begun', () => durable === 1);
const held: number[] = [];
try {
  for (;;) held.push(fs.openSync('/dev/null', 'r'));
} catch {
  // All are in use now.
}
log.append(writeOf(2, [entry(2, 1, 1, 8)]));
await until('what needs no new file to be durable', () => durable === 2, 10_000);
for (let i = 3; i <= LAST; i++) log.append(writeOf(i, [entry(i, 1, i & 255, 200)]));
await pause(300);
const before = durable;
for (const fd of held) fs.closeSync(fd);
await finished;
process.stdout.write(JSON.stringify({ held: held.length, before, durable, failures }));
process.exit(0);
