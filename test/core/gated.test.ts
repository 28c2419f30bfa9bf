import t from 'tap';
import type { Effects } from '../../lib/core/effects.ts';
import type { RaftCore } from '../../lib/core/raft-core.ts';
import type { Message } from '../../lib/core/types.ts';
import { T, Trio } from './trio.ts';

/** A follower that hears heartbeats of node 1 in a term that its disk has not taken yet. */
function waiting(): { trio: Trio; follower: RaftCore; term: number; heartbeat: () => Effects } {
  const trio = new Trio(false);
  const term = trio.lead().term + 1;
  const follower = trio.core(2);
  const heartbeat = (): Effects => {
    trio.pass(T / 10);
    trio.receive(1, 2, { kind: 'heartbeat', term, commit: 0, readSeq: 0, sentAtMs: trio.now });
    follower.tick();
    return follower.drain();
  };
  return { trio, follower, term, heartbeat };
}

const kinds = (messages: readonly { message: Message }[]): string[] =>
  messages.map(({ message }) => message.kind);

t.test('a disk that stands still makes a follower keep one answer to heartbeats, the last', async (t) => {
  const { trio, follower, term, heartbeat } = waiting();
  const { persist } = heartbeat();
  let left = 0;
  for (let i = 0; i < 1000; i++) left += heartbeat().messages.length;
  t.equal(left, 0);
  t.equal(follower.state.gated.length, 1);
  follower.durable(persist!.ticket);
  t.match(follower.drain().messages, [
    { to: 1, message: { kind: 'heartbeatAck', term, sentAtMs: trio.now } },
  ]);
});

t.test('what others wait for, or in another term, stays', async (t) => {
  const { follower, term, heartbeat } = waiting();
  const first = heartbeat().persist!;
  // A leader of the term before is told of the new one.
  for (let i = 0; i < 2; i++)
    follower.receive(3, { kind: 'heartbeat', term: term - 1, commit: 0, readSeq: 0, sentAtMs: 0 });
  follower.receive(1, { kind: 'heartbeat', term: term + 1, commit: 0, readSeq: 0, sentAtMs: 0 });
  const second = follower.drain().persist!;
  t.same(kinds(follower.state.gated), ['heartbeatAck', 'heartbeatAck', 'heartbeatAck']);
  t.same(
    follower.state.gated.map(({ to, message }) => [to, message.term]),
    [
      [1, term],
      [3, term],
      [1, term + 1],
    ],
  );
  follower.durable(first.ticket);
  t.equal(follower.drain().messages.length, 1, 'of the first term; the others came with the second');
  follower.durable(second.ticket);
  t.equal(follower.drain().messages.length, 2);
});

t.test('however often it is asked where the logs agree, it keeps one answer', async (t) => {
  const { follower, term, heartbeat } = waiting();
  heartbeat();
  const { lastIndex } = follower;
  const probe = { prevIndex: lastIndex, prevTerm: follower.termAt(lastIndex), last: lastIndex };
  for (let i = 0; i < 100; i++) {
    follower.receive(1, { kind: 'append', term, ...probe, commit: 0, entries: [] });
    follower.drain();
  }
  t.same(kinds(follower.state.gated), ['heartbeatAck', 'appendAck']);
});

t.test('a node in quarantine tells its leader once what it has lost', async (t) => {
  const { follower, heartbeat } = waiting();
  follower.enterQuarantine(5, false);
  for (let i = 0; i < 100; i++) heartbeat();
  t.same(kinds(follower.state.gated), ['lostLog', 'heartbeatAck']);
});

t.test('a follower asks for no read in a term that its disk has not taken', async (t) => {
  const { follower, heartbeat } = waiting();
  const { persist } = heartbeat();
  const failed: number[] = [];
  for (let token = 1; token <= 1000; token++) {
    follower.readIndex(token);
    failed.push(...follower.drain().failedReads);
  }
  t.same(
    failed,
    Array.from({ length: 1000 }, (_, i) => i + 1),
  );
  t.equal(follower.state.askedReads.size, 0);
  t.same(kinds(follower.state.gated), ['heartbeatAck']);
  follower.durable(persist!.ticket);
  follower.drain();
  follower.readIndex(2000);
  t.same(kinds(follower.drain().messages), ['readRequest']);
});
