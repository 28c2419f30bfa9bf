import t from 'tap';
import type { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { StackOp } from '../../protocol/constants.ts';
import { chooser } from '../log/helpers.ts';
import { until } from '../e2e/support/until.ts';
import { ask, MemoryCluster, putBack } from './support/memory-cluster.ts';
import type { Ending } from '../support/ending.ts';

const COUNT = 80;

/** Replaces what a file holds; null removes it. */
function put(disk: MemoryDisk, path: string, content: Uint8Array | null): void {
  if (disk.exists(path)) disk.unlink(path);
  if (content !== null) {
    const fd = disk.open(path, 'create');
    disk.write(fd, [content], 0);
    disk.datasync(fd);
    disk.close(fd);
  }
  disk.syncDirectory(path.slice(0, path.lastIndexOf('/')));
}

/** What happens to a file: its new content, null if it is gone, undefined if this cannot happen to it. */
type Fault = (path: string, own: Uint8Array) => Uint8Array | null | undefined;

interface Setting {
  readonly cluster: MemoryCluster;
  readonly victim: number;
  /** The victim's files as they were when it stopped, and some time before. */
  readonly good: MemoryDisk;
  readonly old: MemoryDisk;
  /** Another node's. */
  readonly other: MemoryDisk;
}

/** A cluster with something on its stack, some of it in snapshots, of which one node has stopped or died. */
async function setUp(t: Ending, stop: 'stopped' | 'died'): Promise<Setting> {
  // Many nodes start here, one after the other, and some wait for an election timeout.
  const cluster = await MemoryCluster.start(t, 3, 3000, 150);
  await cluster.push(0, COUNT / 2);
  const leader = await cluster.leader();
  const victim = leader.id === 1 ? 2 : 1;
  const disk = cluster.disks[victim - 1]!;
  const old = disk.clone();
  await cluster.push(COUNT / 2, COUNT);
  const node = cluster.nodes.get(victim)!;
  await until('all entries on its disk', () => node.status().durableIndex === leader.status().lastIndex);
  // Nothing is under way any more: what is on the disk is what was acknowledged, and noted.
  await until('all entries applied', () => node.status().appliedIndex === node.status().durableIndex);
  let good = disk.clone();
  await cluster.stop(victim);
  if (stop === 'stopped') good = disk.clone();
  const other = cluster.disks[[1, 2, 3].find((id) => id !== victim && id !== leader.id)! - 1]!.clone();
  return { cluster, victim, good, old, other };
}

function faults({ old, other }: Setting): Record<string, Fault> {
  return {
    'is missing': () => null,
    'is empty': () => new Uint8Array(0),
    'is cut in half': (_path, own) => own.subarray(0, own.length >> 1),
    'is cut at an eighth': (_path, own) => own.subarray(0, own.length >> 3),
    'is another node’s': (path, own) => {
      const same = other.files().find((name) => kindOf(name) === kindOf(path));
      const content = other.exists(path)
        ? other.content(path)
        : same === undefined
          ? undefined
          : other.content(same);
      return content === undefined || Buffer.compare(content, own) === 0 ? undefined : content;
    },
    'is an older copy': (path, own) => {
      if (!old.exists(path)) return undefined;
      const content = old.content(path);
      return Buffer.compare(content, own) === 0 ? undefined : content;
    },
  };
}

const kindOf = (path: string): string => path.replace(/\d+/g, '0');

for (const stop of ['stopped', 'died'] as const) {
  t.test(`every file of a node that ${stop}: missing, cut, foreign, stale`, async (t) => {
    const setting = await setUp(t, stop);
    const { cluster, victim, good } = setting;
    const disk = cluster.disks[victim - 1]!;
    const outcomes = new Set<string>();
    const errors = cluster.errors;
    await cluster.boot(victim);
    const whole = cluster.logs.get(victim)!.recovery;
    await cluster.stop(victim);
    for (const path of good.files()) {
      for (const [what, fault] of Object.entries(faults(setting))) {
        const content = fault(path, good.content(path));
        if (content === undefined) continue;
        putBack(disk, good);
        put(disk, path, content);
        const name = `${kindOf(path)} ${what}`;
        errors.length = 0;
        const node = await cluster.tryBoot(victim);
        if (node === null) {
          outcomes.add(`${name}: refused`);
          continue;
        }
        const { recovery } = cluster.logs.get(victim)!;
        if (node.status().quarantine === null) {
          // It may vote from now on: then it knows all that it knew.
          t.equal(recovery.lastIndex, whole.lastIndex, `${name}: the log is as long as it was`);
          t.ok(recovery.hardState.term >= whole.hardState.term, `${name}: the term is what it was`);
        }
        const sick = node.status().quarantine !== null;
        t.equal(await ask(node, StackOp.size), COUNT, name);
        t.equal(await ask(node, StackOp.top), `value ${COUNT - 1}`, name);
        outcomes.add(`${name}: ${sick || errors.length > 0 ? 'healed' : 'harmless'}`);
        await cluster.stop(victim);
      }
    }
    const seen = [...outcomes];
    t.same(
      seen.filter((outcome) => outcome.endsWith('refused')),
      [],
      'the others are whole: nobody has to be asked to do anything',
    );
    for (const kind of ['log/0.log', 'snapshots/0-0.snap', 'vote', 'peers']) {
      for (const what of ['is missing', 'is empty', 'is cut in half', 'is another node’s']) {
        const name = `node/${kind} ${what}`;
        t.ok(
          seen.some((outcome) => outcome.startsWith(name)),
          name,
        );
      }
      t.ok(
        seen.some((outcome) => outcome.startsWith(`node/${kind}`) && outcome.endsWith('healed')),
        `${kind}: some of it was noticed`,
      );
    }
  });
}

t.test('the same on two nodes, and on all three: what is served is right, or nothing is', async (t) => {
  const setting = await setUp(t, 'stopped');
  const { cluster } = setting;
  await Promise.all([1, 2, 3].map((id) => cluster.stop(id)));
  const good = cluster.disks.map((disk) => disk.clone());
  const choose = chooser(11);
  const seen = { served: 0, silent: 0 };
  for (let round = 0; round < 4; round++) {
    const hurt = round % 3 === 2 ? [1, 2, 3] : [1 + (round % 3), 3];
    const what: string[] = [];
    cluster.disks.forEach((disk, i) => {
      putBack(disk, good[i]!);
      if (!hurt.includes(i + 1)) return;
      const others: Setting = { ...setting, other: good[(i + 1) % 3]! };
      for (;;) {
        const files = good[i]!.files();
        const path = files[choose(files.length)]!;
        const [name, fault] = Object.entries(faults(others))[choose(6)]!;
        const content = fault(path, good[i]!.content(path));
        if (content === undefined) continue;
        put(disk, path, content);
        what.push(`${i + 1}: ${path} ${name}`);
        return;
      }
    });
    cluster.errors.length = 0;
    await Promise.all([1, 2, 3].map((id) => cluster.tryBoot(id)));
    const nodes = [...cluster.nodes.values()];
    const sick = nodes.filter((node) => node.status().quarantine !== null).length;
    if (nodes.length - sick >= 2) {
      for (const node of nodes) {
        t.equal(await ask(node, StackOp.size), COUNT, what.join('; '));
        t.equal(await ask(node, StackOp.top), `value ${COUNT - 1}`);
      }
      seen.served++;
    } else {
      await until('a node without a leader to say so', () =>
        cluster.errors.some((line) => line.includes('no leader has been heard of')),
      );
      t.ok(
        nodes.every((node) => node.leader === null),
        what.join('; '),
      );
      seen.silent++;
    }
    await Promise.all([1, 2, 3].map((id) => cluster.stop(id)));
  }
  t.ok(seen.served > 0 && seen.silent > 0, JSON.stringify(seen));
});
