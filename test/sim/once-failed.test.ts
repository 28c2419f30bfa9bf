import t from 'tap';
import { coreChaos } from '../../lib/testing/core-chaos.ts';
import { stackChaos } from '../../lib/testing/stack-chaos.ts';

// Stories found by long runs, with what was wrong. What they tell changes with the code, so most have a test of their
// own as well; these are cheap, and the first to ask when something like it comes up again.
const stories = [
  { seed: 85, wrong: 'a disk that failed while the log looked at its room went unnoticed' },
  {
    seed: 286472245,
    faults: new Set([4, 6, 7, 8, 9, 11, 14, 15, 18, 21, 22]),
    wrong: 'a simulated connection outlived the process that had accepted it',
  },
  {
    seed: 294014257,
    wrong: 'the checker missed that a leader committed when it began to leave a joint configuration',
  },
];

for (const { seed, faults, wrong } of stories) {
  t.test(`cluster story ${seed}: ${wrong}`, async (t) => {
    const { operations } = await stackChaos(seed, { faults });
    t.ok(operations > 0);
  });
}

t.test('core story 7300617: a rejection overtaken by acks barred a voter for good', async (t) => {
  t.ok(coreChaos(7300617).committed > 0);
});
