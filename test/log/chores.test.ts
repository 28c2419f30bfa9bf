import t from 'tap';
import { Chores } from '../../lib/log/chores.ts';

/** A chore every second that rests for nine more, and the times at which it was done up to `untilMs`. */
function doneAt(followsWork: boolean, untilMs: number, workMs: readonly number[]): number[] {
  const done: number[] = [];
  const chores = new Chores();
  const run = (nowMs: number): number => {
    done.push(nowMs);
    return 9000;
  };
  chores.add({ intervalMs: 1000, followsWork, run }, 0);
  for (let now = 0; now <= untilMs; now += 100) {
    if (workMs.includes(now)) chores.worked(now);
    if (chores.nextMs <= now) chores.run(now);
  }
  return done;
}

t.test('what is done while the log rests is done once in a while', async (t) => {
  t.same(doneAt(true, 20_000, []), [0, 10_000, 20_000]);
});

t.test('work that follows a rest ends it', async (t) => {
  // The disk was filled in the ten seconds in which nobody was to look at it.
  t.same(doneAt(true, 4000, [500]), [0, 1500]);
  t.same(doneAt(true, 4000, [500, 700, 1600]), [0, 1500, 2600], 'and more of it puts nothing off');
  t.same(doneAt(false, 10_000, [500]), [0, 10_000], 'a rest that has another reason goes on');
});

t.test('a chore without an interval is never done', async (t) => {
  const chores = new Chores();
  chores.add({ intervalMs: 0, followsWork: true, run: () => t.fail('done') as never }, 0);
  chores.worked(0);
  chores.run(1);
  t.equal(chores.nextMs, Infinity);
});
