import t, { type Test } from 'tap';
import { Client, Status } from '../../lib/client/index.ts';
import { Kind } from '../../protocol/constants.ts';
import { FakeCluster, type FakeLink, type Frame } from './fake-cluster.ts';
import { ClockedClient } from './fake-requests.ts';

interface Setup {
  cluster: FakeCluster;
  client: Client;
  /** Commands the node has taken and not answered. */
  held: { frame: Frame; link: FakeLink }[];
  hold: () => void;
}

/** A client with an open session, and a node that holds commands back when asked to. */
async function setUp(t: Test, options: object = {}): Promise<Setup> {
  const cluster = await FakeCluster.start();
  const client = await Client.connect({ addresses: cluster.addresses, ...options });
  t.teardown(async () => {
    await client.close();
    await cluster.close();
  });
  await client.push('warm', 0);
  cluster.applied.length = 0;
  const held: Setup['held'] = [];
  const hold = (): void => {
    cluster.node(1).onFrame = (frame, link) => {
      if (frame.kind === Kind.command) held.push({ frame, link });
      else link.answer(frame);
    };
  };
  return { cluster, client, held, hold };
}

t.test('a timeout after sending is unknown; the late answer disturbs nobody', async (t) => {
  const { cluster, client, held, hold } = await setUp(t);
  hold();
  await t.rejects(client.push('a', 1, { timeoutMs: 30 }), { code: 'TIMEOUT', outcome: 'unknown' });
  cluster.node(1).onFrame = (frame, link) => link.answer(frame);
  const next = client.push('a', 2);
  for (const { frame, link } of held) link.answer(frame);
  t.equal(typeof (await next), 'number');
});

t.test('late answers settle no later calls, though those lie where the earlier ones lay', async (t) => {
  const { cluster, client, held, hold } = await setUp(t);
  hold();
  const given = Array.from({ length: 100 }, (_, i) => client.push('late', i, { timeoutMs: 30 }));
  for (const result of await Promise.allSettled(given)) t.equal(result.status, 'rejected');
  const last: typeof held = [];
  cluster.node(1).onFrame = (frame, link) => last.push({ frame, link });
  const later = Array.from({ length: 100 }, (_, i) => client.push('next', i));
  await cluster.node(1).until(() => last.length === later.length);
  for (const [i, { frame, link }] of last.entries()) {
    link.answer(held[i]!.frame);
    link.answer(frame);
  }
  t.strictSame(
    await Promise.all(later),
    later.map((_, i) => i + 1),
  );
});

t.test('a number given up does not hold the window, and its late copy does not run', async (t) => {
  const { cluster, client, held, hold } = await setUp(t);
  hold();
  await t.rejects(client.push('a', 'given up', { timeoutMs: 30 }), { code: 'TIMEOUT', outcome: 'unknown' });
  cluster.node(1).onFrame = (frame, link) => link.answer(frame);
  t.equal(await client.push('a', 'next'), 1);
  const [last] = cluster.node(1).seen(Kind.command).slice(-1);
  t.equal(last!.window, 0, 'nothing below it is waited for');
  t.equal(cluster.execute(held[0]!.frame).status, Status.alreadyAcked);
  t.equal(cluster.applied.length, 1);
});

t.test('a read that times out was not applied, whatever happened', async (t) => {
  const { cluster, client } = await setUp(t);
  cluster.node(1).onFrame = () => {};
  await t.rejects(client.top('warm', { timeoutMs: 30 }), { code: 'TIMEOUT', outcome: 'not_applied' });
});

t.test('never sent: not applied', async (t) => {
  const { cluster, client } = await setUp(t);
  const lost = new Promise<void>((resolve) => client.on('disconnect', () => resolve()));
  await Promise.all([lost, cluster.node(1).stop()]);
  await t.rejects(client.push('a', 1, { timeoutMs: 30 }), { code: 'TIMEOUT', outcome: 'not_applied' });
  const controller = new AbortController();
  const pushing = client.push('a', 1, { signal: controller.signal });
  controller.abort();
  await t.rejects(pushing, { code: 'ABORTED', outcome: 'not_applied' });
});

t.test('aborts', async (t) => {
  const { client, held, hold, cluster } = await setUp(t);
  const reason = new Error('changed my mind');
  await t.rejects(client.push('a', 1, { signal: AbortSignal.abort(reason) }), {
    code: 'ABORTED',
    outcome: 'not_applied',
    cause: reason,
  });
  hold();
  const controller = new AbortController();
  const { signal } = controller;
  const inTime = client.push('a', 1, { signal });
  await cluster.node(1).until(() => held.length === 1);
  const waiting = Array.from({ length: 100 }, () => client.push('a', 1, { signal }));
  controller.abort(reason);
  await t.rejects(inTime, { code: 'ABORTED', outcome: 'unknown', cause: reason });
  for (const call of waiting) await t.rejects(call, { code: 'ABORTED', outcome: 'not_applied' });
  t.equal(client.outstanding, 0);
});

t.test('a signal keeps no listener of calls that have ended', async (t) => {
  const { client } = await setUp(t);
  const { signal } = new AbortController();
  let listeners = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--;
    remove(...args);
  };
  const calls = Array.from({ length: 1000 }, () => client.push('a', 1, { signal }));
  t.equal(listeners, 1, 'one listener for all calls');
  await Promise.all(calls);
  t.equal(listeners, 0);
});

