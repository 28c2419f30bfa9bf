import t from 'tap';
import { Trio } from './trio.ts';

t.test('a read asked of a leader fails where that node leads again in a later term', async (t) => {
  const trio = new Trio(false);
  const { term } = trio.lead();
  const follower = trio.core(2);
  follower.readIndex(7);
  t.match(follower.drain().messages, [{ to: 1, message: { kind: 'readRequest', token: 7 } }]);
  // The leader has forgotten the question with its term: nobody would ever answer it.
  const news = { commit: 0, readSeq: 0, sentAtMs: trio.now };
  follower.receive(1, { kind: 'heartbeat', term: term + 1, ...news });
  t.equal(follower.leader, 1);
  const { failedReads, reads } = follower.drain();
  t.same([failedReads, reads], [[7], []]);
});

t.test('an answer of who does not lead confirms no read', async (t) => {
  const trio = new Trio(false);
  const { term } = trio.lead();
  const follower = trio.core(2);
  follower.readIndex(7);
  follower.drain();
  follower.receive(3, { kind: 'readResponse', term, token: 7, index: 1, ok: true });
  const { failedReads, reads } = follower.drain();
  t.same([failedReads, reads], [[7], []]);
});
