import t from 'tap';
import type { RaftCore } from '../../lib/core/raft-core.ts';
import type { Message } from '../../lib/core/types.ts';
import { Trio } from './trio.ts';

/** Times at which the leader sent heartbeats to node 2, in `forMs` milliseconds from now. */
function beats(trio: Trio, forMs: number, passes: (message: Message) => boolean = () => true): number[] {
  const times: number[] = [];
  for (const end = trio.now + forMs; trio.now < end; trio.now += 10) {
    trio.settle((_from, to, message) => {
      if (to === 2 && message.kind === 'heartbeat') times.push(trio.now);
      return to !== 2 || passes(message);
    });
  }
  return times;
}

/** Three nodes that have nothing to say any more, led by node 1. */
function settled(idleHeartbeatMs: number): { trio: Trio; leader: RaftCore } {
  const trio = new Trio(false, { idleHeartbeatMs });
  trio.core(1).campaignSoon();
  beats(trio, 3000);
  return { trio, leader: trio.core(1) };
}

const gaps = (times: number[]): number[] => times.slice(1).map((time, i) => time - times[i]!);

t.test(
  'an idle leader sends fewer heartbeats, and at once as many as ever when there is something to say',
  async (t) => {
    const { trio, leader } = settled(250);
    t.equal(leader.role, 'leader');
    t.same([...new Set(gaps(beats(trio, 2000)))], [250]);
    trio.now += 10;
    leader.clock(trio.now);
    t.not(leader.propose(40), 0);
    trio.settle();
    t.equal(leader.commitIndex, leader.lastIndex);
    const after = beats(trio, 1000);
    t.ok(after[0]! <= trio.now - 1000 + 100, 'followers hear of the commitment as soon as ever');
    t.ok(trio.core(2).commitIndex === leader.commitIndex);
    t.same(gaps(after).slice(0, 3), [100, 250, 250], 'and then there is silence again');
  },
);

t.test(
  'nothing but heartbeats wakes an idle leader, and it gives up as soon as ever without a quorum',
  async (t) => {
    const { trio, leader } = settled(700);
    const deadlines = new Set<number>();
    const times: number[] = [];
    for (let i = 0; i < 300; i++) {
      times.push(...beats(trio, 10));
      deadlines.add(leader.drain().nextDeadlineMs);
    }
    t.ok(times.length >= 4, `heartbeats at ${times.join(', ')}`);
    t.same([...deadlines], [...times, times.at(-1)! + 700]);

    const deafSinceMs = trio.now;
    while (leader.role === 'leader') {
      trio.settle((from, to) => from !== 1 && to !== 1);
      trio.now += 10;
    }
    t.ok(trio.now - deafSinceMs <= 2 * 1000, `after ${trio.now - deafSinceMs} ms`);
  },
);

t.test('while a member lacks entries heartbeats come as usual', async (t) => {
  const { trio, leader } = settled(250);
  leader.clock(trio.now);
  leader.propose(40);
  const deaf = beats(trio, 1000, (message) => message.kind !== 'append');
  t.same([...new Set(gaps(deaf))], [100]);
});
