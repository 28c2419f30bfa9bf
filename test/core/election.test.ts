import t from 'tap';
import type { Message } from '../../lib/core/types.ts';
import { bootstrapOf } from '../../lib/node/options.ts';
import { T, Trio } from './trio.ts';

/** Node 1 as a candidate of term 1, and whether it would help node 2 to win term 2. */
function candidate(): { trio: Trio; helps(): boolean } {
  const trio = new Trio(false);
  const one = trio.core(1);
  one.campaignSoon();
  trio.now += 20;
  trio.turn(1);
  one.receive(2, { kind: 'voteResponse', term: 1, pre: true, granted: true });
  trio.turn(1);
  const helps = (): boolean => {
    trio.queue = [];
    const question: Message = {
      ...{ kind: 'voteRequest', term: 2, pre: true },
      ...{ lastIndex: 0, lastTerm: 0, transfer: false },
    } as const;
    one.receive(2, question);
    trio.turn(1);
    const [answer] = trio.queue.filter(({ to, message }) => to === 2 && message.kind === 'voteResponse');
    return (answer?.message as { granted: boolean }).granted;
  };
  return { trio, helps };
}

t.test(
  'a candidate whose votes are under way helps no rival to depose it (test/node/disk-full)',
  async (t) => {
    const { trio, helps } = candidate();
    const one = trio.core(1);
    t.equal(one.role, 'candidate');
    t.equal(helps(), false);
    trio.now += 10;
    trio.turn(1);
    t.equal(helps(), false, 'machines under load take their time');
    one.receive(3, { kind: 'voteResponse', term: 1, pre: false, granted: true });
    trio.turn(1);
    t.equal(one.role, 'leader');
  },
);

t.test('candidates that have split the votes help each other', async (t) => {
  const { trio, helps } = candidate();
  trio.now += 50;
  trio.turn(1);
  t.equal(trio.core(1).role, 'preCandidate', 'it tries again itself');
  t.equal(helps(), true);
});

/** A leader falls silent; who of its followers asks for votes first, when, and when one of them leads. */
function frozenLeader(holdsMore: 0 | 2 | 3): { first: number; askedMs: number; ledMs: number; by: number } {
  const trio = new Trio(false);
  const leader = trio.lead();
  if (holdsMore !== 0) {
    leader.propose(40);
    trio.settle((from, to) => from === 1 && to === holdsMore);
  }
  const silentSince = trio.now;
  let first = 0;
  let askedMs = 0;
  for (;;) {
    trio.pass(1);
    trio.settle((from, to, message) => {
      if (message.kind === 'voteRequest' && first === 0) {
        first = from;
        askedMs = trio.now - silentSince;
      }
      return from !== 1 && to !== 1;
    });
    const by = [2, 3].find((id) => trio.core(id).role === 'leader');
    if (by !== undefined) return { first, askedMs, ledMs: trio.now - silentSince, by };
  }
}

t.test('a voter that refuses a shorter log, and misses the leader too, asks itself', async (t) => {
  const equal = frozenLeader(0);
  t.equal(equal.by, equal.first);
  const longer = equal.first === 2 ? 3 : 2;
  const { first, askedMs, ledMs, by } = frozenLeader(longer);
  t.equal(first, equal.first, 'the one with the shorter log asks first');
  t.equal(by, longer);
  t.ok(ledMs - askedMs <= 10, `${ledMs - askedMs} ms later, not after a timeout of its own`);
});

t.test('a shorter log is no reason to ask while the leader is heard of', async (t) => {
  const trio = new Trio(false);
  trio.lead().propose(40);
  trio.settle();
  const follower = trio.core(2);
  const { lastIndex } = follower;
  follower.receive(3, {
    ...{ kind: 'voteRequest', term: follower.term + 1, pre: true },
    ...{ lastIndex: lastIndex - 1, lastTerm: follower.term, transfer: false },
  });
  for (let i = 0; i < 20; i++) {
    trio.pass(1);
    trio.turn(2);
  }
  t.equal(follower.role, 'follower');
});

t.test('who has just voted helps no rival of the one it voted for', async (t) => {
  const trio = new Trio(false);
  const two = trio.core(2);
  const ask = (from: number, term: number, pre: boolean): boolean => {
    trio.queue = [];
    trio.receive(from, 2, { kind: 'voteRequest', term, pre, lastIndex: 0, lastTerm: 0, transfer: false });
    trio.turn(2);
    const answer = trio.queue.find(({ to, message }) => to === from && message.kind === 'voteResponse');
    return (answer?.message as { granted: boolean }).granted;
  };
  trio.pass(20);
  t.equal(ask(1, 1, false), true);
  t.equal(two.term, 1);
  t.equal(ask(3, 2, true), false);
  t.equal(ask(1, 2, true), true, 'that one may try again');
  trio.pass(100);
  t.equal(ask(3, 2, true), true, 'it should have been heard of by now');
});

t.test('a leader says so at once to whoever comes within reach, and nobody else does', async (t) => {
  const trio = new Trio(false);
  const leader = trio.lead();
  trio.queue = [];
  leader.peerReached(3);
  leader.peerReached(9);
  trio.core(2).peerReached(3);
  trio.turn(1);
  trio.turn(2);
  t.match(trio.queue, [{ from: 1, to: 3, message: { kind: 'heartbeat', term: leader.term } }]);
});

