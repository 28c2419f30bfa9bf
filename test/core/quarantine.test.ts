import t from 'tap';
import { RaftCore } from '../../lib/core/raft-core.ts';
import { EntryKind } from '../../lib/core/types.ts';
import { bootstrapOf } from '../../lib/node/options.ts';
import { Trio } from './trio.ts';

/** A core that has lost its log and was never in a term: all it has ever heard of was lost with the log. */
function startedInTerm0(): RaftCore {
  return new RaftCore(
    {
      id: 1,
      heartbeatMs: 100,
      electionTimeoutMs: 1000,
      lostLeaderDelayMs: 8,
      maxMessageBytes: 1000,
      maxInflightMessages: 8,
      maxInflightBytes: 1000,
      emptyEntryBytes: 40,
      seed: 1,
    },
    {
      hardState: { term: 0, vote: 0 },
      snapshot: null,
      prevIndex: 0,
      prevTerm: 0,
      termRuns: [],
      lastIndex: 0,
      sizes: [],
      configs: [],
      bootstrap: bootstrapOf([1, 2, 3].map((id) => ({ id, peerAddress: `n${id}` }))),
      nowMs: 0,
    },
  );
}

t.test('nobody is healed before a leader has said what is needed, in term 0 neither', async (t) => {
  // A node whose first segment had rotted left its quarantine at once, and stopped at its first write, again and again.
  const core = startedInTerm0();
  core.enterQuarantine(7, true);
  t.notOk(core.healed);

  core.receive(2, {
    kind: 'append',
    term: 1,
    prevIndex: 0,
    prevTerm: 0,
    last: 0,
    commit: 0,
    entries: [],
  });
  core.tick();
  t.notOk(core.healed);
  const { persist, messages } = core.drain();
  core.durable(persist!.ticket);
  const told = [...messages, ...core.drain().messages].find(({ message }) => message.kind === 'lostLog');
  t.match(told, { to: 2, message: { nonce: 7, term: 1 } });

  core.receive(2, { kind: 'refetch', term: 1, nonce: 7, index: 0 });
  const { persist: restart } = core.drain();
  t.match(restart, { resetTo: { index: 0, term: 0 } }, 'the log is restarted first');
  t.notOk(core.healed);
  core.durable(restart!.ticket);
  t.ok(core.healed);
});

t.test('a loss that was noticed counts before the quarantine begins', async (t) => {
  // "You have lost entry 9" and "take over" were read in one turn. The node became a candidate, then went into
  // quarantine, and was elected by another that had never had the entry.
  const trio = new Trio(false);
  const leader = trio.lead();
  const follower = trio.core(2);
  follower.receive(1, { kind: 'refetch', term: leader.term, nonce: 0, index: leader.lastIndex + 1 });
  t.equal(follower.lossNoticed, leader.lastIndex + 1);
  follower.receive(1, { kind: 'timeoutNow', term: leader.term });
  t.equal(follower.role, 'follower');

  follower.receive(3, {
    kind: 'voteRequest',
    term: leader.term + 1,
    lastIndex: leader.lastIndex,
    lastTerm: leader.term,
    pre: false,
    transfer: true,
  });
  const { messages } = follower.drain();
  const answer = messages.find(({ to }) => to === 3);
  t.match(answer, { message: { kind: 'voteResponse', granted: false } });

  follower.enterQuarantine(7, false);
  t.equal(follower.role, 'follower');
});

t.test('the leader of who lost something is told only when the disk knows', async (t) => {
  // It forgot at once; the power failed before the mark of the quarantine was on the disk; and nobody noticed again.
  const trio = new Trio(false);
  const leader = trio.lead();
  const follower = trio.core(2);
  const { term, lastIndex } = leader;
  follower.receive(1, { kind: 'refetch', term, nonce: 0, index: lastIndex + 1 });
  t.ok(follower.quarantined);
  const heard = (): string[] => {
    const entries = [{ term, kind: EntryKind.batch, sizeBytes: 40 }];
    const logs = { prevIndex: lastIndex, prevTerm: term, last: lastIndex + 1, commit: 0, entries };
    follower.receive(1, { kind: 'append', term, ...logs });
    follower.receive(1, { kind: 'heartbeat', term, commit: 0, readSeq: 0, sentAtMs: 0 });
    return follower.drain().messages.map(({ message }) => message.kind);
  };
  t.same(heard(), ['heartbeatAck']);
  t.equal(follower.lastIndex, lastIndex, 'and nothing is taken from it');
  follower.enterQuarantine(7, false);
  t.same(heard(), ['lostLog', 'lostLog', 'heartbeatAck']);
});