t.test('lost, then refused until the deadline: unknown, for the lost copy may have run', async (t) => {
  const { cluster, client } = await setUp(t);
  let first = true;
  cluster.node(1).onFrame = (frame, link) => {
    if (frame.kind !== Kind.command) link.answer(frame);
    else if (first) {
      first = false;
      cluster.execute(frame);
      link.drop();
    } else link.respond(frame.requestId, Status.noLeader);
  };
  await t.rejects(client.push('a', 1, { timeoutMs: 80 }), { code: 'TIMEOUT', outcome: 'unknown' });
  t.equal(cluster.applied.length, 1);
});

t.test('answered with "unknown", then rejected: unknown', async (t) => {
  const { cluster, client } = await setUp(t);
  const statuses = [Status.unknown, Status.tooLarge];
  cluster.node(1).onFrame = (frame, link) => link.respond(frame.requestId, statuses.shift()!);
  await t.rejects(client.push('a', 1), { code: 'TOO_LARGE', outcome: 'unknown' });
});

t.test('an answer that is gone is one that was given: the command may have run', async (t) => {
  const { cluster, client } = await setUp(t);
  cluster.node(1).onFrame = (frame, link) => link.respond(frame.requestId, Status.alreadyAcked);
  await t.rejects(client.push('a', 1), { code: 'SESSION_EXPIRED', outcome: 'unknown' });
});

t.test('an answer that cannot be read: the command has run', async (t) => {
  const { cluster, client } = await setUp(t);
  cluster.node(1).onFrame = (frame, link) => link.respond(frame.requestId, Status.ok, Uint8Array.of(0xc1));
  await t.rejects(client.push('a', 1), { code: 'PROTOCOL_ERROR', outcome: 'unknown' });
  await t.rejects(client.size('a'), { code: 'PROTOCOL_ERROR', outcome: 'not_applied' });
});

t.test('a status nobody knows is no proof of anything', async (t) => {
  const { cluster, client } = await setUp(t, { session: false });
  cluster.node(1).onFrame = (frame, link) => link.respond(frame.requestId, 200);
  await t.rejects(client.push('a', 1), { code: 'OUTCOME_UNKNOWN', outcome: 'unknown' });
});

t.test('close: sent is unknown, not sent is not applied, and it can be repeated', async (t) => {
  const { cluster, client, held, hold } = await setUp(t, { maxOutstanding: 1 });
  hold();
  const sent = client.push('a', 1);
  const notSent = client.push('a', 2);
  await cluster.node(1).until(() => held.length === 1);
  const read = client.size('a');
  await Promise.all([
    t.rejects(sent, { code: 'CLOSED', outcome: 'unknown' }),
    t.rejects(notSent, { code: 'CLOSED', outcome: 'not_applied' }),
    t.rejects(read, { code: 'CLOSED', outcome: 'not_applied' }),
    client.close(),
    client.close(),
  ]);
  await t.rejects(client.push('a', 3), { code: 'CLOSED', outcome: 'not_applied' });
  await cluster.node(1).until(() => cluster.node(1).links.size === 0);
  t.equal(cluster.node(1).seen(Kind.closeSession).length, 1, 'the session was ended');
});

t.test('drain waits for the calls made before it, and only those', async (t) => {
  const { cluster, client, held, hold } = await setUp(t);
  hold();
  const calls = [client.push('a', 1), client.push('a', 2)];
  await cluster.node(1).until(() => held.length === 2);
  let drained = false;
  const draining = client.drain().then(() => (drained = true));
  const later = client.push('a', 3);
  await cluster.node(1).until(() => held.length === 3);
  held[0]!.link.answer(held[0]!.frame);
  await calls[0];
  t.notOk(drained);
  held[1]!.link.answer(held[1]!.frame);
  await draining;
  t.equal(client.outstanding, 1);
  held[2]!.link.answer(held[2]!.frame);
  await later;
  await client.drain();
});

t.test('a thousand timeouts end without waiting for one another', async (t) => {
  const { client, hold } = await setUp(t);
  hold();
  const calls = Array.from({ length: 1000 }, (_, i) => client.push('a', i, { timeoutMs: 20 + (i % 50) }));
  const results = await Promise.allSettled(calls);
  t.ok(results.every(({ status }) => status === 'rejected'));
  t.equal(client.outstanding, 0);
});

t.test('the time of a call begins when it is made, however long its turn has taken', async (t) => {
  await using client = new ClockedClient({ timeoutMs: 300 });
  await client.push('a', 0);
  client.requests.delayMs = 60;
  client.push('a', 1).catch(() => {});
  // The program works for 400 ms before it goes on.
  client.runtime.advance(400);
  const given = client.push('a', 2, { timeoutMs: 300 });
  const calls = [given, ...Array.from({ length: 128 }, (_, i) => client.push('a', i))];
  for (const call of calls) call.catch(() => {});
  await client.pass(200);
  t.equal(typeof (await given), 'number');
  for (const call of calls.slice(-64)) t.equal(typeof (await call), 'number');
});
