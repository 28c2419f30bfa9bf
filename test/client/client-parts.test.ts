import fc from 'fast-check';
import t from 'tap';
import { AddressBook } from '../../lib/client/address-book.ts';
import { Call, Retry } from '../../lib/client/call.ts';
import { Deadlines } from '../../lib/client/deadlines.ts';
import { Chunk, FrameStore } from '../../lib/client/frame-store.ts';
import { Lane } from '../../lib/client/lane.ts';
import { normalAddress } from '../../lib/client/options.ts';
import { RequestRing } from '../../lib/client/request-ring.ts';
import type { Route } from '../../lib/client/routes.ts';
import { Session } from '../../lib/client/session.ts';
import { Kind, Status } from '../../protocol/constants.ts';

const route: Route = { lane: new Lane(), kind: Kind.command, flags: 0, retry: Retry.always };
const nothing = (): void => {};
const makeCall = (order: number): Call =>
  new Call().begin(route, order, nothing, nothing, nothing, new Chunk(), 0, 0);

t.test('session: the lowest open number, against a set', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 5000 }), { maxLength: 300 }), (steps) => {
      const session = new Session(1, 1000);
      const open = new Set<number>();
      for (const step of steps) {
        if (step % 3 !== 0 || open.size === 0) {
          // Now and then many at once, so that the ring grows with gaps in it.
          for (let i = 0; i <= (step > 4900 ? 1500 : 0); i++) open.add(session.take());
        } else {
          const seq = [...open][step % open.size]!;
          open.delete(seq);
          session.release(seq);
        }
        const lowest = open.size === 0 ? session.nextSeq : Math.min(...open);
        if (session.lowest !== lowest) throw new Error(`lowest ${session.lowest}, not ${lowest}`);
      }
    }),
    { numRuns: 100 },
  );
  const session = new Session(1, 1000);
  for (let i = 0; i < 10; i++) session.take();
  t.equal(session.full(11), false);
  t.equal(session.full(10), true, 'the next window would reach 10');
  session.release(1);
  t.equal(session.full(10), false);
  session.release(1);
  t.equal(session.lowest, 2, 'released twice is released once');
});

t.test('ring: ids find their calls, whatever is left behind, across the wrap of ids', async (t) => {
  fc.assert(
    fc.property(
      fc.constantFrom(1, 2 ** 32 - 300, 2 ** 31 - 100),
      fc.array(fc.nat({ max: 1000 }), { maxLength: 2000 }),
      (firstId, steps) => {
        const ring = new RequestRing(firstId);
        const calls = new Map<number, Call>();
        let order = 0;
        for (const step of steps) {
          if (step % 5 < 3) {
            const call = makeCall(order++);
            const id = ring.add(call);
            if (id === 0 || calls.has(id)) throw new Error(`id ${id} given twice`);
            calls.set(id, call);
          } else if (calls.size > 0) {
            const id = [...calls.keys()][step % calls.size]!;
            if (ring.take(id) !== calls.get(id)) throw new Error(`id ${id} lost`);
            if (ring.take(id) !== null) throw new Error(`id ${id} found twice`);
            calls.delete(id);
          }
        }
        if (ring.size !== calls.size) throw new Error('size');
        const all = ring.calls();
        const expected = [...calls.values()].sort((a, b) => a.order - b.order);
        if (all.length !== expected.length || all.some((call, i) => call !== expected[i]))
          throw new Error('calls');
      },
    ),
    { numRuns: 50 },
  );
  t.equal(new RequestRing().take(12345), null);
});

t.test('lane: calls are always in the order they were made', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 100 }), { maxLength: 200 }), (steps) => {
      const lane = new Lane();
      const away: Call[] = [];
      let order = 0;
      for (const step of steps) {
        if (step % 4 === 0) lane.append(makeCall(order++));
        else if (step % 4 === 1 && lane.head !== null) {
          away.push(lane.head);
          lane.remove(lane.head);
        } else if (step % 4 === 2 && away.length > 0) {
          lane.return(away.splice(step % away.length, 1)[0]!);
        } else if (lane.length > 0) {
          let call = lane.head!;
          for (let i = 0; i < step % lane.length; i++) call = call.queueNext!;
          lane.remove(call);
          lane.remove(call);
        }
        let count = 0;
        for (let call = lane.head; call !== null; call = call.queueNext) {
          if (call.queueNext !== null && call.queueNext.order <= call.order) throw new Error('order');
          if (call.queueNext !== null && call.queueNext.queuePrevious !== call) throw new Error('links');
          count++;
        }
        if (count !== lane.length) throw new Error('length');
      }
    }),
  );
  t.pass();
});

t.test('lane: the refusals of one burst hold it once', async (t) => {
  const lane = new Lane();
  for (let i = 0; i < 100; i++) lane.refused(Status.busy, 'BUSY', 1000, 0.5);
  t.equal(lane.holdUntil, 1002);
  for (let i = 0; i < 100; i++) lane.refused(Status.busy, 'BUSY', 1003, 0.5);
  t.equal(lane.holdUntil, 1007, 'the next one holds it longer');
  t.ok(lane.probing);
  lane.accepted();
  t.notOk(lane.probing);
  t.equal(lane.holdUntil, 0);
});

