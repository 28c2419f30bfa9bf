import { fork } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import t from 'tap';
import '../support/plain-start.ts';
import { DataDirectory } from '../../lib/log/data-directory.ts';
import { type DirectoryLock, lockDirectory } from '../../lib/log/directory-lock.ts';
import { openLogStore } from '../../lib/log/open-log-store.ts';
import { decodeIdentity, encodeIdentity } from '../../lib/log/identity.ts';
import type { Ending } from '../support/ending.ts';

const members = [{ id: 1, peerAddress: 'localhost:12379' }];
const options = (path: string) => ({ path, clusterId: 'wood', nodeId: 1, members });

t.test('a directory is made once and known again', async (t) => {
  const path = t.testdir();
  const first = await DataDirectory.open(options(path));
  t.equal(first.isNew, true);
  t.match(first.identity.incarnation, /^[0-9a-f-]{36}$/);
  t.match(first.identity, { clusterId: 'wood', nodeId: 1, members });
  await first.close();
  await first.close();
  const second = await DataDirectory.open({ ...options(path), members: [] });
  t.equal(second.isNew, false);
  t.same(second.identity, first.identity, 'what it was made with counts');
  t.equal(second.owner, first.owner);
  await second.close();
  const other = await DataDirectory.open(options(`${path}/other`));
  t.not(other.identity.incarnation, first.identity.incarnation);
  t.not(other.owner, first.owner);
  await other.close();
});

t.test('the wrong cluster and the wrong node are refused, and the lock is given back', async (t) => {
  const path = t.testdir();
  await (await DataDirectory.open(options(path))).close();
  await t.rejects(DataDirectory.open({ ...options(path), clusterId: 'iron' }), { code: 'WRONG_CLUSTER' });
  await t.rejects(DataDirectory.open({ ...options(path), nodeId: 2 }), { code: 'WRONG_NODE' });
  await (await DataDirectory.open(options(path))).close();
});

