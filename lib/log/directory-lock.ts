import fs from 'node:fs';
import net from 'node:net';
import { CordwoodError } from '../../protocol/errors.ts';
import { isDiskFull } from './disk-error.ts';

/** Released when the process ends, however it ends. */
export interface DirectoryLock {
  release(): Promise<void>;
}

/**
 * Takes the lock of a directory or fails with `DIRECTORY_LOCKED`.
 *
 * On Linux it is an abstract socket named for the directory's device and inode: the kernel gives it back when the
 * process dies, there is no stale lock to judge, and a second path to the same directory finds it too. Such names
 * belong to a network namespace: two containers that share a volume but no network do not see each other's.
 * Elsewhere it is a file that holds the process's number.
 *
 * Whoever only looks takes it with `traceless` and, where the lock is a socket, leaves the directory as it is.
 */
export async function lockDirectory(path: string, traceless = false): Promise<DirectoryLock> {
  const file = `${path}/LOCK`;
  return process.platform === 'linux' ? lockBySocket(path, file, traceless) : lockByFile(path, file);
}

async function lockBySocket(path: string, file: string, traceless: boolean): Promise<DirectoryLock> {
  const { dev, ino } = fs.statSync(path, { bigint: true });
  const server = net.createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'EADDRINUSE' ? locked(path, readPid(file)) : error);
    });
    server.listen(`\0cordwood-data:${dev.toString()}:${ino.toString()}`, resolve);
  });
  server.unref();
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => {
        resolve();
      });
    });
  if (!traceless) {
    try {
      notePid(file);
    } catch (error) {
      await close();
      throw error;
    }
  }
  return {
    release: async () => {
      if (!server.listening) return;
      if (!traceless) removeNote(file);
      await close();
    },
  };
}

/**
 * For whoever looks, and for the message a second process gives; the lock is the socket. A full disk, which may have no
 * room for it, is no reason not to start: the log has a reserve, and starting is how a node gets room.
 */
function notePid(file: string): void {
  try {
    fs.writeFileSync(file, `${process.pid}\n`, { mode: 0o600 });
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    // What is there now is cut short, or names an earlier process.
    fs.rmSync(file, { force: true });
  }
}

/**
 * Here the number is the lock: where there is no room for it, nobody else could see that the directory is in use.
 *
 * Two processes that find the number of a dead one must not both replace it: the later would remove what the earlier has
 * just written. So the number is written to `LOCK.new`, which only one of them can make, and becomes the lock by a rename
 * while nobody else looks. `LOCK.new` of a process that died between the two is not judged the same way, or the question
 * would come back; it is left to the operator.
 */
function lockByFile(path: string, file: string): DirectoryLock {
  const taking = `${file}.new`;
  const fd = makeAlone(path, taking);
  try {
    try {
      fs.writeFileSync(fd, `${process.pid}\n`);
    } finally {
      fs.closeSync(fd);
    }
    const pid = readPid(file);
    if (pid !== undefined && isAlive(pid)) throw locked(path, pid);
    fs.renameSync(taking, file);
  } catch (error) {
    removeNote(taking);
    throw error;
  }
  let held = true;
  return {
    release: async () => {
      if (held) removeNote(file);
      held = false;
    },
  };
}

/**
 * A disk that fails is often read-only from then on. The note of a process that has ended holds nobody up, and whoever
 * stops because its disk has failed must be able to stop.
 */
function removeNote(file: string): void {
  try {
    fs.rmSync(file, { force: true });
  } catch {
    // It stays.
  }
}

function readPid(file: string): number | undefined {
  try {
    const pid = Number.parseInt(fs.readFileSync(file, 'utf8'), 10);
    return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function locked(path: string, pid: number | undefined): CordwoodError {
  return new CordwoodError('DIRECTORY_LOCKED', `${path} is in use by ${nameOf(pid)}`);
}

function makeAlone(path: string, taking: string): number {
  try {
    return fs.openSync(taking, 'wx', 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw beingTaken(path, taking);
    throw error;
  }
}

function beingTaken(path: string, taking: string): CordwoodError {
  return new CordwoodError(
    'DIRECTORY_LOCKED',
    `${path} is being taken by ${nameOf(readPid(taking))}; if that has ended, remove ${taking}`,
  );
}

function nameOf(pid: number | undefined): string {
  return pid === undefined ? 'another process' : pid === process.pid ? 'this process' : `process ${pid}`;
}
