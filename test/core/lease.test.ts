import t from 'tap';
import type { NodeId } from '../../lib/core/types.ts';
import { T, Trio } from './trio.ts';

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

t.test('an acknowledgement of a heartbeat that was never sent lengthens nothing', async (t) => {
  const trio = new Trio();
  const leader = trio.lead();
  const until = leader.leaseUntil(promise);
  trio.pass(10);
  for (const id of [2, 3]) {
    trio.receive(id, 1, { kind: 'heartbeatAck', term: leader.term, readSeq: 0, sentAtMs: trio.now + 5 * T });
  }
  t.equal(leader.leaseUntil(promise), until);
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

t.test('a leader that is being removed has none: a voter that is alone is bound to nobody', async (t) => {
  // 1 leads {1, 2, 3} and makes it {2}. 2 has that on its disk, restarts, elects itself at once and commits, while 1
  // still counts on what 2 acknowledged before it died.
  const trio = new Trio();
  const leader = trio.lead();
  const target = { voters: [2], learners: [], members: [{ id: 2, peerAddress: 'n2' }] };
  t.type(leader.proposeConfig(target, leader.configIndex), 'number');
  const isAlone = (): boolean => leader.config.outgoing.length === 0 && leader.config.voters.length === 1;
  trio.settle((from) => from === 1 || !isAlone());
  t.ok(isAlone() && leader.configIndex > leader.commitIndex, 'nobody has said that it has this');
  t.equal(leader.role, 'leader');
  t.equal(leader.leaseUntil(promise), -Infinity);
});

t.test('there is none while a configuration is not committed', async (t) => {
  // 1, which was no voter of {2}, makes itself one again (core seed 332094427). 2 restarts without having heard of that:
  // alone, and bound to nobody.
  const trio = new Trio();
  const leader = trio.lead();
  const members = [1, 2, 3].map((id) => ({ id, peerAddress: `n${id}` }));
  t.ok(leader.leaseUntil(promise) > trio.now);
  t.type(leader.proposeConfig({ voters: [1, 2], learners: [3], members }, leader.configIndex), 'number');
  t.ok(leader.configIndex > leader.commitIndex);
  t.equal(leader.leaseUntil(promise), -Infinity);
  trio.settle();
  t.equal(leader.configIndex, leader.commitIndex);
  t.ok(leader.leaseUntil(promise) > trio.now, 'and one again when it is');
});
