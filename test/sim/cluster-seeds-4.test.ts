import t from 'tap';
import { faultNames } from '../../lib/testing/nemesis.ts';
import { runSeeds } from './support/seeds.ts';

// A sixth of the stories of whole clusters that every run of the tests tells: in files of their own they run in parallel.
const COUNT = 60;
const happened = await runSeeds(t, 'cluster', 1 + 3 * COUNT, COUNT);

t.ok(happened.get('operations')! > COUNT * 40, `${happened.get('operations')} operations`);
for (const name of faultNames) t.ok(happened.get(name)! > 0, `fault: ${name}`);
for (const name of ['terms led', 'starts', 'quarantines', 'snapshots installed', 'changes of members'])
  t.ok(happened.get(name)! > 0, `${happened.get(name)} ${name}`);
