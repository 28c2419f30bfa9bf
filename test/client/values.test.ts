import t, { type Test } from 'tap';
import { Client, CordwoodError } from '../../lib/client/index.ts';
import { FakeCluster } from './fake-cluster.ts';

/** A map with the key nil, which no object can have. */
const UNREADABLE = Uint8Array.of(0x81, 0xc0, 0x01);

async function connect(t: Test): Promise<Client> {
  const cluster = await FakeCluster.start();
  const client = await Client.connect({ addresses: cluster.addresses });
  t.teardown(async () => {
    await client.close();
    await cluster.close();
  });
  return client;
}

async function failureOf(call: Promise<unknown>): Promise<CordwoodError> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (CordwoodError.is(error)) return error;
  throw new Error('it did not fail as expected', { cause: error });
}

t.test('a value with a key __proto__ comes back', async (t) => {
  const client = await connect(t);
  const text = '{"__proto__":{"a":1},"b":2}';
  t.equal(await client.push('pq', JSON.parse(text)), 1);
  t.equal(JSON.stringify(await client.top('pq')), text);
  t.equal(JSON.stringify(await client.pop('pq')), text);
  await client.pushMany('pq', [1, JSON.parse(text)]);
  t.equal(JSON.stringify(await client.popMany('pq', 2)), `[${text},1]`);
});

t.test('what nests as deep as may be goes in and comes out; one deeper never leaves', async (t) => {
  const client = await connect(t);
  const nested = (levels: number): unknown => {
    let value: unknown = 1;
    for (let i = 0; i < levels; i++) value = [value];
    return value;
  };
  const deepest = nested(64);
  t.equal(await client.push('deep', deepest), 1);
  t.equal(await client.pushMany('deep', [deepest, deepest]), 3);
  t.same(await client.top('deep'), deepest);
  t.same(await client.pop('deep'), deepest);
  t.same(await client.popMany('deep', 2), [deepest, deepest]);
  await t.rejects(client.push('deep', nested(65)), RangeError);
  await t.rejects(client.pushMany('deep', [1, nested(65)]), RangeError);
  // Past the client's own check: the machine says the same.
  const encoded = (levels: number): Uint8Array =>
    Uint8Array.of(...new Array<number>(levels).fill(0x91), 0x01);
  t.equal(await client.pushEncoded('deep', encoded(64)), 1);
  await t.rejects(client.pushEncoded('deep', encoded(65)), { code: 'BAD_COMMAND', outcome: 'not_applied' });
});

t.test('a pop of what cannot be decoded says that it ran, and keeps the bytes', async (t) => {
  const client = await connect(t);
  await client.pushEncoded('odd', UNREADABLE);
  await client.pushEncoded('odd', UNREADABLE);
  await client.pushEncoded('odd', UNREADABLE);

  const looked = await failureOf(client.top('odd'));
  t.match(looked, { code: 'PROTOCOL_ERROR', outcome: 'not_applied' });
  t.strictSame(looked.encoded, UNREADABLE);
  t.equal(await client.size('odd'), 3);

  const popped = await failureOf(client.pop('odd'));
  t.match(popped, { code: 'PROTOCOL_ERROR', outcome: 'unknown', message: /^the command ran, but .*key/ });
  t.strictSame(popped.encoded, UNREADABLE);
  t.equal(await client.size('odd'), 2);

  const taken = await failureOf(client.popMany('odd', 5));
  t.match(taken, { code: 'PROTOCOL_ERROR', outcome: 'unknown', message: /^the command ran, but / });
  t.equal(Buffer.from(taken.encoded!.slice(-6)).toString('hex'), '81c00181c001');
  t.equal(await client.size('odd'), 0);
  t.equal(Object.hasOwn(await failureOf(client.pop('none')), 'encoded'), false);
});

t.test('a request that cannot be encoded fails alone, of whatever kind it is', async (t) => {
  const client = await connect(t);
  const tooLarge = 2n ** 70n;
  const half = '\ud800';
  await t.rejects(client.push('a', tooLarge), RangeError);
  await t.rejects(client.push('a', tooLarge, { idempotencyKey: 'k' }), RangeError);
  await t.rejects(client.ask(tooLarge), RangeError);
  await t.rejects(client.push('a', `${'x'.repeat(300)}${half}`), RangeError);
  await t.rejects(client.push(half, 1), RangeError, 'it would be the name of another stack');
  await t.rejects(client.admin.add({ id: tooLarge as never, address: '127.0.0.1:1' }), RangeError);
  await t.rejects(client.admin.transfer(tooLarge as never), RangeError);
  t.equal(await client.push('a', 1), 1);
});