t.test('deadlines: never early, at most a tick late, whatever order they are in', async (t) => {
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 1e6, noNaN: true }),
      fc.array(fc.tuple(fc.double({ min: 0, max: 20_000, noNaN: true }), fc.boolean()), { maxLength: 100 }),
      fc.array(fc.double({ min: 0, max: 7000, noNaN: true }), { maxLength: 30 }),
      (start, timeouts, advances) => {
        let now = start;
        const expired = new Set<Call>();
        const deadlines = new Deadlines(now, (call) => {
          if (call.deadline > now) throw new Error('early');
          deadlines.remove(call);
          expired.add(call);
        });
        const calls = timeouts.map(([timeoutMs, remove], i) => {
          const call = makeCall(i);
          deadlines.add(call, now + timeoutMs);
          if (remove) deadlines.remove(call);
          return { call, remove };
        });
        for (const advance of advances) {
          now += advance;
          deadlines.advance(now);
          for (const { call, remove } of calls) {
            if (remove ? expired.has(call) : call.deadline + 20 < now && !expired.has(call))
              throw new Error('late');
          }
        }
        if (deadlines.size !== calls.filter(({ call, remove }) => !remove && !expired.has(call)).length) {
          throw new Error('size');
        }
      },
    ),
  );
  t.pass();
});

t.test('frame store: a chunk is written over only when it was given back', async (t) => {
  const store = new FrameStore();
  const first = store.chunkFor(100);
  first.writer.bytes(Buffer.alloc(130_000, 1));
  const second = store.chunkFor(10_000);
  t.not(second, first);
  second.writer.u8(1);
  store.recycle(first);
  second.writer.bytes(Buffer.alloc(130_000, 2));
  t.equal(store.chunkFor(10_000), first);
  t.equal(first.writer.position, 0);
  const large = new FrameStore();
  const chunk = large.chunkFor(1 << 20);
  chunk.writer.bytes(Buffer.alloc(1 << 20));
  large.recycle(chunk);
  t.not(large.chunkFor(100), chunk, 'what a large frame needed is not kept');
  const half = large.chunkFor((1 << 20) + 1);
  half.writer.bytes(Buffer.alloc((1 << 20) + 1));
  large.recycle(half);
  t.not(large.chunkFor(100), half, 'nor if there would be room in it');
});

t.test('address book', async (t) => {
  let random = 0;
  const book = new AddressBook(['a:1', 'b:1', 'c:1'], () => random);
  const none = new Set<string>();
  t.equal(book.next('c:1', none, 0), 'c:1', 'the preferred one');
  t.equal(book.next('c:1', new Set(['c:1', 'b:1']), 0), 'a:1');
  book.failed('a:1', 0, 'refused');
  t.not(book.next(null, none, 0), 'a:1');
  t.equal(book.next(null, new Set(['b:1', 'c:1']), 0), null, 'left alone for a while');
  t.equal(book.next(null, new Set(['b:1', 'c:1']), 10), 'a:1');
  random = 0.999;
  for (let i = 0; i < 50; i++) book.failed('a:1', 0, 'refused');
  t.ok(book.retryAt('a:1') <= 500, 'backoff is bounded');
  book.failed('b:1', 0, 'is no node', true);
  book.failed('a:1', 0, 'is no node', true);
  t.notOk(book.hopeless, 'one has not been tried');
  book.failed('c:1', 0, 'refused');
  t.notOk(book.hopeless, 'one may be there later');
  book.failed('c:1', 0, 'is no node', true);
  t.ok(book.hopeless);
  book.met('b:1', 7);
  t.equal(book.addressOf(7), 'b:1');
  t.equal(book.learn('http://D:2', 8), 'd:2');
  t.equal(book.addressOf(8), 'd:2');
  t.equal(book.learn('nonsense', 9), null);
  book.met('d:2', 7);
  t.equal(book.addressOf(7), 'd:2', 'a node has one address');
  book.learn('e:1', 7);
  t.equal(book.addressOf(7), 'd:2', 'where it was met');
  book.failed('d:2', 0, 'refused');
  t.equal(book.addressOf(7), 'e:1', 'until it is found to have moved');
  for (let i = 0; i < 1000; i++) book.learn(`x:${i + 1}`, 100 + i);
  t.equal(book.learn('y:1', 5000), null, 'a node cannot fill it');
});

t.test('addresses', async (t) => {
  t.equal(normalAddress('http://LocalHost:80/'), 'localhost:80');
  t.equal(normalAddress('[::1]:9'), '[::1]:9');
  for (const bad of ['', 'a', 'a:', ':1', 'a:b', 'a:65536', 'a:0']) {
    t.throws(() => normalAddress(bad), { code: 'BAD_OPTION' }, bad);
  }
});
