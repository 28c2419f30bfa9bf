import t from 'tap';
import { RaftCore } from '../../lib/core/raft-core.ts';
import type { CoreInit, CoreOptions } from '../../lib/core/state.ts';
import type { Message, NodeId } from '../../lib/core/types.ts';
import { bootstrapOf } from '../../lib/node/options.ts';

const T = 1000;

/** Three cores, messages carried by hand, one clock. Writes are durable at once. */
class Trio {
  now = 0;
  readonly cores = new Map<NodeId, RaftCore>();
  readonly terms = new Map<NodeId, { term: number; vote: NodeId }>();
  queue: { from: NodeId; to: NodeId; message: Message }[] = [];

  constructor(leases = true) {
    for (const id of [1, 2, 3]) this.start(id, leases);
  }

  start(id: NodeId, leases = true): RaftCore {
    const options: CoreOptions = {
      id,
      heartbeatMs: 100,
      electionTimeoutMs: T,
      lostLeaderDelayMs: 8,
      maxMessageBytes: 1000,
      maxInflightMessages: 8,
      maxInflightBytes: 1000,
      emptyEntryBytes: 40,
      leases,
      seed: id,
    };
    const init: CoreInit = {
      hardState: this.terms.get(id) ?? { term: 0, vote: 0 },
      snapshot: null,
      prevIndex: 0,
      prevTerm: 0,
      termRuns: [],
      lastIndex: 0,
      sizes: [],
      configs: [],
      bootstrap: bootstrapOf([1, 2, 3].map((n) => ({ id: n, peerAddress: `n${n}` }))),
      nowMs: this.now,
    };
    const core = new RaftCore(options, init);
    this.cores.set(id, core);
    return core;
  }

  core(id: NodeId): RaftCore {
    return this.cores.get(id)!;
  }

  turn(id: NodeId): void {
    const core = this.core(id);
    core.clock(this.now);
    core.tick();
    for (let again = true; again;) {
      const { persist, messages } = core.drain();
      for (const { to, message } of messages) this.queue.push({ from: id, to, message });
      if (persist?.hardState) this.terms.set(id, persist.hardState);
      if (persist) core.durable(persist.ticket);
      again = persist !== null;
    }
  }

  /** Runs turns and delivers messages for which `passes` holds, until all is quiet. */
  settle(passes: (from: NodeId, to: NodeId, message: Message) => boolean = () => true): void {
    for (let round = 0; round < 50; round++) {
      for (const id of this.cores.keys()) this.turn(id);
      const messages = this.queue.splice(0);
      if (messages.length === 0) return;
      for (const { from, to, message } of messages) {
        if (passes(from, to, message)) this.receive(from, to, message);
      }
    }
  }

  receive(from: NodeId, to: NodeId, message: Message): void {
    const core = this.core(to);
    core.clock(this.now);
    const entries =
      message.kind === 'append'
        ? Array.from({ length: message.last - message.prevIndex }, () => ({
            term: message.term,
            kind: 0 as const,
            sizeBytes: 40,
          }))
        : [];
    core.receive(from, message.kind === 'append' ? { ...message, entries } : message);
  }

  pass(ms: number): void {
    this.now += ms;
  }

  /** Elects node 1 and lets a round of heartbeats go by. */
  lead(): RaftCore {
    while (this.core(1).role !== 'leader') {
      this.pass(50);
      // Only node 1's timer runs: the others hear of nothing else.
      this.settle((from, _to, m) => from === 1 || m.kind !== 'voteRequest');
      for (const id of [2, 3]) if (this.core(id).role === 'leader') throw new Error('the wrong leader');
    }
    this.settle();
    this.pass(100);
    this.settle();
    return this.core(1);
  }
}

const promise = (): number => T;

t.test('a lease lasts from when a majority’s heartbeats were sent, less the drift of clocks', async (t) => {
  const trio = new Trio();
  const leader = trio.lead();
  t.equal(leader.leaseUntil(promise), trio.now + 0.9 * T);
  const sent = trio.now;
  trio.pass(100);
  trio.settle((from, to) => from !== 3 && to !== 3);
  t.equal(leader.leaseUntil(promise), sent + 100 + 0.9 * T, 'one follower and itself are a majority');
  trio.pass(100);
  trio.settle((_from, to) => to === 2 || to === 3);
  t.equal(leader.leaseUntil(promise), sent + 100 + 0.9 * T, 'what is not acknowledged counts for nothing');
  t.equal(
    leader.leaseUntil((id) => (id === 3 ? T : 0)),
    sent + 0.9 * T,
    'nor does a voter that promises nothing',
  );
  t.equal(
    leader.leaseUntil(() => 0),
    -Infinity,
  );
});

