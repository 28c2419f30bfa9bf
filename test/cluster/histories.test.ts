// Clients of all kinds push and pop while nodes are killed, frozen, stopped and restarted; what they were told must be
// explicable. `npm run chaos` does the same for longer.
import t from 'tap';
import { ALL_DEEDS, type Deed } from '../e2e/support/nemesis.ts';
import { runRound } from '../chaos/round.ts';

const rounds: readonly { readonly nodes: number; readonly seed: number; readonly deeds: readonly Deed[] }[] =
  [
    { nodes: 3, seed: 1, deeds: ALL_DEEDS },
    { nodes: 5, seed: 2, deeds: ['storm', 'kill-leader', 'freeze-leader', 'stop', 'kill'] },
  ];

for (const { nodes, seed, deeds } of rounds) {
  t.test(`${nodes} nodes`, async (t) => {
    const round = await runRound({ seed, nodes, durationMs: 9_000, deeds });
    t.strictSame(round.wrong, []);
    t.ok(round.done >= 300, `${round.done} operations done`);
    t.ok(round.elections >= 1, `${round.elections} terms went by`);
    t.comment(round.summary);
  });
}
