import fc from 'fast-check';

import type { Append, Config, EntryMeta, Message } from '../../lib/core/types.ts';
import { encodeConfig } from '../../protocol/config-codec.ts';
import { RECORD_HEADER_BYTES } from '../../protocol/constants.ts';
import { crcOf } from '../../protocol/crc.ts';
import { recordBytes, writeRecordHeader } from '../../protocol/record.ts';

/** Safe integers from `min`, with the edges where 32-bit arithmetic and doubles go wrong. */
export function safe(min: number): fc.Arbitrary<number> {
  const edges = [min, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER];
  return fc.oneof(
    fc.constantFrom(...edges),
    fc.integer({ min, max: 1000 }),
    fc.maxSafeNat().filter((n) => n >= min),
  );
}

const sentAtMs = fc.double({ min: 0, max: 1e15, noNaN: true });

/** Every message but appends with entries. */
export const smallMessages: fc.Arbitrary<Message> = fc.oneof(
  fc.record({
    kind: fc.constant('voteRequest' as const),
    term: safe(0),
    pre: fc.boolean(),
    lastIndex: safe(0),
    lastTerm: safe(0),
    transfer: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('voteResponse' as const),
    term: safe(0),
    pre: fc.boolean(),
    granted: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('appendAck' as const),
    term: safe(0),
    match: safe(0),
    rejected: fc.boolean(),
    prevIndex: safe(0),
    hintIndex: safe(0),
    hintTerm: safe(0),
  }),
  fc.record({
    kind: fc.constant('heartbeat' as const),
    term: safe(0),
    commit: safe(0),
    readSeq: safe(0),
    sentAtMs,
  }),
  fc.record({ kind: fc.constant('heartbeatAck' as const), term: safe(0), readSeq: safe(0), sentAtMs }),
  fc.record({ kind: fc.constant('timeoutNow' as const), term: safe(0) }),
  fc.record({ kind: fc.constant('readRequest' as const), term: safe(0), token: safe(0) }),
  fc.record({
    kind: fc.constant('readResponse' as const),
    term: safe(0),
    token: safe(0),
    index: safe(0),
    ok: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('lostLog' as const), term: safe(0), nonce: safe(0) }),
  fc.record({ kind: fc.constant('refetch' as const), term: safe(0), nonce: safe(0), index: safe(0) }),
);

const ids = fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 4 });

export const configs: fc.Arbitrary<Config> = fc
  .record({ voters: ids, outgoing: ids, learners: ids, learnersNext: ids })
  .map((lists) => ({
    ...lists,
    members: [...new Set(Object.values(lists).flat())].map((id) => ({
      id,
      peerAddress: `10.0.0.${id}:12379`,
    })),
  }));

export interface AppendWithRecords {
  readonly message: Append;
  readonly records: Uint8Array;
}

/** An append and the records that belong to it. */
export const appends: fc.Arbitrary<AppendWithRecords> = fc
  .record({
    prevIndex: fc.nat(2 ** 40),
    prevTerm: fc.nat(5),
    commit: safe(0),
    extraTerms: fc.nat(3),
    entries: fc.array(
      fc.record({
        step: fc.nat(2),
        body: fc.oneof(fc.uint8Array({ maxLength: 100 }), configs),
        timeMs: safe(0),
      }),
      { maxLength: 12 },
    ),
  })
  .map(({ prevIndex, prevTerm, commit, extraTerms, entries }) => {
    let term = prevTerm;
    const metas: EntryMeta[] = [];
    const records: Uint8Array[] = [];
    entries.forEach(({ step, body, timeMs }, i) => {
      term = Math.max(1, term + step);
      const isConfig = !(body instanceof Uint8Array);
      const bytes = isConfig ? encodeConfig(body) : body;
      const record = new Uint8Array(recordBytes(bytes.length));
      record.set(bytes, RECORD_HEADER_BYTES);
      const kind = isConfig ? 2 : bytes.length === 0 ? 0 : 1;
      const bodyCrc = crcOf(bytes, 0, bytes.length);
      writeRecordHeader(record, 0, {
        kind,
        term,
        index: prevIndex + 1 + i,
        timeMs,
        bodyBytes: bytes.length,
        bodyCrc,
      });
      records.push(record);
      metas.push({ term, kind, sizeBytes: record.length, ...(isConfig ? { config: body } : {}) });
    });
    const last = prevIndex + entries.length;
    return {
      message: { kind: 'append', term: term + extraTerms, prevIndex, prevTerm, commit, last, entries: metas },
      records: Buffer.concat(records),
    };
  });

/** Bytes that differ from `bytes` in one place, are cut short, or go on too long. */
export function damaged(bytes: Uint8Array): fc.Arbitrary<Uint8Array> {
  return fc.oneof(
    fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 })).map(([at, flip]) => {
      const copy = bytes.slice();
      copy[at]! ^= flip;
      return copy;
    }),
    fc.nat(bytes.length - 1).map((length) => bytes.slice(0, length)),
    fc
      .uint8Array({ minLength: 1, maxLength: 50 })
      .map((more) => new Uint8Array(Buffer.concat([bytes, more]))),
  );
}
