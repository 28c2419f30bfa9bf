import t from 'tap';
import type { RaftCore } from '../../lib/core/raft-core.ts';
import type { NodeId } from '../../lib/core/types.ts';
import { Trio } from './trio.ts';

/** Follower `from` says that it holds the log up to `match`. */
function acknowledge(leader: RaftCore, from: NodeId, match: number): void {
  leader.receive(from, {
    kind: 'appendAck',
    term: leader.term,
    match,
    rejected: false,
    prevIndex: 0,
    hintIndex: 0,
    hintTerm: 0,
  });
}

t.test('a leader need not hear of its disk before its followers have answered', async (t) => {
  const leader = new Trio().lead();
  const committed = leader.commitIndex;
  const index = leader.propose(40);
  const { persist } = leader.drain();
  t.notOk(leader.awaitsDisk, 'its own word commits nothing');

  acknowledge(leader, 2, index);
  t.equal(leader.commitIndex, committed);
  t.ok(leader.awaitsDisk, 'with the word of another it does');

  leader.durable(persist!.ticket);
  t.equal(leader.commitIndex, index);
  t.notOk(leader.awaitsDisk);
});

t.test('with the followers alone nothing waits for the leader’s disk', async (t) => {
  const leader = new Trio().lead();
  const index = leader.propose(40);
  leader.drain();
  acknowledge(leader, 2, index);
  acknowledge(leader, 3, index);
  t.equal(leader.commitIndex, index);
  t.notOk(leader.awaitsDisk);
});

t.test('whoever does not lead waits for its disk: answers of its own do', async (t) => {
  const trio = new Trio();
  trio.lead();
  t.ok(trio.core(2).awaitsDisk);
  t.ok(trio.core(3).awaitsDisk);
});

t.test('a leader is settled once everyone was sent everything and all of it is committed', async (t) => {
  const trio = new Trio();
  const leader = trio.lead();
  trio.settle();
  t.ok(leader.settled, 'after the first entry of its term');
  t.notOk(trio.core(2).settled, 'a follower never is');

  const index = leader.propose(40);
  t.notOk(leader.settled, 'not sent yet');
  leader.drain();
  t.notOk(leader.settled, 'not committed yet');
  acknowledge(leader, 2, index);
  acknowledge(leader, 3, index);
  t.ok(leader.settled);
  leader.readIndex(1);
  t.notOk(leader.settled, 'a read waits');
});
