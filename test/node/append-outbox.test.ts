import t from 'tap';
import { EntryKind, type Append } from '../../lib/core/types.ts';
import type { LogSlice, LogStore } from '../../lib/log/log-store.ts';
import { encodeRecord } from '../../lib/log/record.ts';
import { AppendOutbox } from '../../lib/node/append-outbox.ts';
import type { EntryCache } from '../../lib/node/entry-cache.ts';
import type { Transport } from '../../lib/transport/transport.ts';
import { decodeMessage } from '../../protocol/peer-codec.ts';

/** Entry 1 to 3 are of term 1, later ones of term 2. */
const record = (index: number): Uint8Array =>
  encodeRecord(EntryKind.noop, index > 3 ? 2 : 1, index, 0, new Uint8Array(100));

function slice(first: number, last: number): LogSlice {
  const records = Array.from({ length: last - first + 1 }, (_, i) => record(first + i));
  return { first, last, bytes: Buffer.concat(records) };
}

t.test('a message is sent whole, from disk as far as it is there, then from memory', async (t) => {
  const cache = {
    first: 6,
    last: 9,
    views: (first: number, last: number) => [slice(first, last).bytes],
  } as unknown as EntryCache;
  const sent: Append[] = [];
  const transport = {
    flush: () => undefined,
    send: (_peer: number, _lane: number, parts: Uint8Array[]) => {
      const frame = Buffer.concat(parts);
      const message = decodeMessage(frame, 0, frame.length);
      if (message.kind === 'append') sent.push(message);
      return true;
    },
  } as unknown as Transport;
  const read: [from: number, to: number][] = [];
  const log = {
    read: async (from: number, to: number) => {
      read.push([from, to]);
      // The disk gives two at a time.
      return slice(from, Math.min(to, from + 1));
    },
  } as unknown as LogStore;
  const outbox = new AppendOutbox(2, cache, log, transport, (_index, error) => {
    throw error;
  });
  outbox.push({ kind: 'append', term: 2, prevIndex: 2, prevTerm: 1, last: 8, commit: 1, entries: [] });
  while (sent.length < 3) await new Promise((resolve) => setImmediate(resolve));
  t.same(read, [
    [3, 5],
    [5, 5],
  ]);
  t.same(
    sent.map(({ prevIndex, prevTerm, last }) => [prevIndex, prevTerm, last]),
    [
      [2, 1, 4],
      [4, 2, 5],
      [5, 2, 8],
    ],
  );
});
