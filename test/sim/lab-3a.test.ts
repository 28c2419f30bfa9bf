// MIT 6.5840, lab 3A: elections. Own words, own core.
import t from 'tap';
import { ELECTION_TIMEOUT_MS, Lab } from './support/lab.ts';

t.test('InitialElection: one leader, and its term stays as long as nothing fails', async (t) => {
  const lab = new Lab(3);
  const leader = lab.leader();
  const { term } = leader.core;
  lab.run(50 * ELECTION_TIMEOUT_MS);
  t.equal(lab.leader(), leader);
  for (const { core } of lab.nodes) t.equal(core.term, term);
});

t.test('ReElection: a leader that is cut off is replaced; without a quorum there is none', async (t) => {
  const lab = new Lab(3);
  const first = lab.leader();
  lab.isolate(first.id);
  const second = lab.leader();
  t.not(second, first);
  t.ok(second.core.term > first.core.term);

  lab.rejoin(first.id);
  lab.run(5 * ELECTION_TIMEOUT_MS);
  t.equal(lab.leader(), second, 'whoever returns does not disturb');
  t.equal(first.core.role, 'follower');

  const third = lab.nodes.find((n) => n !== first && n !== second)!;
  lab.isolate(second.id, third.id);
  lab.run(10 * ELECTION_TIMEOUT_MS);
  for (const { core } of lab.nodes) t.not(core.role, 'leader', 'nobody has a quorum');

  lab.rejoin(third.id);
  lab.leader();
  lab.rejoin(second.id);
  lab.leader();
});

t.test('ManyElections: of seven nodes three are cut off, ten times', async (t) => {
  const lab = new Lab(7);
  lab.leader();
  for (let round = 0; round < 10; round++) {
    const away = new Set<number>();
    while (away.size < 3) away.add(lab.any().id);
    lab.isolate(...away);
    t.notOk(away.has(lab.leader().id), 'the four that are left have one leader');
    lab.rejoin(...away);
  }
  lab.leader();
});
