import t from 'tap';
import { AddressBook } from '../../lib/client/address-book.ts';
import type { Call } from '../../lib/client/call.ts';
import type { ChannelEvents } from '../../lib/client/channel.ts';
import { Connection } from '../../lib/client/connection.ts';
import { Client } from '../../lib/client/index.ts';
import { LocalChannel } from '../../lib/client/local-channel.ts';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { encodeResponse, encodeWelcome } from '../../protocol/client-codec.ts';
import { settle } from '../node/support/snapshot-rig.ts';
import { FakeCluster } from './fake-cluster.ts';
import { ClockedClient } from './fake-requests.ts';

/** Can be broken. */
class BrittleChannel extends LocalChannel {
  #events: ChannelEvents | null = null;

  override open(events: ChannelEvents): void {
    this.#events = events;
    super.open(events);
  }

  breaks(): void {
    this.close();
    this.#events!.onClose(undefined);
  }
}

t.test('a node that welcomes and closes is not dialled without a pause', async (t) => {
  let opened = 0;
  await using client = new ClockedClient({}, (node) => {
    opened++;
    const channel = new BrittleChannel(node);
    setImmediate(() => channel.breaks());
    return channel;
  });
  await client.pass(2000);
  t.ok(opened >= 4 && opened <= 20, `${opened} connections in 2 s`);
});

t.test('a node that has served, or lasted, is dialled again at once', async (t) => {
  const channels: BrittleChannel[] = [];
  await using client = new ClockedClient({}, (node) => {
    const channel = new BrittleChannel(node);
    channels.push(channel);
    return channel;
  });
  await client.push('a', 1);
  channels.at(-1)!.breaks();
  t.equal(channels.length, 2, 'it has answered');
  await client.pass(200);
  channels.at(-1)!.breaks();
  t.equal(channels.length, 3, 'it has lasted');
  await settle();
  channels.at(-1)!.breaks();
  t.equal(channels.length, 3, 'it has done neither');
  await client.pass(20);
  t.equal(channels.length, 4);
});

t.test('an address is as good as it was until its node has answered something', async (t) => {
  const book = new AddressBook(['a:1', 'b:1'], () => 0);
  book.failed('a:1', 0, 'closed');
  book.met('a:1', 1);
  t.equal(book.next(null, new Set(), 1000), 'b:1');
  book.worked('a:1');
  book.failed('b:1', 0, 'closed');
  t.equal(book.next(null, new Set(), 1000), 'a:1');
});

t.test('an answer that is too large ends its call, and no other', async (t) => {
  const cluster = await FakeCluster.start();
  t.teardown(() => cluster.close());
  await using client = await Client.connect({
    addresses: cluster.addresses,
    maxResponseBytes: 64 << 10,
    session: false,
  });
  const disconnects: unknown[] = [];
  client.on('disconnect', ({ error }) => disconnects.push(error));
  for (let i = 0; i < 20; i++) await client.push('big', 'x'.repeat(100_000));
  const tooLarge = { code: 'TOO_LARGE', message: /maxResponseBytes is 65536/ };
  await Promise.all([
    ...Array.from({ length: 10 }, (_, i) => [
      t.resolves(client.push('a', i)),
      t.rejects(client.top('big'), { ...tooLarge, outcome: 'not_applied' }),
      t.rejects(client.pop('big'), { ...tooLarge, outcome: 'unknown' }),
      t.resolves(client.size('big')),
    ]).flat(),
  ]);
  t.equal(await client.size('big'), 10);
  t.strictSame(disconnects, []);
  t.equal(client.outstanding, 0);
});

/** Everything a connection tells when `bytes` come behind each other, after requests 1 and 2 have left. */
function hear(parts: readonly Uint8Array[]): string[] {
  const heard: string[] = [];
  let node: ChannelEvents | null = null;
  const channel = {
    open: (events: ChannelEvents) => (node = events),
    write: () => undefined,
    flush: () => undefined,
    bufferedBytes: 0,
    pause: () => undefined,
    resume: () => undefined,
    close: () => undefined,
  };
  const connection = new Connection('a:1', channel, 1000, () => 0, {
    onWelcome: () => heard.push('welcome'),
    onAnswer: (_connection, call, _status, _bytes, start, end) =>
      heard.push(`answer to ${call.requestId}: ${end - start}`),
    onTooLarge: (_connection, call, bytes) => heard.push(`too large for ${call.requestId}: ${bytes}`),
    onLeader: () => heard.push('leader'),
    onDrain: () => undefined,
    onEnd: (_connection, error) => heard.push(error.code),
  });
  connection.open();
  for (const requestId of [1, 2]) connection.requests.add({ requestId } as unknown as Call);
  for (const part of parts) node!.onData(part);
  return heard;
}

t.test('what is too large is passed over to its last byte, in whatever pieces it comes', async (t) => {
  const out = new ByteWriter();
  encodeWelcome(out, {
    version: 1,
    clusterId: 'c',
    nodeId: 1,
    leader: null,
    maxFrameBytes: 1000,
    maxWindow: 10,
  });
  const headerEnd = out.position + 12;
  encodeResponse(out, 1, 0, new Uint8Array(2000));
  encodeResponse(out, 2, 0, new Uint8Array(10));
  // Nobody waits for this one any more.
  encodeResponse(out, 1, 0, new Uint8Array(2000));
  const bytes = out.take();
  const expected = ['welcome', 'too large for 1: 2012', 'answer to 2: 10'];
  t.strictSame(hear([bytes]), expected);
  for (const size of [1, 7, 700, 2000, 2001, 3000]) {
    const parts = [bytes.subarray(0, headerEnd)];
    const lastHeader = bytes.length - 2000;
    for (let at = headerEnd; at < lastHeader; at += size)
      parts.push(bytes.subarray(at, Math.min(at + size, lastHeader - 12)));
    parts.push(bytes.subarray(lastHeader - 12, lastHeader), bytes.subarray(lastHeader));
    t.strictSame(hear(parts), expected, `pieces of ${size}`);
  }
  const cut = [bytes.subarray(0, headerEnd - 6), bytes.subarray(headerEnd - 6)];
  t.strictSame(hear(cut), ['welcome', 'TOO_LARGE'], 'a header cut in two ends the connection');
  const huge = Buffer.from(bytes.subarray(0, headerEnd));
  huge.writeUInt32LE(0x7fffffff, headerEnd - 12);
  t.strictSame(hear([huge]), ['welcome', 'TOO_LARGE'], 'and so does what no node answers');
});
