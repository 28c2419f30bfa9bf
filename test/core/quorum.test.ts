import fc from 'fast-check';
import t from 'tap';
import {
  hasQuorum,
  isMember,
  majorityValue,
  memberIds,
  quorumValue,
  voteResult,
} from '../../lib/core/quorum.ts';
import type { Config } from '../../lib/core/types.ts';

const ids = fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 7 });
const config: fc.Arbitrary<Config> = fc.record({
  voters: ids.filter((v) => v.length > 0),
  outgoing: ids,
  learners: ids,
  learnersNext: fc.constant([]),
  members: fc.constant([]),
});
const values = fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 10, maxLength: 10 });

/** The definition: the highest value such that more than half of the voters have reached it. */
function bruteForce(voters: readonly number[], valueOf: (id: number) => number): number {
  if (voters.length === 0) return Infinity;
  let best = -1;
  for (let v = 0; v <= 5; v++)
    if (voters.filter((id) => valueOf(id) >= v).length * 2 > voters.length) best = v;
  return best;
}

t.test('majorities and joint quorums against the definition', (t) => {
  fc.assert(
    fc.property(config, values, (c, v) => {
      const of = (id: number): number => v[id]!;
      const expected = Math.min(bruteForce(c.voters, of), bruteForce(c.outgoing, of));
      return majorityValue(c.voters, of) === bruteForce(c.voters, of) && quorumValue(c, of) === expected;
    }),
    { numRuns: 2000 },
  );
  t.end();
});

t.test('two quorums of one configuration always share a node', (t) => {
  fc.assert(
    fc.property(
      config,
      fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 10, maxLength: 10 }),
      (c, side) => {
        // No node is on both sides.
        const left = hasQuorum(c, (id) => side[id] === 1);
        const right = hasQuorum(c, (id) => side[id] === 2);
        return !(left && right);
      },
    ),
    { numRuns: 2000 },
  );
  t.end();
});

t.test('votes: won, lost, or open, against trying all ways the rest may vote', (t) => {
  fc.assert(
    fc.property(
      config,
      fc.array(fc.constantFrom(true, false, undefined), { minLength: 10, maxLength: 10 }),
      (c, v) => {
        const cast = new Map<number, boolean>();
        v.forEach((vote, id) => vote !== undefined && cast.set(id, vote));
        const wins = (absent: boolean): boolean =>
          [c.voters, c.outgoing].every(
            (half) =>
              half.length === 0 || half.filter((id) => cast.get(id) ?? absent).length * 2 > half.length,
          );
        const expected = wins(false) ? 'won' : wins(true) ? 'open' : 'lost';
        return voteResult(c, cast) === expected;
      },
    ),
    { numRuns: 2000 },
  );
  t.end();
});

t.test('members are voters of both halves and learners, each once', (t) => {
  fc.assert(
    fc.property(config, (c) => {
      const all = [...new Set([...c.voters, ...c.outgoing, ...c.learners])].sort((a, b) => a - b);
      const found = memberIds(c);
      return found.length === all.length && found.every((id, i) => id === all[i] && isMember(c, id));
    }),
  );
  t.end();
});
