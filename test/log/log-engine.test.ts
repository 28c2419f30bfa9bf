import fc from 'fast-check';
import t from 'tap';
import type { LogWrite } from '../../lib/log/log-store.ts';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { SnapshotFiles } from '../../lib/log/snapshot-files.ts';
import { LogModel, chooser, config, entry, open, show, writeOf } from './helpers.ts';

/** Thrown in place of a disk call: the machine stops there. */
class Crash extends Error {}

/**
 * A random life of a log on a disk that crashes at a random call: appends with overwrites, votes, snapshots with
 * compaction, installed snapshots. After each crash the log must be a state the model had, none older than the last
 * one acknowledged.
 */
function live(seed: number, lives: number): string[] {
  const choose = chooser(seed);
  const disk = new MemoryDisk();
  /** States since the last acknowledged one, which stands first. */
  let states = [new LogModel()];
  let salt = 0;
  for (let life = 0; life < lives; life++) {
    let calls = choose(4) === 0 ? Infinity : 1 + choose(60);
    disk.onCall = (call) => {
      if (call.operation !== 'read' && call.operation !== 'readdir' && --calls <= 0) throw new Crash();
      return undefined;
    };
    try {
      const opened = open(disk, seed + life * 1000);
      const { engine } = opened;
      if (opened.recovery.damage !== null) return [`life ${life}: ${opened.recovery.damage.reason}`];
      const found = show(opened);
      const state = states.find((candidate) => candidate.show(opened.recovery.prevIndex) === found);
      if (state === undefined) {
        return [`life ${life}`, found, '---', ...states.map((s) => s.show(opened.recovery.prevIndex))];
      }
      states = [state];
      let snapshots = new SnapshotFiles(disk, '/d/snapshots', 7, opened.latest);
      for (let round = 0; round < 1 + choose(12); round++) {
        let model = states.at(-1)!;
        const action = choose(12);
        if (action < 8) {
          const group: LogWrite[] = [];
          for (let i = choose(4); i >= 0; i--) {
            model = model.clone();
            // Nothing at or below a snapshot is ever replaced.
            const floor = Math.max(model.prevIndex, snapshots.latest?.meta.index ?? 0);
            const back = choose(3) === 0 ? choose(Math.max(1, model.lastIndex - floor)) : 0;
            const first = model.lastIndex + 1 - back;
            const term =
              Math.max(model.hardState.term, model.termAt(first - 1), 1) +
              (back > 0 || choose(5) === 0 ? 1 : 0);
            const hardState = term > model.hardState.term ? { term, vote: 1 + choose(3) } : null;
            const entries = Array.from({ length: choose(4) }, (_, at) =>
              entry(first + at, term, salt++ & 255, choose(8) === 0 ? 700 : choose(90)),
            );
            const write = writeOf(round, entries, hardState);
            model.apply(write, entries);
            states.push(model);
            group.push(write);
          }
          engine.write(group);
          engine.sync();
          states = [model];
        } else if (action === 8 && model.lastIndex > model.prevIndex) {
          const index = model.prevIndex + 1 + choose(model.lastIndex - model.prevIndex);
          if (index >= (snapshots.latest?.meta.index ?? 0)) {
            const meta = { index, term: model.termAt(index), config, configIndex: 0 };
            const handle = snapshots.create(meta);
            snapshots.write(handle, new Uint8Array(choose(2000)).fill(index));
            snapshots.commit(handle);
            while (engine.compact(index));
          }
        } else if (action === 9) {
          const index = Math.max(model.lastIndex, snapshots.latest?.meta.index ?? 0) + choose(5) + 1;
          const term = Math.max(model.hardState.term, 1);
          const handle = snapshots.create({ index, term, config, configIndex: 0 });
          snapshots.write(handle, new Uint8Array(choose(2000)));
          // From the rename on, recovery finishes the installation by itself.
          const installed = model.clone();
          const write = writeOf(round, [], null, { index, term });
          installed.apply(write, []);
          states.push(installed);
          snapshots.commit(handle);
          engine.write([write]);
          engine.sync();
          states = [installed];
        } else if (action === 10) {
          engine.prepare();
        } else {
          snapshots.close();
          engine.close();
          const again = open(disk, seed + life * 1000 + round);
          if (again.recovery.damage !== null) return [`reopen ${life}: ${again.recovery.damage.reason}`];
          snapshots = new SnapshotFiles(disk, '/d/snapshots', 7, again.latest);
          if (show(again) !== model.show(again.recovery.prevIndex)) return [`reopen ${life}`, show(again)];
          break;
        }
      }
    } catch (error) {
      const cause = error instanceof Error && error.cause instanceof Crash ? error.cause : error;
      if (!(cause instanceof Crash)) throw error;
    }
    disk.onCall = null;
    if (choose(3) === 0) disk.kill();
    else disk.crash(choose);
  }
  return [];
}

t.test('whatever crashes, the log is one it was, and none older than acknowledged', async (t) => {
  const seeds = fc.integer({ min: 0, max: 0x7fffffff });
  fc.assert(
    fc.property(seeds, (seed) => {
      const problems = live(seed, 12);
      if (problems.length > 0) throw new Error(problems.join('\n'));
    }),
    { numRuns: 400 },
  );
  t.pass();
});
