// MIT 6.5840, lab 3C: what survives a crash. Own words, own core.
import t from 'tap';
import { ELECTION_TIMEOUT_MS, Lab, unreliable, veryLate } from './support/lab.ts';
import type { Weather } from '../../lib/testing/weather.ts';

t.test('Persist1: all crash, then the leader, then a follower; nothing is forgotten', async (t) => {
  const lab = new Lab(3);
  const first = lab.agree();
  lab.crash(1, 2, 3);
  lab.restart(1, 2, 3);
  t.ok(lab.agree() > first, 'what was committed is still there');

  const leader = lab.leader();
  lab.crash(leader.id);
  lab.restart(leader.id);
  lab.agree();

  const second = lab.leader();
  lab.crash(second.id);
  lab.agree();
  lab.restart(second.id);
  lab.until('it catches up', () => lab.settled);

  const follower = lab.nodes.find((n) => n !== lab.leader())!;
  lab.crash(follower.id);
  lab.agree();
  lab.restart(follower.id);
  lab.until('it catches up', () => lab.settled);
  t.equal(follower.applied, lab.committed);
});

t.test('Persist2: of five nodes two, then all, then others crash, over and over', async (t) => {
  const lab = new Lab(5);
  const ids = lab.nodes.map((n) => n.id);
  for (let round = 0; round < 5; round++) {
    const before = lab.agree();
    const leader = lab.leader().id;
    const at = (offset: number): number => ids[(leader - 1 + offset) % 5]!;
    lab.crash(at(1), at(2));
    lab.agree();
    lab.crash(at(0), at(3), at(4));
    lab.restart(at(1), at(2));
    lab.run(3 * ELECTION_TIMEOUT_MS);
    lab.restart(at(3));
    lab.agree();
    lab.restart(at(0), at(4));
    lab.until('everyone catches up', () => lab.settled);
    t.ok(lab.committed > before);
  }
});

t.test('Persist3: a leader and a follower crash, the follower and the third meet alone', async (t) => {
  const lab = new Lab(3);
  const known = lab.agree();
  const leader = lab.leader();
  const [one, other] = lab.nodes.filter((n) => n !== leader);
  lab.isolate(other!.id);
  const newer = lab.agree();
  lab.crash(leader.id, one!.id);
  lab.rejoin(other!.id);
  lab.restart(one!.id);
  t.equal(lab.leader(), one, 'only the one that has the entry can lead');
  t.ok(lab.agree() > newer);
  lab.restart(leader.id);
  lab.until('everyone catches up', () => lab.settled);
  t.ok(newer > known);
});

/** Leaders crash soon after they have taken something, and come back much later. */
function figure8(lab: Lab, rounds: number): void {
  for (let round = 0; round < rounds; round++) {
    for (const node of lab.nodes) if (node.up && node.core.role === 'leader') lab.propose(node);
    lab.run(lab.dice.next() < 0.1 ? lab.dice.between(0, 500) : lab.dice.between(0, 13));
    const leader = lab.nodes.find((n) => n.up && n.core.role === 'leader');
    if (leader) lab.crash(leader.id);
    const up = lab.nodes.filter((n) => n.up).length;
    const next = lab.any();
    if (up < 3 && !next.up) lab.restart(next.id);
  }
  for (const node of lab.nodes) if (!node.up) lab.restart(node.id);
}

t.test(
  'Figure8: leaders crash right after they took an entry; nothing committed is ever replaced',
  async (t) => {
    const lab = new Lab(5);
    lab.agree();
    figure8(lab, 300);
    const before = lab.committed;
    t.ok(lab.agree() > before);
  },
);

t.test('UnreliableAgree: many entries at once over a network that loses, doubles and delays', async (t) => {
  const lab = new Lab(5, unreliable);
  for (let round = 0; round < 20; round++) {
    const leader = lab.findLeader();
    if (leader) for (let i = 0; i < 5; i++) lab.propose(leader);
    lab.run(20);
  }
  lab.agree();
  t.ok(lab.committed >= 20);
});

for (const [name, weather] of [
  ['unreliable', unreliable],
  ['messages later than elections', veryLate],
] as const) {
  t.test(`Figure8Unreliable: leaders come and go while messages arrive long after (${name})`, async (t) => {
    const lab = new Lab(5, weather);
    for (let round = 0; round < 400; round++) {
      for (const node of lab.nodes) if (node.core.role === 'leader') lab.propose(node);
      lab.run(lab.dice.next() < 0.1 ? lab.dice.between(0, 500) : lab.dice.between(0, 13));
      const away = lab.nodes.filter((n) => !lab.connected.includes(n)).map((n) => n.id);
      const leader = lab.nodes.find((n) => n.core.role === 'leader');
      if (leader && away.length < 2 && lab.dice.next() < 0.5) lab.isolate(leader.id);
      else if (away.length > 0) lab.rejoin(away[0]!);
    }
    lab.rejoin(1, 2, 3, 4, 5);
    Object.assign(lab.cluster.weather, { lossRate: 0, maxDelayMs: 30 });
    lab.agree();
    lab.until('equal logs', () => lab.settled);
    t.pass(`${lab.committed} entries`);
  });
}

function churn(weather: Partial<Weather>): Lab {
  const lab = new Lab(5, weather);
  for (let round = 0; round < 20; round++) {
    // Everybody is asked, all the time; who leads takes it.
    for (let i = 0; i < 10; i++) {
      for (const node of lab.nodes) if (node.up && node.core.role === 'leader') lab.propose(node);
      lab.run(lab.dice.between(5, 40));
    }
    const node = lab.any();
    const kind = lab.dice.next();
    if (kind < 0.2) lab.isolate(node.id);
    else if (kind < 0.5) lab.rejoin(...lab.nodes.map((n) => n.id));
    else if (kind < 0.7) lab.crash(node.id);
    else lab.restart(...lab.nodes.map((n) => n.id));
  }
  lab.rejoin(...lab.nodes.map((n) => n.id));
  lab.restart(...lab.nodes.map((n) => n.id));
  lab.agree();
  lab.until('equal logs', () => lab.settled);
  return lab;
}

t.test('ReliableChurn: nodes crash, restart, leave and return under load', async (t) => {
  t.ok(churn({}).committed > 50);
});

t.test('UnreliableChurn: the same over a bad network', async (t) => {
  t.ok(churn(unreliable).committed > 20);
});
