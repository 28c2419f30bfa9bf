import fc from 'fast-check';
import t from 'tap';
import { ConfigStack } from '../../lib/core/config-stack.ts';
import type { Config } from '../../lib/core/types.ts';

const config = (n: number): Config => ({
  voters: [n],
  outgoing: [],
  learners: [],
  learnersNext: [],
  members: [],
});

t.test('the newest configuration at or below an index, whatever was truncated and compacted', (t) => {
  const step = fc.record({
    kind: fc.constantFrom('push', 'push', 'truncate', 'compact', 'reset'),
    by: fc.integer({ min: 1, max: 9 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      let model = [{ index: 0, voter: 1 }];
      const stack = new ConfigStack({ index: 0, config: config(1) });
      let floor = 0;
      let next = 2;
      for (const s of steps) {
        const top = model.at(-1)!.index;
        if (s.kind === 'push') {
          model.push({ index: top + s.by, voter: next });
          stack.push(top + s.by, config(next++));
        } else if (s.kind === 'truncate') {
          const from = Math.max(floor + 1, top - s.by);
          model = model.filter((c, i) => i === 0 || c.index < from);
          stack.truncateFrom(from);
        } else if (s.kind === 'compact') {
          floor = Math.min(top, floor + s.by);
          const base = model.findLast((c) => c.index <= floor)!;
          model = [base, ...model.filter((c) => c.index > base.index)];
          stack.compactTo(floor);
        } else {
          floor = top + s.by;
          model = [{ index: floor, voter: next }];
          stack.reset({ index: floor, config: config(next++) });
        }
        if (stack.currentIndex !== model.at(-1)!.index) return false;
        if (stack.current.voters[0] !== model.at(-1)!.voter) return false;
        for (let i = floor; i <= stack.currentIndex + 1; i++) {
          const expected = model.findLast((c) => c.index <= i)!;
          if (stack.at(i).index !== expected.index) return false;
        }
        if (stack.all().length !== model.length) return false;
      }
      return true;
    }),
    { numRuns: 500 },
  );
  t.end();
});
