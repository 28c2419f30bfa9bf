import t from 'tap';
import { T, Trio } from './trio.ts';

/** Longer than a heartbeat's time: on a machine with more work than processors every timer may be as late. */
const LATE_MS = 160;

/** Lets time pass for nodes that find at each of their turns that they stood still. */
function stutter(trio: Trio, ids: readonly number[], forMs: number, passes = true): void {
  for (const end = trio.now + forMs; trio.now < end; trio.now += LATE_MS) {
    for (const id of ids) {
      trio.core(id).clock(trio.now);
      trio.core(id).stalled();
    }
    trio.settle(() => passes);
  }
}

t.test('nodes that are late all the time elect a leader all the same', async (t) => {
  const trio = new Trio();
  stutter(trio, [1, 2, 3], 10 * T);
  t.equal([1, 2, 3].filter((id) => trio.core(id).role === 'leader').length, 1);
});

t.test('a leader that is late all the time and hears of nobody gives up', async (t) => {
  const trio = new Trio();
  const leader = trio.lead();
  stutter(trio, [1], 10 * T, false);
  t.not(leader.role, 'leader');
});

t.test('a leader that is late all the time and is heard stays', async (t) => {
  const trio = new Trio();
  const leader = trio.lead();
  const { term } = leader;
  stutter(trio, [1, 2, 3], 10 * T);
  t.equal(leader.role, 'leader');
  t.equal(leader.term, term);
});

t.test("who stood still gives what waits in its sockets a heartbeat's time, each time anew", async (t) => {
  const trio = new Trio();
  const leader = trio.lead();
  for (let i = 0; i < 3; i++) {
    trio.now += 5 * T;
    for (const id of [1, 2, 3]) {
      trio.core(id).clock(trio.now);
      trio.core(id).stalled();
    }
    trio.turn(2);
    trio.turn(3);
    t.strictSame(trio.queue, [], 'nobody asks for votes yet');
    trio.pass(90);
    trio.settle();
    t.equal(leader.role, 'leader', 'it was heard in time');
    trio.pass(100);
    trio.settle();
  }
  t.equal(leader.term, 1);
});