t.test('a second process is refused at once, and let in when the first was killed', async (t) => {
  const path = t.testdir();
  const child = fork(new URL('./hold-directory.js', import.meta.url), [path], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  await once(child, 'message');
  await t.rejects(DataDirectory.open(options(path)), {
    code: 'DIRECTORY_LOCKED',
    message: new RegExp(`process ${child.pid!}`),
  });
  child.kill('SIGKILL');
  await once(child, 'exit');
  const directory = await DataDirectory.open(options(path));
  t.equal(directory.isNew, false);
  await t.rejects(DataDirectory.open(options(path)), { code: 'DIRECTORY_LOCKED', message: /this process/ });
  await directory.close();
});

t.test(
  'a disk without room for the process number does not keep a node from starting',
  { skip: process.platform !== 'linux' },
  async (t) => {
    const path = t.testdir();
    await (await DataDirectory.open(options(path))).close();
    fs.symlinkSync('/dev/full', `${path}/LOCK`);
    const directory = await DataDirectory.open(options(path));
    await t.rejects(DataDirectory.open(options(path)), { code: 'DIRECTORY_LOCKED' });
    await directory.close();
  },
);

t.test('a directory whose LOCK cannot be written for another reason is given back', async (t) => {
  const path = t.testdir();
  fs.mkdirSync(`${path}/LOCK`);
  await t.rejects(DataDirectory.open(options(path)), { code: 'BAD_OPTION' });
  fs.rmdirSync(`${path}/LOCK`);
  await (await DataDirectory.open(options(path))).close();
});

/** Where there are no abstract sockets: 'darwin'. */
function pretendToBeOn(t: Ending, value: string): void {
  const { platform } = process;
  Object.defineProperty(process, 'platform', { value });
  t.teardown(() => Object.defineProperty(process, 'platform', { value: platform }));
}

t.test('where there are no abstract sockets, a file is the lock', async (t) => {
  const path = t.testdir();
  pretendToBeOn(t, 'darwin');
  const lock = await lockDirectory(path);
  await t.rejects(lockDirectory(path), { code: 'DIRECTORY_LOCKED' });
  await lock.release();
  await lock.release();
  fs.writeFileSync(`${path}/LOCK`, '999999999\n');
  const second = await lockDirectory(path);
  await second.release();
  t.equal(fs.existsSync(`${path}/LOCK`), false);
});

t.test('two processes that find the lock of a dead one do not both get it', async (t) => {
  const path = t.testdir({ LOCK: '999999999\n' });
  pretendToBeOn(t, 'darwin');
  // The second comes when the first has judged the dead one, and has not replaced it.
  const { kill } = process;
  t.teardown(() => (process.kill = kill));
  let second: Promise<DirectoryLock> | null = null;
  process.kill = (pid, signal) => {
    process.kill = kill;
    second = lockDirectory(path);
    return kill(pid, signal);
  };
  const first = lockDirectory(path);
  const outcomes = await Promise.allSettled([first, second!]);
  t.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
  t.match(
    outcomes.find(({ status }) => status === 'rejected'),
    {
      reason: { code: 'DIRECTORY_LOCKED', message: /is being taken by this process; .* remove .*LOCK\.new/ },
    },
  );
  await t.rejects(lockDirectory(path), { code: 'DIRECTORY_LOCKED', message: /in use by this process/ });
  await (await first).release();
  await (await lockDirectory(path)).release();
});

t.test(
  'a note that cannot be removed, as on a disk that is read-only by now, keeps nobody from closing',
  async (t) => {
    const path = t.testdir();
    for (const platform of [process.platform, 'darwin']) {
      pretendToBeOn(t, platform);
      const lock = await lockDirectory(path);
      fs.rmSync(`${path}/LOCK`);
      fs.mkdirSync(`${path}/LOCK`);
      await lock.release();
      fs.rmdirSync(`${path}/LOCK`);
      await (await lockDirectory(path)).release();
    }
  },
);

t.test(
  'an interrupted creation starts over; a log that lost its identity is not taken for new',
  async (t) => {
    const path = t.testdir();
    const first = await DataDirectory.open(options(path));
    await first.close();
    // Everything but the last step.
    fs.rmSync(`${path}/identity`);
    fs.writeFileSync(`${path}/identity.tmp`, 'half');
    const second = await DataDirectory.open(options(path));
    t.equal(second.isNew, true);
    await second.close();

    const { openLogFiles } = await import('../../lib/log/open-log-files.ts');
    const { defaultLogSizes } = await import('../../lib/log/log-options.ts');
    const { NodeDisk } = await import('../../lib/log/node-disk.ts');
    const settings = { sizes: defaultLogSizes, owner: second.owner, random: () => {} };
    const { engine } = openLogFiles(new NodeDisk(), path, settings, false);
    engine.write([
      { ticket: 1, hardState: { term: 4, vote: 2 }, resetTo: null, first: 0, last: 0, records: [] },
    ]);
    engine.close();
    fs.rmSync(`${path}/identity`);
    await t.rejects(DataDirectory.open(options(path)), { code: 'LOG_DAMAGED', message: /identity/ });
  },
);

t.test('an identity that is missing, cut, another node’s or of an earlier life is refused', async (t) => {
  const path = t.testdir();
  const directory = await DataDirectory.open(options(path));
  directory.peers.remember(2, 'two');
  await directory.close();
  const good = fs.readFileSync(`${path}/identity`);
  const foreign = encodeIdentity({ ...directory.identity, nodeId: 2 });

  fs.rmSync(`${path}/identity`);
  fs.rmSync(`${path}/log`, { recursive: true });
  await t.rejects(DataDirectory.open(options(path)), { code: 'LOG_DAMAGED', message: /identity/ });
  for (const length of [0, 1, good.length >> 1, good.length - 2]) {
    fs.writeFileSync(`${path}/identity`, good.subarray(0, length));
    await t.rejects(DataDirectory.open(options(path)), { code: 'LOG_DAMAGED', message: /identity/ });
  }
  fs.writeFileSync(`${path}/identity`, foreign);
  await t.rejects(DataDirectory.open(options(path)), { code: 'WRONG_NODE' });
});

t.test('under the identity of an earlier life no vote is known, and the node cannot start', async (t) => {
  const path = t.testdir();
  const directory = await DataDirectory.open(options(path));
  await directory.close();
  const earlier = encodeIdentity({ ...directory.identity, incarnation: 'an earlier life' });
  fs.writeFileSync(`${path}/identity`, earlier);
  const stale = await DataDirectory.open(options(path));
  const log = await openLogStore({
    directory: stale,
    events: { onDurable: () => undefined, onFailure: () => undefined },
  });
  t.match(log.recovery.damage?.reason, /another node/);
  t.equal(log.recovery.hardStateKnown, false, 'the node refuses to start with this');
  await log.close();
  await stale.close();
});

t.test('a path that cannot be a data directory is a wrong option, with a code', async (t) => {
  const path = t.testdir({ file: 'in the way' });
  for (const wrong of [`${path}/file`, `${path}/file/below`, `${path}/${'long'.repeat(100)}`]) {
    await t.rejects(DataDirectory.open(options(wrong)), { code: 'BAD_OPTION', message: wrong });
  }
});

t.test('an identity that changed in any byte is refused', async (t) => {
  const identity = { clusterId: 'wood', nodeId: 3, incarnation: 'x', members, createdMs: 5 };
  const bytes = encodeIdentity(identity);
  t.same(decodeIdentity(bytes, 'f'), identity);
  for (let i = 0; i < bytes.length - 1; i++) {
    const rotten = Uint8Array.from(bytes);
    rotten[i]! ^= 1;
    t.throws(() => decodeIdentity(rotten, 'f'), { code: 'LOG_DAMAGED' });
  }
  const newer = Buffer.from(encodeIdentity({ ...identity, format: 2 } as never));
  t.throws(() => decodeIdentity(newer, 'f'), { code: 'INCOMPATIBLE_VERSION' });
});
