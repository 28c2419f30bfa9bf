import t from 'tap';
import type { Driver } from '../../lib/node/driver.ts';
import { systemRuntime } from '../../lib/node/runtime.ts';
import { Turns } from '../../lib/node/turns.ts';

t.test('what is no signal fails the call, and leaves nothing behind that a turn would meet', async (t) => {
  const driver = { afterTurn: new Set(), stopped: false, now: 0, options: { runtime: systemRuntime } };
  const turns = new Turns(driver as unknown as Driver);
  const signal = new AbortController() as unknown as AbortSignal;
  await t.rejects(
    turns.until(() => false, { deadlineMs: 1000, signal }, 'late'),
    TypeError,
  );
  t.equal(driver.afterTurn.size, 0);
});
