import t from 'tap';
import { encodeAnswer } from '../../lib/machine/saved-state.ts';

t.test('the buffer that one large answer needed is not kept for all small ones', async (t) => {
  const large = 'x'.repeat(4 << 20);
  t.equal(encodeAnswer(large).length, large.length + 5);
  const small = encodeAnswer(1);
  t.same([...small], [1]);
  t.ok(small.buffer.byteLength < large.length);
});