/** A follower of term 2 that has lost a part of its log and still has five entries of term 1. */
function shortened(): RaftCore {
  const trio = new Trio(false);
  trio.terms.set(2, { term: 2, vote: 0 });
  const termRuns = [{ first: 1, term: 1 }];
  const core = trio.start(2, false, { lastIndex: 5, termRuns, sizes: [40, 40, 40, 40, 40] });
  core.enterQuarantine(7, false);
  core.receive(1, { kind: 'heartbeat', term: 2, commit: 0, readSeq: 0, sentAtMs: 0 });
  return core;
}

t.test('entries of its own heal nobody: they may not be those that the leader has there', async (t) => {
  const core = shortened();
  core.receive(1, { kind: 'refetch', term: 2, nonce: 7, index: 5 });
  core.drain();
  t.equal(core.durableIndex, 5);
  t.notOk(core.healed);
  const entries = Array.from({ length: 5 }, () => ({ term: 1, kind: EntryKind.batch, sizeBytes: 40 }));
  const logs = { prevIndex: 0, prevTerm: 0, last: 5, commit: 5, entries };
  core.receive(1, { kind: 'append', term: 2, ...logs });
  core.drain();
  t.ok(core.healed);
});

t.test('the answer to an earlier loss is none to this one', async (t) => {
  // What was acknowledged after the earlier one, and lost since, the leader still counts on.
  const core = shortened();
  core.drain();
  core.receive(1, { kind: 'refetch', term: 2, nonce: 6, index: 0 });
  t.notOk(core.healed);
  core.receive(1, { kind: 'heartbeat', term: 2, commit: 0, readSeq: 0, sentAtMs: 0 });
  t.match(
    core.drain().messages.find(({ message }) => message.kind === 'lostLog'),
    { to: 1, message: { nonce: 7 } },
    'the leader is told again',
  );
});

/** Entries of term 2 from the leader, which has forgotten what this node said and needs it up to `needed`. */
function refetching(core: RaftCore, needed: number) {
  let last = 0;
  core.receive(1, { kind: 'append', term: 2, prevIndex: 0, prevTerm: 0, last: 0, commit: 0, entries: [] });
  core.drain();
  core.receive(1, { kind: 'refetch', term: 2, nonce: 7, index: needed });
  return (count: number): void => {
    const entries = Array.from({ length: count }, () => ({ term: 2, kind: EntryKind.batch, sizeBytes: 40 }));
    const prevTerm = last === 0 ? 0 : 2;
    core.receive(1, {
      kind: 'append',
      term: 2,
      prevIndex: last,
      prevTerm,
      last: last + count,
      commit: 0,
      entries,
    });
    last += count;
  };
}

/** A follower of term 2 that has lost its whole log, which must be restarted. */
function emptied(): RaftCore {
  const trio = new Trio(false);
  trio.terms.set(2, { term: 2, vote: 0 });
  const core = trio.start(2, false);
  core.enterQuarantine(7, true);
  return core;
}

t.test('a quarantine ends while clients write', async (t) => {
  // Something is always on its way to the disk then, and the node never voted again: its cluster was one loss away from
  // standing still as long as it had work.
  const core = emptied();
  const append = refetching(core, 5);
  const tickets = [core.drain().persist!.ticket];
  let healedAt = 0;
  for (let round = 1; round <= 10 && healedAt === 0; round++) {
    append(1);
    tickets.push(core.drain().persist!.ticket);
    if (tickets.length > 2) core.durable(tickets.shift()!);
    if (core.healed) healedAt = core.durableIndex;
  }
  t.equal(healedAt, 5);
  t.ok(core.state.pendingPersists.length > 0);
});

t.test('but not while the restart of the log is under way, whatever is written with it', async (t) => {
  const core = emptied();
  const append = refetching(core, 0);
  append(3);
  const { persist } = core.drain();
  t.match(persist, { resetTo: { index: 0 }, first: 1, last: 3 });
  append(3);
  const { persist: next } = core.drain();
  t.equal(core.durableIndex, 0);
  t.notOk(core.healed, 'a crash now would find the damage again');
  core.durable(persist!.ticket);
  t.ok(core.healed);
  t.equal(next!.last, 6);
});

t.test('nor while the term is not durable in which the leader has said what is needed', async (t) => {
  const core = shortened();
  core.receive(3, { kind: 'heartbeat', term: 3, commit: 0, readSeq: 0, sentAtMs: 0 });
  core.receive(3, { kind: 'refetch', term: 3, nonce: 7, index: 5 });
  const entries = [1, 1, 1, 1, 1, 3].map((term) => ({ term, kind: EntryKind.batch, sizeBytes: 40 }));
  core.receive(3, { kind: 'append', term: 3, prevIndex: 0, prevTerm: 0, last: 6, commit: 0, entries });
  const { persist } = core.drain();
  t.match(persist, { hardState: { term: 3 }, first: 6 });
  t.equal(core.durableIndex, 5);
  t.notOk(core.healed);
  core.durable(persist!.ticket);
  t.ok(core.healed);
});
