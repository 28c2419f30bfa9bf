import fc from 'fast-check';
import t from 'tap';
import { ClusterClock } from '../../lib/node/cluster-clock.ts';
import { systemRuntime } from '../../lib/node/runtime.ts';

const HOUR_MS = 3_600_000;

/** Clocks that are set by hand. */
class Clocks {
  monoMs = 5000;
  wallMs = 1_800_000_000_000;
  readonly runtime = { ...systemRuntime, now: () => this.monoMs, wallNow: () => this.wallMs };

  pass(ms: number): void {
    this.monoMs += ms;
    this.wallMs += ms;
  }
}

t.test('it is the wall clock while nobody sets that', async (t) => {
  const clocks = new Clocks();
  const clock = new ClusterClock(clocks.runtime, 0);
  for (const ms of [0, 0.4, 0.4, 0.4, 17, 3 * HOUR_MS]) {
    clocks.pass(ms);
    t.equal(clock.stamp(), Math.floor(clocks.wallMs));
  }
});

t.test('a step forward is caught up with at twice the speed of time', async (t) => {
  const clocks = new Clocks();
  const clock = new ClusterClock(clocks.runtime, 0);
  const before = clock.stamp();
  clocks.wallMs += 2 * HOUR_MS;
  t.equal(clock.stamp(), before);
  // In small steps: what a stamp rounds off must not be lost.
  for (let i = 0; i < 36_000; i++) {
    clocks.pass(0.25);
    clock.stamp();
  }
  t.equal(clock.stamp(), before + 2 * 0.25 * 36_000);
  clocks.pass(2 * HOUR_MS);
  t.equal(clock.stamp(), Math.floor(clocks.wallMs));
});

t.test('a step back is waited for at half the speed of time', async (t) => {
  const clocks = new Clocks();
  const clock = new ClusterClock(clocks.runtime, 0);
  const before = clock.stamp();
  clocks.wallMs -= HOUR_MS;
  clocks.pass(HOUR_MS);
  t.equal(clock.stamp(), before + HOUR_MS / 2);
  clocks.pass(HOUR_MS);
  t.equal(clock.stamp(), clocks.wallMs);
});

t.test('it goes on from what entries say, also while that is ahead', async (t) => {
  const clocks = new Clocks();
  const ahead = clocks.wallMs + HOUR_MS;
  const clock = new ClusterClock(clocks.runtime, ahead);
  t.equal(clock.stamp(), ahead);
  clocks.pass(1000);
  t.equal(clock.stamp(), ahead + 500);
  clocks.pass(3 * HOUR_MS);
  clock.observe(clocks.wallMs + HOUR_MS);
  t.equal(clock.stamp(), clocks.wallMs + HOUR_MS, 'the hours as a follower do not count once more');
  clock.observe(1);
  t.equal(clock.stamp(), clocks.wallMs + HOUR_MS);
});

t.test('whatever the wall clock does: it never goes back, nor away from what time does', async (t) => {
  const steps = fc.array(fc.record({ ms: fc.nat(10_000), step: fc.integer({ min: -1e7, max: 1e7 }) }));
  fc.assert(
    fc.property(steps, (all) => {
      const clocks = new Clocks();
      const clock = new ClusterClock(clocks.runtime, 0);
      let last = clock.stamp();
      for (const { ms, step } of all) {
        clocks.pass(ms);
        clocks.wallMs += step;
        const now = clock.stamp();
        if (now < last + Math.floor(ms / 2) || now > last + 2 * ms + 1) return false;
        last = now;
      }
      return true;
    }),
  );
  t.pass();
});
