import t from 'tap';
import { createDirectory } from '../../lib/log/data-directory.ts';
import { IDENTITY_FILE, readIdentity } from '../../lib/log/identity.ts';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { openLogFiles, ownerOf } from '../../lib/log/open-log-files.ts';
import { PeerFile } from '../../lib/log/peer-file.ts';
import { tinySizes } from './helpers.ts';
import { crashImages } from './support/crash-images.ts';
import { logStories } from './support/crash-stories.ts';
import { crashTable } from './support/crash-table.ts';
import { stepOf } from './support/disk-trace.ts';

/** What the table says, and what was seen. */
const table = crashTable();
const seen = new Map<string, ReadonlySet<string>>();

function saw(operation: string, steps: Iterable<string>): void {
  seen.set(operation, new Set([...(seen.get(operation) ?? []), ...steps]));
}

for (const { operation, lives } of logStories) {
  t.test(`a crash at any step: ${operation}`, async (t) => {
    for (const [number, live] of lives.entries()) {
      const life = live();
      life.crash('the end');
      t.same(life.problems.slice(0, 4), [], `life ${number}`);
      t.ok(life.images > 2, `${life.images} images`);
      saw(operation, life.steps);
    }
  });
}

/** Runs `operation` and hands `check` every disk that a crash at one of its steps may leave. */
function crashDuring(
  name: string,
  disk: MemoryDisk,
  operation: () => void,
  check: (image: MemoryDisk, step: string) => void,
): void {
  const steps = new Set<string>();
  const crash = (step: string): void => {
    for (const image of crashImages(disk, 24, steps.size)) check(image, step);
  };
  disk.onCall = (call) => {
    const step = stepOf(disk, '/home/d', call);
    if (step === null) return undefined;
    steps.add(step);
    crash(step);
    return undefined;
  };
  operation();
  disk.onCall = null;
  crash('the end');
  saw(name, steps);
}

const members = [{ id: 1, peerAddress: 'a:1' }];
const options = { clusterId: 'wood', nodeId: 1, members, sizes: tinySizes };

/** Starts a node there as far as its disk goes: a new directory, or the one that is complete. */
function start(disk: MemoryDisk): void {
  disk.mkdir('/home/d');
  if (!disk.exists(`/home/d/${IDENTITY_FILE}`)) createDirectory(disk, '/home/d', options);
  const { clusterId, nodeId, incarnation } = readIdentity(disk, '/home/d');
  const owner = ownerOf(clusterId, nodeId, incarnation);
  const random = (bytes: Uint8Array): void => void bytes.fill(3);
  const { recovery } = openLogFiles(disk, '/home/d', { sizes: tinySizes, owner, random }, false);
  if (recovery.damage !== null || recovery.doubt !== null || !recovery.hardStateKnown)
    throw new Error(JSON.stringify(recovery));
}

t.test('a crash at any step: new directory', async (t) => {
  const fresh = new MemoryDisk();
  fresh.mkdir('/home');
  /** Left by crashes, each with something else that is in the way of another attempt. */
  const remains = new Map<string, MemoryDisk>();
  let complete = 0;
  const check = (image: MemoryDisk, step: string): void => {
    if (image.exists(`/home/d/${IDENTITY_FILE}`)) complete++;
    else for (const path of image.files()) remains.set(path, image.fork());
    t.doesNotThrow(() => {
      start(image);
    }, `after a crash before ${step}`);
  };
  const create = (disk: MemoryDisk) => () => {
    disk.mkdir('/home/d');
    createDirectory(disk, '/home/d', options);
  };
  crashDuring('new directory', fresh, create(fresh), check);
  t.ok(complete > 0);
  t.ok(remains.size >= 4, [...remains.keys()].join());
  for (const disk of [...remains.values()]) crashDuring('new directory', disk, create(disk), check);
});

t.test('a crash at any step: peer met', async (t) => {
  const disk = new MemoryDisk();
  disk.mkdir('/home/d');
  new PeerFile(disk, '/home/d').remember(2, 'first');
  const found = new Set<string | undefined>();
  const half: MemoryDisk[] = [];
  let remembered = false;
  const check = (image: MemoryDisk): void => {
    if (image.exists('/home/d/peers.tmp')) half.push(image.fork());
    const file = new PeerFile(image, '/home/d');
    if (file.incarnationOf(2) !== 'first') t.fail('an acquaintance was forgotten');
    if (remembered && file.incarnationOf(3) !== 'second') t.fail('what was durable is gone');
    found.add(file.incarnationOf(3));
  };
  const meet = (on: MemoryDisk) => () => {
    new PeerFile(on, '/home/d').remember(3, 'second');
    remembered = true;
  };
  crashDuring('peer met', disk, meet(disk), check);
  t.same(found, new Set([undefined, 'second']));
  remembered = false;
  crashDuring('peer met', half.at(-1)!, meet(half.at(-1)!), check);
});

t.test('the crash table names every step that the code makes, and no other', async (t) => {
  t.same([...seen.keys()].sort(), [...table.keys()].sort(), 'operations');
  for (const [operation, steps] of seen) {
    t.same([...steps].sort(), [...(table.get(operation) ?? [])].sort(), operation);
  }
});
