import t from 'tap';

import { CordwoodError } from '../../protocol/errors.ts';

t.test('code, outcome, cause', async (t) => {
  const cause = new Error('why');
  const error = new CordwoodError('BUSY', 'too much', { cause });
  t.match(error, { name: 'CordwoodError', code: 'BUSY', message: 'too much', outcome: 'not_applied', cause });
  t.ok(error instanceof Error);
  t.equal(new CordwoodError('OUTCOME_UNKNOWN', '').outcome, 'unknown');
  t.equal(new CordwoodError('TIMEOUT', '', { outcome: 'unknown' }).outcome, 'unknown');
});

t.test('an error of another copy of the package is recognised, nothing else is', async (t) => {
  const foreign = Object.defineProperty(new Error('x'), Symbol.for('cordwood.error'), { value: true });
  t.ok(CordwoodError.is(foreign));
  t.ok(CordwoodError.is(new CordwoodError('BUSY', '')));
  for (const other of [new Error('x'), null, undefined, 'BUSY', { code: 'BUSY' }])
    t.notOk(CordwoodError.is(other));
});
