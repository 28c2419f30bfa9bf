import t from 'tap';
import { runSeeds } from './support/seeds.ts';

// A third of the stories of cores that every run of the tests tells: in files of their own they run in parallel.
const COUNT = 800;
const happened = await runSeeds(t, 'core', 1 + 0 * COUNT, COUNT);

t.ok(happened.get('committed')! > COUNT * 20, `${happened.get('committed')} entries committed`);
t.ok(happened.get('terms')! > COUNT * 3, `in ${happened.get('terms')} terms`);
t.ok(happened.get('damages')! > COUNT / 50, `${happened.get('damages')} damaged logs`);
t.ok(happened.get('leasesHeld')! > COUNT, `${happened.get('leasesHeld')} looks at a lease that was held`);
