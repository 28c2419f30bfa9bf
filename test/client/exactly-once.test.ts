import fc from 'fast-check';
import t from 'tap';
import { Client, CordwoodError, Status } from '../../lib/client/index.ts';
import { Kind } from '../../protocol/constants.ts';
import { decodeValue } from '../../protocol/msgpack.ts';
import { FakeCluster, type FakeLink, type Frame } from './fake-cluster.ts';

/*
 * A model of everything that can happen to a request on its way, drawn at random: commands run once or not at all,
 * and what the client says of each is the truth.
 */

/** What becomes of one frame. */
const fate = fc.oneof(
  { weight: 12, arbitrary: fc.constant('answer' as const) },
  { weight: 2, arbitrary: fc.constant('run, then drop the connection' as const) },
  { weight: 2, arbitrary: fc.constant('drop the connection' as const) },
  { weight: 1, arbitrary: fc.constant('run, then say unknown' as const) },
  { weight: 1, arbitrary: fc.constant('say unknown' as const) },
  { weight: 1, arbitrary: fc.constant('say noLeader' as const) },
  { weight: 1, arbitrary: fc.constant('say busy' as const) },
  { weight: 1, arbitrary: fc.constant('answer twice' as const) },
  { weight: 1, arbitrary: fc.constant('say tooLarge' as const) },
  { weight: 1, arbitrary: fc.constant('run later, as a copy' as const) },
);
type Fate = typeof fate extends fc.Arbitrary<infer T> ? T : never;

function meet(cluster: FakeCluster, fates: Fate[], delayed: Frame[]): (frame: Frame, link: FakeLink) => void {
  let next = 0;
  return (frame, link) => {
    const is = frame.kind === Kind.command ? (fates[next++] ?? 'answer') : 'answer';
    switch (is) {
      case 'answer':
        link.answer(frame);
        break;
      case 'run, then drop the connection':
        cluster.execute(frame);
        link.drop();
        break;
      case 'drop the connection':
        link.drop();
        break;
      case 'run, then say unknown':
        cluster.execute(frame);
        link.respond(frame.requestId, Status.unknown);
        break;
      case 'say unknown':
        link.respond(frame.requestId, Status.unknown);
        break;
      case 'say noLeader':
        link.respond(frame.requestId, Status.noLeader);
        break;
      case 'say busy':
        link.respond(frame.requestId, Status.busy);
        break;
      case 'say tooLarge':
        link.respond(frame.requestId, Status.tooLarge);
        break;
      case 'answer twice': {
        const { status, body } = cluster.execute(frame);
        link.respond(frame.requestId, status, body);
        link.respond(frame.requestId, status, body);
        break;
      }
      case 'run later, as a copy':
        delayed.push(frame);
        link.drop();
    }
    // A copy that was under way arrives some time.
    if (delayed.length > 0 && next % 3 === 0) cluster.execute(delayed.shift()!);
  };
}

t.test('commands run once or not at all, and the client tells the truth', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fate, { maxLength: 60 }),
      fc.array(fc.boolean(), { minLength: 1, maxLength: 30 }),
      fc.integer({ min: 1, max: 40 }),
      fc.boolean(),
      async (fates, awaits, maxOutstanding, session) => {
        const cluster = await FakeCluster.start(2);
        const delayed: Frame[] = [];
        const handle = meet(cluster, fates, delayed);
        for (const node of cluster.nodes) node.onFrame = handle;
        const client = await Client.connect({ addresses: cluster.addresses, maxOutstanding, session });
        try {
          const calls: Promise<number>[] = [];
          for (const [i, awaitIt] of awaits.entries()) {
            const call = client.push('s', i);
            call.catch(() => {});
            calls.push(call);
            if (awaitIt) await call.catch(() => {});
          }
          const results = await Promise.allSettled(calls);
          for (const frame of delayed) cluster.execute(frame);
          const runs = new Map<number, number>();
          for (const { body } of cluster.applied) {
            const [, , value] = decodeValue(body) as [number, string, number];
            runs.set(value, (runs.get(value) ?? 0) + 1);
          }
          for (const [i, result] of results.entries()) {
            const ran = runs.get(i) ?? 0;
            if (ran > 1) throw new Error(`command ${i} ran ${ran} times`);
            if (result.status === 'fulfilled') {
              if (ran !== 1) throw new Error(`command ${i} is said to have run`);
              const applied = cluster.applied[result.value - 1]!;
              if ((decodeValue(applied.body) as unknown[])[2] !== i)
                throw new Error(`${i} got the answer of another`);
            } else {
              const error: unknown = result.reason;
              if (!CordwoodError.is(error)) throw error;
              if (error.outcome === 'not_applied' && ran !== 0)
                throw new Error(`command ${i} ran: ${error.message}`);
              if (session && error.code !== 'TOO_LARGE') throw error;
            }
          }
        } finally {
          await client.close();
          await cluster.close();
        }
      },
    ),
    { numRuns: 200, seed: 20261121 },
  );
  t.pass('200 histories');
});
