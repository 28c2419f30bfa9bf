import t from 'tap';
import type { Message } from '../../lib/core/types.ts';
import { Silence } from '../../lib/node/silence.ts';
import { Lane } from '../../protocol/constants.ts';

const PATIENCE_MS = 100;
const heartbeat: Message = { kind: 'heartbeat', term: 1, commit: 0, readSeq: 0, sentAtMs: 0 };
const append: Message = {
  kind: 'append',
  term: 1,
  prevIndex: 0,
  prevTerm: 0,
  commit: 0,
  last: 0,
  entries: [],
};
const ack: Message = { kind: 'heartbeatAck', term: 1, readSeq: 0, sentAtMs: 0 };

function rig(): { silence: Silence; at: (now: number) => [peer: number, lane: Lane][] } {
  const renewed: [number, Lane][] = [];
  const silence = new Silence({ renew: (peer, lane) => renewed.push([peer, lane]) }, PATIENCE_MS);
  return {
    silence,
    at: (now) => {
      silence.check(now);
      return renewed.splice(0);
    },
  };
}

t.test('who owes an answer and is not heard of is dialled anew, on every lane, once', async (t) => {
  const { silence, at } = rig();
  silence.sent(2, heartbeat, 0);
  silence.sent(3, heartbeat, 0);
  silence.sent(4, ack, 0);
  // What is asked later does not put it off.
  silence.sent(2, heartbeat, 99);
  t.same(at(99), []);
  silence.heard(3, Lane.control);
  t.same(
    at(100),
    [Lane.control, Lane.data, Lane.bulk].map((lane) => [2, lane]),
    'neither who was heard nor who was only answered',
  );
  t.same(at(1000), []);
  silence.sent(2, heartbeat, 1000);
  t.same(at(1099), []);
  t.equal(at(1100).length, 3);
});

t.test('who is heard on another lane is dialled anew on the one where it owes an answer', async (t) => {
  const { silence, at } = rig();
  silence.sent(2, heartbeat, 0);
  silence.heard(2, Lane.data);
  t.same(at(100), [[2, Lane.control]]);
});

t.test('appends that nothing comes back for: their lane, later, and later still each time', async (t) => {
  const { silence, at } = rig();
  const data = [[2, Lane.data]];
  silence.sent(2, append, 0);
  // Heartbeats get through.
  silence.heard(2, Lane.control);
  t.same(at(10 * PATIENCE_MS - 1), []);
  t.same(at(10 * PATIENCE_MS), data);
  silence.sent(2, append, 5000);
  t.same(at(5000 + 20 * PATIENCE_MS - 1), []);
  t.same(at(5000 + 20 * PATIENCE_MS), data);
  silence.sent(2, append, 10_000);
  silence.heard(2, Lane.data);
  t.same(at(20_000), [], 'heard in time');
  silence.sent(2, append, 20_000);
  t.same(at(20_000 + 10 * PATIENCE_MS), data, 'the patience is the old one again');
});

t.test('what was forwarded, and nothing comes back', async (t) => {
  const { silence, at } = rig();
  silence.sentData(2, 0);
  silence.sentData(2, 5 * PATIENCE_MS);
  silence.heard(2, Lane.control);
  t.same(at(10 * PATIENCE_MS - 1), []);
  t.same(at(10 * PATIENCE_MS), [[2, Lane.data]]);
  silence.sentData(2, 5000);
  silence.heard(2, Lane.data);
  t.same(at(50_000), [], 'an append of those requests will do');
});

// Cleared instead, a busy process, late for its timers all the time, would never lose patience with anybody.
t.test('time in which the process itself stood still does not count', async (t) => {
  const { silence, at } = rig();
  silence.sent(2, heartbeat, 0);
  silence.heard(2, Lane.data);
  silence.sent(2, append, 0);
  silence.stalled(5000);
  t.same(at(5099), []);
  t.same(at(5100), [[2, Lane.control]]);
  t.same(at(5000 + 10 * PATIENCE_MS - 1), []);
  t.same(at(5000 + 10 * PATIENCE_MS), [[2, Lane.data]]);
});
