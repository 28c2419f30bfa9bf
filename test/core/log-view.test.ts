import fc from 'fast-check';
import t from 'tap';
import { LogView } from '../../lib/core/log-view.ts';
import { ModelLog, type ModelEntry } from '../../lib/testing/model-log.ts';

type Step =
  | { kind: 'append'; newTerm: boolean; size: number; count: number }
  | { kind: 'truncate' | 'compact'; at: number }
  | { kind: 'reset'; ahead: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      newTerm: fc.boolean(),
      size: fc.integer({ min: 40, max: 0xffffffff }),
      count: fc.integer({ min: 1, max: 90 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('truncate' as const, 'compact' as const),
      at: fc.nat(1000),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reset' as const), ahead: fc.nat(20) }) },
);

/** Highest index at or below `index` with a term of at most `term`, by looking at each. */
function lastWithTermAtMost(log: ModelLog, index: number, term: number): number {
  let at = Math.min(index, log.lastIndex);
  while (at > log.prevIndex && log.termAt(at) > term) at--;
  return at;
}

t.test('behaves as an array of entries does', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 0, max: 50 }), (steps, start) => {
      const view = new LogView(start, start === 0 ? 0 : 1);
      const model = new ModelLog();
      model.reset(start, start === 0 ? 0 : 1);
      let term = 1;
      for (const s of steps) {
        const span = model.lastIndex - model.prevIndex;
        if (s.kind === 'append') {
          if (s.newTerm) term++;
          for (let i = 0; i < s.count; i++) {
            model.append({ index: model.lastIndex + 1, term, sizeBytes: s.size } as ModelEntry);
            if (view.append(term, s.size) !== model.lastIndex) return false;
          }
        } else if (s.kind === 'reset') {
          model.reset(model.lastIndex + s.ahead, term);
          view.reset(model.lastIndex, term);
        } else if (span > 0) {
          const at = model.prevIndex + 1 + (s.at % span);
          if (s.kind === 'truncate') {
            model.truncateFrom(at);
            view.truncateFrom(at);
          } else {
            model.compactTo(at);
            view.compactTo(at);
          }
        }
        const bytes = model.entries.reduce((sum, e) => sum + e.sizeBytes, 0);
        if (view.lastIndex !== model.lastIndex || view.prevIndex !== model.prevIndex) return false;
        if (view.lastTerm !== model.lastTerm || view.totalBytes !== bytes) return false;
        for (let i = model.prevIndex - 1; i <= model.lastIndex + 1; i++) {
          if (view.termAt(i) !== (i < 0 ? -1 : model.termAt(i))) return false;
          if (i > model.prevIndex && i <= model.lastIndex && view.sizeAt(i) !== model.get(i)!.sizeBytes)
            return false;
        }
        for (const probe of [0, 1, term - 1, term]) {
          const index = model.prevIndex + 1 + (bytes % (model.lastIndex - model.prevIndex + 3));
          if (view.lastWithTermAtMost(index, probe) !== lastWithTermAtMost(model, index, probe)) return false;
        }
      }
      return true;
    }),
    { numRuns: 300 },
  );
  t.end();
});

t.test('up to date: the last term counts first, the length only where they are equal', (t) => {
  const view = new LogView(0, 0);
  for (const term of [1, 1, 3]) view.append(term, 40);
  t.ok(view.isUpToDate(3, 3));
  t.ok(view.isUpToDate(1, 4), 'shorter, of a newer term');
  t.notOk(view.isUpToDate(9, 2), 'longer, of an older term');
  t.notOk(view.isUpToDate(2, 3));
  t.end();
});

t.test('refuses what would leave a gap or go back', (t) => {
  const view = new LogView(0, 0);
  for (let i = 0; i < 5; i++) view.append(2, 40);
  t.throws(() => view.append(1, 40), { code: 'TERM_REGRESSED' });
  view.compactTo(3);
  t.throws(() => view.truncateFrom(3), { code: 'LOG_RANGE' });
  t.throws(() => view.compactTo(6), { code: 'LOG_RANGE' });
  t.throws(() => view.sizeAt(3), { code: 'LOG_RANGE' });
  t.end();
});
