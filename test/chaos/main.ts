/**
 * Long runs against real processes: `npm run chaos -- --minutes 10 [--nodes 5] [--seed 1]
 * [--deeds kill,kill-all,flap]`. Each round is a cluster of
 * its own, its whole history checked; a round that fails keeps its data directory and says where.
 */
import { parseArgs } from 'node:util';
import { ALL_DEEDS, LINK_DEEDS } from '../e2e/support/nemesis.ts';
import { runRound } from './round.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    nodes: { type: 'string' },
    seed: { type: 'string' },
    deeds: { type: 'string' },
    'round-seconds': { type: 'string', default: '30' },
  },
});
const known = new Map([...ALL_DEEDS, ...LINK_DEEDS].map((deed) => [deed as string, deed]));
const deeds = values.deeds?.split(',').map((name) => {
  const deed = known.get(name);
  if (deed === undefined) throw new Error(`no deed '${name}'; there are ${[...known.keys()].join(', ')}`);
  return deed;
});
const end = performance.now() + Number(values.minutes) * 60_000;
let seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
let failed = 0;
let ops = 0;
let killed = 0;
for (; performance.now() < end; seed++) {
  const nodes = values.nodes === undefined ? (seed % 2 === 0 ? 3 : 5) : Number(values.nodes);
  const round = await runRound({
    seed,
    nodes,
    durationMs: Number(values['round-seconds']) * 1000,
    links: seed % 3 !== 0,
    leases: seed % 4 >= 2,
    ...(deeds === undefined ? {} : { deeds }),
  });
  ops += round.ops;
  killed += round.killed;
  process.stdout.write(`${round.summary}\n`);
  for (const line of round.wrong) process.stdout.write(`  WRONG ${line}\n`);
  if (round.wrong.length > 0) failed++;
}
process.stdout.write(`${ops} operations, ${killed} processes killed, ${failed} rounds failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
