import { Buffer } from 'node:buffer';
import type { ByteWriter } from '../../protocol/byte-writer.ts';
import { readU32, readU64 } from '../../protocol/byte-writer.ts';
import { Limits } from '../../protocol/constants.ts';
import { damaged } from './chunk-reader.ts';
import type { KeyedAnswer } from './keyed-answers.ts';
import { ABSENT, REFUSED, Session, SESSION_TTLS_MS } from './session.ts';

/** Reads the fields of one record; a record that is too short or too long is damage. */
export class FieldReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at: number;

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  u8(): number {
    return this.#bytes[this.#take(1)]!;
  }

  u32(): number {
    return readU32(this.#bytes, this.#take(4));
  }

  u64(): number {
    const value = readU64(this.#bytes, this.#take(8));
    if (!Number.isSafeInteger(value)) throw damaged('a number is out of range');
    return value;
  }

  /** A copy of the next `length` bytes. */
  bytes(length: number): Buffer {
    const at = this.#take(length);
    return Buffer.from(this.#bytes.subarray(at, at + length));
  }

  /** Throws unless everything was read. */
  done(): void {
    if (this.#at !== this.#end) throw damaged('a record is too long');
  }

  #take(length: number): number {
    const at = this.#at;
    if (length > this.#end - at) throw damaged('a record is cut off');
    this.#at = at + length;
    return at;
  }
}

/**
 * ```
 * | id u64 | ttlMs u64 | lastUsedMs u64 | useOrder u64 | low u64 | next u64 | nonceBytes u8 | nonce …
 * | refused u32 | seq u64 each … | answers u32 | for each: seq − low u32 | status u8 | bodyBytes u32 | body … |
 * ```
 */
export function writeSession(session: Session, out: ByteWriter): void {
  const { low, next, nonce } = session;
  out.u64(session.id).u64(session.ttlMs).u64(session.lastUsedMs).u64(session.useOrder).u64(low).u64(next);
  out.u8(nonce.length).bytes(Buffer.from(nonce, 'latin1'));
  const refused = session.refused === null ? [] : [...session.refused].sort((a, b) => a - b);
  out.u32(refused.length);
  for (const seq of refused) out.u64(seq);
  const countAt = out.position;
  out.u32(0);
  let answers = 0;
  for (let seq = low; seq < next; seq++) {
    const slot = session.find(seq);
    if (slot === ABSENT || slot === REFUSED) continue;
    out.u32(seq - low).u8(session.statusAt(slot));
    const lengthAt = out.position;
    out.u32(0);
    session.writeBody(slot, out);
    out.patchU32(lengthAt, out.position - lengthAt - 4);
    answers++;
  }
  out.patchU32(countAt, answers);
}

export function readSession(fields: FieldReader, mark: number): Session {
  const id = fields.u64();
  const ttlMs = fields.u64();
  if (!SESSION_TTLS_MS.includes(ttlMs)) throw damaged('the lifetime of a session is wrong');
  const lastUsedMs = fields.u64();
  const useOrder = fields.u64();
  const low = fields.u64();
  const next = fields.u64();
  const nonce = fields.bytes(fields.u8()).toString('latin1');
  if (id < 1 || low < 1 || next < low || next - low > Limits.maxSessionWindow)
    throw damaged('a session is impossible');
  const session = new Session(id, ttlMs, nonce, mark);
  session.lastUsedMs = lastUsedMs;
  session.useOrder = useOrder;
  session.low = session.next = low;
  const refused = fields.u32();
  for (let i = 0; i < refused; i++) session.refuse(fields.u64());
  const answers = fields.u32();
  let before = -1;
  for (let i = 0; i < answers; i++) {
    const distance = fields.u32();
    const status = fields.u8();
    const body = fields.bytes(fields.u32());
    if (distance <= before || low + distance >= next) throw damaged('an answer stands in the wrong place');
    before = distance;
    session.record(low + distance, status, body, 0, body.length);
  }
  if (session.next !== next) throw damaged('a session lacks an answer');
  fields.done();
  return session;
}

/**
 * ```
 * | order u64 | timeMs u64 | status u8 | digest 32 | keyBytes u8 | key … | bodyBytes u32 | body … |
 * ```
 */
export function writeKeyedAnswer(answer: KeyedAnswer, out: ByteWriter): void {
  out.u64(answer.id).u64(answer.timeMs).u8(answer.status).bytes(Buffer.from(answer.digest, 'latin1'));
  out.u8(answer.key.length).bytes(Buffer.from(answer.key, 'latin1'));
  out.u32(answer.body.length).bytes(answer.body);
}

export function readKeyedAnswer(fields: FieldReader, mark: number): KeyedAnswer {
  const id = fields.u64();
  const timeMs = fields.u64();
  const status = fields.u8();
  const digest = fields.bytes(32).toString('latin1');
  const key = fields.bytes(fields.u8()).toString('latin1');
  const body = fields.bytes(fields.u32());
  fields.done();
  return { id, mark, timeMs, status, digest, key, body, newer: null };
}
