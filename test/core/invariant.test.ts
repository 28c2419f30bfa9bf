import t from 'tap';
import { invariant } from '../../lib/core/invariant.ts';

t.test('a broken invariant says which, and fills its numbers in', async (t) => {
  t.throws(() => invariant(false, 'COMMIT_BEYOND_LOG', '%, log ends at %', 7, 5), {
    name: 'InvariantError',
    code: 'COMMIT_BEYOND_LOG',
    message: 'COMMIT_BEYOND_LOG: 7, log ends at 5',
  });
  t.throws(() => invariant(false, 'LOG_RANGE', 'no snapshot'), { message: 'LOG_RANGE: no snapshot' });
});

t.test('one that holds costs no text', async (t) => {
  t.doesNotThrow(() => invariant(true, 'TICKET_ORDER', 'durable %, next is %', 1, 2));
});