t.test('a stall, a doubt about clocks and a transfer end it', async (t) => {
  const trio = new Trio();
  const leader = trio.lead();
  leader.stalled();
  t.equal(leader.leaseUntil(promise), -Infinity);
  trio.pass(100);
  trio.settle();
  t.ok(leader.leaseUntil(promise) > trio.now, 'and new heartbeats begin another');
  leader.dropLease();
  t.equal(leader.leaseUntil(promise), -Infinity);
  trio.pass(100);
  trio.settle();

  // The order to campaign is lost, the transfer expires, heartbeats go on: but the order may yet arrive.
  t.equal(leader.transfer(2), 2);
  trio.settle((_from, _to, m) => m.kind !== 'timeoutNow');
  for (let i = 0; i < 20; i++) {
    trio.pass(100);
    trio.settle();
  }
  t.equal(leader.role, 'leader');
  t.notOk(leader.transferring);
  t.equal(leader.leaseUntil(promise), -Infinity, 'no lease for the rest of the term');
});

t.test('while a lease may be held nobody else is elected, not even after restarts', async (t) => {
  const trio = new Trio();
  const leader = trio.lead();
  const until = leader.leaseUntil(promise);
  // The leader is cut off; its followers are told that its port refuses, and one of them restarts and forgets.
  trio.core(2).leaderRefused(1);
  trio.core(3).leaderRefused(1);
  trio.start(3);
  const apart = (from: NodeId, to: NodeId): boolean => from !== 1 && to !== 1;
  let electedAt = 0;
  while (electedAt === 0) {
    trio.pass(10);
    trio.settle(apart);
    if ([2, 3].some((id) => trio.core(id).role === 'leader')) electedAt = trio.now;
  }
  t.ok(electedAt > until, `elected at ${electedAt}, the lease lasted until ${until}`);
  t.ok(electedAt < until + 4 * T, 'but then they did');
});

t.test('a voter that restarts keeps the promise it has forgotten', async (t) => {
  const trio = new Trio();
  const leader = trio.lead();
  // Node 2 hears nothing of the leader any more and asks for votes; node 3's word alone keeps the lease.
  const cut = (from: NodeId, to: NodeId): boolean => from + to !== 3;
  for (let i = 0; i < 30; i++) {
    trio.pass(100);
    trio.settle(cut);
  }
  t.equal(leader.role, 'leader');
  const until = leader.leaseUntil(promise);
  t.ok(until > trio.now);
  trio.start(3);
  let electedAt = 0;
  while (electedAt === 0) {
    trio.pass(10);
    trio.settle((from, to) => from !== 1 && to !== 1);
    if ([2, 3].some((id) => trio.core(id).role === 'leader')) electedAt = trio.now;
  }
  t.ok(electedAt > until, `elected at ${electedAt}, the lease lasted until ${until}`);
});

t.test('without leases a dead leader is replaced at once', async (t) => {
  const trio = new Trio(false);
  const leader = trio.lead();
  t.equal(leader.leaseUntil(promise), -Infinity);
  const lost = trio.now;
  trio.core(2).leaderRefused(1);
  trio.core(3).leaderRefused(1);
  while (![2, 3].some((id) => trio.core(id).role === 'leader')) {
    trio.pass(1);
    trio.settle((from, to) => from !== 1 && to !== 1);
  }
  t.ok(trio.now - lost < T / 2);
});

t.test('a node whose disk is stalled does not ask to lead', async (t) => {
  const trio = new Trio(false);
  for (const id of [1, 2, 3]) trio.core(id).diskStalled = true;
  for (let i = 0; i < 50; i++) {
    trio.pass(100);
    trio.settle();
  }
  t.ok([1, 2, 3].every((id) => trio.core(id).term === 0));
  trio.core(2).diskStalled = false;
  for (let i = 0; i < 50; i++) {
    trio.pass(100);
    trio.settle();
  }
  t.equal(trio.core(2).role, 'leader');
});