t.test('only the host of the leader can refuse connections for it', async (t) => {
  for (const [id, hurries] of [
    [1, true],
    [3, false],
  ] as const) {
    const trio = new Trio(false);
    trio.lead();
    const two = trio.core(2);
    two.leaderRefused(id);
    for (let ms = 0; ms < 50; ms++) {
      trio.pass(1);
      trio.turn(2);
    }
    t.equal(two.role, hurries ? 'preCandidate' : 'follower', `${id}`);
  }
});

t.test('an answer to a question of another term elects nobody', async (t) => {
  const trio = new Trio(false);
  const two = trio.core(2);
  two.campaignSoon();
  trio.pass(20);
  trio.turn(2);
  t.equal(two.role, 'preCandidate');
  for (const term of [0, 2, 9]) {
    trio.receive(3, 2, { kind: 'voteResponse', term, pre: true, granted: true });
    trio.turn(2);
    t.equal(two.role, 'preCandidate', `${term}`);
  }
  trio.receive(3, 2, { kind: 'voteResponse', term: 1, pre: true, granted: true });
  trio.turn(2);
  t.equal(two.role, 'candidate');
});

t.test('the hurry after a leader was lost ends with the next leader', async (t) => {
  const trio = new Trio(false);
  const { term } = trio.lead();
  const two = trio.core(2);
  two.leaderRefused(1);
  trio.receive(3, 2, { kind: 'heartbeat', term: term + 1, commit: 0, readSeq: 0, sentAtMs: trio.now });
  const askedAt: number[] = [];
  while (askedAt.length < 3) {
    trio.pass(1);
    trio.queue = [];
    trio.turn(2);
    if (trio.queue.some(({ message }) => message.kind === 'voteRequest')) askedAt.push(trio.now);
  }
  t.ok(askedAt[1]! - askedAt[0]! >= T / 2, askedAt.join());
  t.ok(askedAt[2]! - askedAt[1]! >= T / 2);
});

// A follower that was cut off deposed a leader when it was back (once, in test/cluster/partitions): a process that
// stood still reads its sockets in any order.
for (const hears of [true, false]) {
  const heartbeat = (trio: Trio, to: number): void => {
    const { term } = trio.core(1);
    if (hears) trio.receive(1, to, { kind: 'heartbeat', term, commit: 0, readSeq: 0, sentAtMs: trio.now });
  };

  t.test(`who stood still, and ${hears ? 'then hears' : 'hears nothing of'} the leader`, async (t) => {
    const trio = new Trio(false);
    const { term } = trio.lead();
    trio.pass(T + 50);
    const log = { lastIndex: 100, lastTerm: term };
    trio.receive(3, 2, { kind: 'voteRequest', term: term + 1, pre: true, transfer: false, ...log });
    heartbeat(trio, 2);
    trio.queue = [];
    trio.turn(2);
    const answers = trio.queue.filter(({ to, message }) => to === 3 && message.kind === 'voteResponse');
    t.match(answers, [{ message: { pre: true, granted: !hears } }]);
  });

  t.test(
    `who finds a vote of long ago, and ${hears ? 'then hears' : 'hears nothing of'} the leader`,
    async (t) => {
      const trio = new Trio(false);
      const { term } = trio.lead();
      const three = trio.core(3);
      trio.pass(2 * T);
      trio.turn(3);
      t.equal(three.role, 'preCandidate');
      trio.receive(2, 3, { kind: 'voteResponse', term: term + 1, pre: true, granted: true });
      heartbeat(trio, 3);
      trio.turn(3);
      t.equal(three.role, hears ? 'follower' : 'candidate');
      t.equal(three.term, hears ? term : term + 1);
    },
  );
}

t.test('who may not campaign forgets a leader that says nothing more, and follows it again', async (t) => {
  // A learner named a dead leader for ever, and sent its clients there.
  const bootstrap = { ...bootstrapOf([1, 2].map((n) => ({ id: n, peerAddress: `n${n}` }))), learners: [3] };
  const learner = new Trio(false).start(3, false, { bootstrap });
  const stalled = new Trio(false).core(3);
  stalled.diskStalled = true;
  const sick = new Trio(false).core(3);
  sick.enterQuarantine(7, false);
  for (const [name, core] of Object.entries({ learner, stalled, sick })) {
    const hear = (): void => {
      core.receive(1, { kind: 'heartbeat', term: 1, commit: 0, readSeq: 0, sentAtMs: 0 });
      core.tick();
      for (let { persist } = core.drain(); persist !== null; { persist } = core.drain())
        core.durable(persist.ticket);
    };
    hear();
    t.equal(core.leader, 1, name);
    core.readIndex(5);
    core.drain();
    core.clock(T - 1);
    core.tick();
    t.equal(core.leader, 1, `${name}: within the timeout it may be at work`);
    core.clock(2 * T + 1);
    core.tick();
    t.match(core, { leader: 0, role: 'follower', term: 1 }, name);
    t.match(core.drain(), { messages: [], failedReads: [5] }, `${name}: it asks for nothing`);
    hear();
    t.match(core, { leader: 1, role: 'follower', term: 1 }, name);
  }
});
