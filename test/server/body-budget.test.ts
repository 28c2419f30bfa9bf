import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import fc from 'fast-check';
import t from 'tap';
import { BodyBudget } from '../../lib/server/body-budget.ts';

const KIB = 1 << 10;
const FOR_EVER_MS = 60_000;

/** As much of a reply as the budget looks at. */
function reply(): ServerResponse & { end(): void } {
  const emitter = new EventEmitter();
  return Object.assign(emitter, {
    closed: false,
    destroyed: false,
    end(this: { closed: boolean } & EventEmitter) {
      this.closed = true;
      this.emit('close');
    },
  }) as unknown as ServerResponse & { end(): void };
}

t.test('never more than it may hold, and everybody gets a turn', async (t) => {
  const sizes = fc.array(fc.integer({ min: 1, max: 400 * KIB }), { minLength: 1, maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(sizes, fc.infiniteStream(fc.nat()), async (bodies, dice) => {
      const max = 500 * KIB;
      const budget = new BodyBudget(max);
      const open: { outgoing: ReturnType<typeof reply>; in: boolean; gone: boolean }[] = [];
      const ends = bodies.map(async (bytes) => {
        const one = { outgoing: reply(), in: false, gone: false };
        open.push(one);
        await budget.take(bytes, one.outgoing, FOR_EVER_MS).then(
          () => (one.in = true),
          () => (one.gone = true),
        );
      });
      let guard = 0;
      while (open.length > 0) {
        await Promise.resolve();
        if (budget.held > max || ++guard > 10_000) return false;
        // Somebody is done, or goes away while it waits.
        const [one] = open.splice(dice.next().value % open.length, 1);
        one!.outgoing.end();
      }
      await Promise.all(ends);
      return budget.held === 0;
    }),
    { numRuns: 200 },
  );
  t.pass('held its word');
});

t.test('first come, first served; small ones do not wait', async (t) => {
  const budget = new BodyBudget(300 * KIB);
  const first = reply();
  await budget.take(300 * KIB, first, FOR_EVER_MS);
  const order: string[] = [];
  const second = budget.take(200 * KIB, reply(), FOR_EVER_MS).then(() => order.push('second'));
  // It would fit behind the second one only.
  const third = budget.take(100 * KIB, reply(), FOR_EVER_MS).then(() => order.push('third'));
  await budget.take(10 * KIB, reply(), FOR_EVER_MS);
  t.strictSame(order, []);
  first.end();
  await Promise.all([second, third]);
  t.strictSame(order, ['second', 'third']);
});

t.test('who waits too long, or goes away, gets no room and holds none', async (t) => {
  const budget = new BodyBudget(100 * KIB);
  const first = reply();
  await budget.take(100 * KIB, first, FOR_EVER_MS);
  await t.rejects(budget.take(80 * KIB, reply(), 1), { code: 'BUSY', outcome: 'not_applied' });
  const leaving = reply();
  const lost = t.rejects(budget.take(80 * KIB, leaving, FOR_EVER_MS), { code: 'CONNECTION_LOST' });
  leaving.end();
  await lost;
  t.equal(budget.held, 100 * KIB);
  first.end();
  t.equal(budget.held, 0);
  // It went away between two steps: nothing would ever give its room back.
  const gone = reply();
  gone.end();
  await budget.take(80 * KIB, gone, FOR_EVER_MS);
  t.equal(budget.held, 0);
});
