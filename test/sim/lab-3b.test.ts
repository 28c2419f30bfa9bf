// MIT 6.5840, lab 3B: the log. Own words, own core.
import t from 'tap';
import { ELECTION_TIMEOUT_MS, Lab } from './support/lab.ts';

t.test('BasicAgree: nothing is committed before it is proposed, and then at the next index', async (t) => {
  const lab = new Lab(3);
  const noop = lab.leader().core.lastIndex;
  for (let i = 1; i <= 3; i++) {
    t.ok(lab.committed <= noop + i - 1);
    t.equal(lab.agree(), noop + i);
  }
});

t.test('RPCBytes: an entry crosses the wire once to each peer', async (t) => {
  const lab = new Lab(3);
  const leader = lab.leader();
  lab.agree();
  lab.sent.length = 0;
  const first = leader.core.lastIndex + 1;
  lab.agree(10);
  const last = leader.core.lastIndex;
  const copies = new Map<number, number>();
  for (const { text } of lab.sent) {
    const [, from, to] = /^append .* (\d+)…(\d+) /.exec(text) ?? [];
    for (let i = Number(from); i <= Number(to); i++) copies.set(i, (copies.get(i) ?? 0) + 1);
  }
  for (let i = first; i <= last; i++) t.equal(copies.get(i), 2, `entry ${i}`);
});

t.test('FollowerFailure: two of three go on, one does not', async (t) => {
  const lab = new Lab(3);
  const leader = lab.leader();
  const [one, other] = lab.nodes.filter((n) => n !== leader);
  lab.isolate(one!.id);
  lab.agree();
  lab.run(5 * ELECTION_TIMEOUT_MS);
  lab.agree();
  lab.isolate(other!.id);
  const before = lab.committed;
  lab.propose(leader);
  lab.run(10 * ELECTION_TIMEOUT_MS);
  t.equal(lab.committed, before, 'nothing without a quorum');
});

t.test('LeaderFailure: the next leader goes on; after two, nobody does', async (t) => {
  const lab = new Lab(3);
  lab.agree();
  lab.isolate(lab.leader().id);
  lab.agree();
  lab.run(5 * ELECTION_TIMEOUT_MS);
  lab.agree();
  lab.isolate(lab.leader().id);
  const before = lab.committed;
  for (const node of lab.nodes) lab.propose(node);
  lab.run(10 * ELECTION_TIMEOUT_MS);
  t.equal(lab.committed, before);
});

t.test('FailAgree: a follower that was away catches up', async (t) => {
  const lab = new Lab(3);
  const leader = lab.leader();
  lab.agree();
  const away = lab.nodes.find((n) => n !== leader)!;
  lab.isolate(away.id);
  lab.agree(3);
  lab.run(5 * ELECTION_TIMEOUT_MS);
  lab.agree(2);
  t.ok(away.applied < lab.committed);
  lab.rejoin(away.id);
  lab.agree();
  t.equal(away.applied, lab.committed);
});

t.test('FailNoAgree: with three of five away nothing commits; afterwards all agree', async (t) => {
  const lab = new Lab(5);
  lab.agree();
  const leader = lab.leader();
  const away = lab.nodes.filter((n) => n !== leader).slice(0, 3);
  lab.isolate(...away.map((n) => n.id));
  const before = lab.committed;
  t.ok(lab.propose(leader) > before, 'it is taken');
  lab.run(10 * ELECTION_TIMEOUT_MS);
  t.equal(lab.committed, before, 'and not committed');
  lab.rejoin(...away.map((n) => n.id));
  t.ok(lab.agree() > before);
  lab.agree();
});

t.test('ConcurrentStarts: proposals of one turn get an index each', async (t) => {
  const lab = new Lab(3);
  const leader = lab.leader();
  const indexes: number[] = [];
  leader.act(() => {
    for (let i = 0; i < 5; i++) indexes.push(leader.propose(100));
  });
  lab.until('all committed', () => lab.settled && indexes.length === 5);
  t.equal(new Set(indexes).size, 5);
  t.equal(lab.committed, Math.max(...indexes));
});

t.test('Rejoin: entries that an old leader took alone give way', async (t) => {
  const lab = new Lab(3);
  lab.agree();
  const first = lab.leader();
  lab.isolate(first.id);
  for (let i = 0; i < 3; i++) lab.propose(first);
  const second = lab.leader();
  lab.agree();
  lab.isolate(second.id);
  lab.rejoin(first.id);
  lab.agree();
  lab.rejoin(second.id);
  lab.agree();
  lab.until('equal logs', () => lab.settled);
  t.equal(first.core.lastIndex, second.core.lastIndex);
});

t.test(
  'Backup: logs of five nodes diverge by fifty entries, several times, and are soon one again',
  async (t) => {
    const lab = new Lab(5);
    lab.agree();
    const rejections = (): number => lab.sent.filter(({ text }) => text.includes('rejected')).length;
    for (let round = 0; round < 3; round++) {
      const leader = lab.leader();
      const others = lab.nodes.filter((n) => n !== leader).map((n) => n.id);
      const side = [leader.id, others[round % 4]!];
      lab.split(side);
      // A leader and one follower: fifty entries that will never be committed.
      for (let i = 0; i < 50; i++) lab.propose(leader);
      const rest = lab.nodes.filter((n) => !side.includes(n.id));
      lab.until('a leader on the other side', () => rest.some((n) => n.core.role === 'leader'));
      const other = rest.find((n) => n.core.role === 'leader')!;
      for (let i = 0; i < 50; i++) lab.propose(other);
      lab.until('the majority commits', () => lab.committed >= other.core.lastIndex);
      const before = rejections();
      lab.split();
      lab.agree();
      lab.until('equal logs', () => lab.settled);
      t.ok(rejections() - before < 40, `${rejections() - before} rejections, not one for each entry`);
    }
  },
);

t.test('Count: an election, ten entries and an idle second take few messages', async (t) => {
  const lab = new Lab(3);
  lab.leader();
  t.ok(lab.sent.length <= 30, `an election: ${lab.sent.length}`);
  lab.agree();
  lab.sent.length = 0;
  lab.agree(10);
  t.ok(lab.sent.length <= 3 * 2 * (10 + 4), `ten entries: ${lab.sent.length}`);
  lab.run(ELECTION_TIMEOUT_MS);
  lab.sent.length = 0;
  lab.run(1000);
  // A heartbeat each 40 ms to two peers, and its answer.
  t.ok(lab.sent.length <= 4 * 26, `idle: ${lab.sent.length}`);
});
