import fc from 'fast-check';
import t from 'tap';
import { Progress } from '../../lib/core/progress.ts';

const limits = { maxInflightMessages: 3, maxInflightBytes: 250 };

t.test('the window counts exactly what is sent and not acknowledged', (t) => {
  const event = fc.oneof(
    fc.record({
      kind: fc.constant('send' as const),
      entries: fc.integer({ min: 1, max: 4 }),
      bytes: fc.nat(200),
    }),
    fc.record({ kind: fc.constant('ack' as const), back: fc.nat(10) }),
    fc.record({ kind: fc.constant('lost' as const) }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 200 }), (events) => {
      const pr = new Progress(2, 1, 0);
      pr.acked(0);
      let window: { last: number; bytes: number }[] = [];
      for (const e of events) {
        const bytes = window.reduce((sum, w) => sum + w.bytes, 0);
        const room = window.length === 0 || (window.length < 3 && bytes < 250);
        if (pr.state === 'replicate' && pr.canSend(limits) !== room) return false;
        if (e.kind === 'send') {
          if (pr.state !== 'replicate' || !room) continue;
          const last = pr.next + e.entries - 1;
          pr.sent(last, e.bytes);
          window.push({ last, bytes: e.bytes });
        } else if (e.kind === 'ack') {
          const match = Math.max(0, pr.next - 1 - e.back);
          const before = pr.match;
          if (pr.acked(match) !== match > before || pr.match !== Math.max(before, match)) return false;
          window = window.filter((w) => w.last > match);
        } else {
          pr.becomeProbe(pr.match + 1);
          window = [];
          if (!pr.canSend(limits)) return false;
          pr.sent(pr.next, 40);
          if (pr.canSend(limits)) return false;
          pr.acked(pr.match);
        }
        if (pr.inflightMessages !== window.length) return false;
        if (pr.inflightBytes !== window.reduce((sum, w) => sum + w.bytes, 0)) return false;
        if (pr.next <= pr.match) return false;
      }
      return true;
    }),
    { numRuns: 500 },
  );
  t.end();
});

t.test('a message larger than the whole window goes when nothing is in flight', (t) => {
  const pr = new Progress(2, 1, 0);
  pr.acked(0);
  t.ok(pr.canSend(limits));
  pr.sent(1, 10_000);
  t.notOk(pr.canSend(limits));
  pr.acked(1);
  t.ok(pr.canSend(limits));
  t.end();
});

t.test('a snapshot ends with an ack at or behind it, however late, and not before', (t) => {
  const pr = new Progress(2, 1, 0);
  pr.becomeSnapshot(10);
  t.notOk(pr.canSend(limits));
  pr.acked(9);
  t.equal(pr.state, 'snapshot');
  pr.acked(12);
  t.equal(pr.state, 'replicate');
  t.equal(pr.next, 13);
  t.end();
});

t.test('a rejection never goes behind what is known to match', (t) => {
  const pr = new Progress(2, 20, 0);
  pr.acked(7);
  pr.sent(9, 80);
  pr.rejected(3);
  t.equal(pr.state, 'probe');
  t.equal(pr.next, 8);
  t.equal(pr.inflightBytes, 0);
  t.end();
});
