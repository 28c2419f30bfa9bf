import t from 'tap';
import { zoo } from './bug-zoo.ts';
import { huntInCore } from './support/breed.ts';

// Every second bug, so that both files run in parallel.
t.setTimeout(120_000);
huntInCore(
  t,
  zoo.filter((_, i) => i % 2 === 0),
);
