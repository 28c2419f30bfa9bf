import type { Append, Message } from '../../lib/core/types.ts';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import * as client from '../../protocol/client-codec.ts';
import {
  FRAME_HEADER_BYTES,
  Kind,
  PeerKind,
  PREAMBLE_BYTES,
  RECORD_HEADER_BYTES,
  WRITE_HEADER_BYTES,
} from '../../protocol/constants.ts';
import { crcOf } from '../../protocol/crc.ts';
import { decodeValue, encodeValue, writeValue } from '../../protocol/msgpack.ts';
import {
  APPEND_HEADER_BYTES,
  decodeMessage,
  encodeAppendHeader,
  encodeMessage,
  isMessageKind,
} from '../../protocol/peer-codec.ts';
import * as introductions from '../../protocol/introduction.ts';
import * as handshake from '../../protocol/peer-handshake.ts';
import { decodeReport, encodeReport, type PeerReport } from '../../protocol/peer-report.ts';
import * as transfer from '../../protocol/peer-transfer.ts';
import { bodyIsWhole, readRecordHeader, recordBytes, writeRecordHeader } from '../../protocol/record.ts';

/** A vector's fields as they stand in the JSON files. */
export type Fields = Record<string, any>; // eslint-disable-line @typescript-eslint/no-explicit-any

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
export const unhex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));

function written(write: (out: ByteWriter) => void): Uint8Array {
  const out = new ByteWriter(64);
  write(out);
  return new Uint8Array(out.take());
}

const kindNames = new Map(Object.entries(Kind).map(([name, kind]) => [kind as number, name]));

/** Client frames: fields to bytes. `body` is the decoded msgpack value; absent: no body. */
export function encodeClientFrame(fields: Fields): Uint8Array {
  const { kind, requestId, flags, reserved, window, session, seq, body, key } = fields;
  return written((out) => {
    const number = Kind[kind as keyof typeof Kind];
    const start = client.isWriteKind(number)
      ? client.beginWrite(out, number, requestId, session, seq, window)
      : client.beginFrame(out, number, flags, requestId);
    if (reserved !== undefined) client.writeStaleness(out, start, reserved);
    if (key !== undefined) out.u16(Buffer.byteLength(key)).bytes(Buffer.from(key));
    if (body !== undefined) writeValue(out, body);
    client.endFrame(out, start);
  });
}

export function decodeClientFrame(bytes: Uint8Array): Fields {
  const kind = client.frameKind(bytes, 0);
  const fields: Fields = { kind: kindNames.get(kind), requestId: client.frameRequestId(bytes, 0) };
  let body = FRAME_HEADER_BYTES;
  if (client.isWriteKind(kind)) {
    fields['window'] = client.writeWindow(bytes, 0);
    fields['session'] = client.writeSession(bytes, 0);
    fields['seq'] = client.writeSeq(bytes, 0);
    body = WRITE_HEADER_BYTES;
    if (kind === Kind.keyedCommand) {
      const end = body + 2 + bytes[body]!;
      fields['key'] = Buffer.from(bytes.subarray(body + 2, end)).toString();
      body = end;
    }
  } else {
    fields['flags'] = client.frameFlags(bytes, 0);
    const reserved = bytes[6]! | (bytes[7]! << 8);
    if (reserved !== 0) fields['reserved'] = reserved;
  }
  if (body < bytes.length) fields['body'] = decodeValue(bytes, body);
  return fields;
}

export function encodeRecord({ kind, term, index, timeMs, bodyHex }: Fields): Uint8Array {
  const body = unhex(bodyHex);
  const record = new Uint8Array(recordBytes(body.length));
  record.set(body, RECORD_HEADER_BYTES);
  const bodyCrc = crcOf(body, 0, body.length);
  writeRecordHeader(record, 0, { kind, term, index, timeMs, bodyBytes: body.length, bodyCrc });
  return record;
}

export function decodeRecord(bytes: Uint8Array): Fields {
  const header = readRecordHeader(bytes, 0);
  if (header === null || !bodyIsWhole(bytes, 0, bytes.length, header)) throw new Error('no whole record');
  const { kind, term, index, timeMs, bodyBytes } = header;
  const bodyHex = hex(bytes.subarray(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + bodyBytes));
  return { kind, term, index, timeMs, bodyHex };
}

/** Frames between nodes. Appends have their records as `records`, a list of hex. */
export function encodePeerFrame(fields: Fields): Uint8Array {
  const { kind, ...rest } = fields;
  switch (kind) {
    case 'append': {
      const { records, ...message } = fields;
      const all = Buffer.concat((records as string[]).map(unhex));
      return written((out) => {
        encodeAppendHeader(message as Append, all.length, records.length, out);
        out.bytes(all);
      });
    }
    case 'hello':
      return handshake.encodeHello(rest as handshake.Hello).subarray(PREAMBLE_BYTES);
    case 'welcome':
      return handshake.encodePeerWelcome(rest as handshake.PeerWelcome);
    case 'refused':
      return handshake.encodeRefused(rest as handshake.Refusal);
    case 'introduce':
      return introductions.encodeIntroduce().subarray(PREAMBLE_BYTES);
    case 'introduction':
      return introductions.encodeIntroduction(rest as introductions.Introduction);
    case 'forward':
      return written((out) => transfer.encodeForward(out, rest['token'], unhex(rest['run'])));
    case 'forwardReply':
      return written((out) => transfer.encodeForwardReply(out, rest['token'], unhex(rest['run'])));
    case 'admin':
      return written((out) => transfer.encodeAdmin(out, rest['token'], unhex(rest['run'])));
    case 'adminReply':
      return written((out) => transfer.encodeAdminReply(out, rest['token'], unhex(rest['run'])));
    case 'snapshotBegin':
      return written((out) => transfer.encodeSnapshotBegin(out, rest as transfer.SnapshotManifest));
    case 'snapshotChunk': {
      const { content, ...chunk } = rest;
      return written((out) =>
        transfer.encodeSnapshotChunk(out, chunk as transfer.SnapshotChunk, unhex(content)),
      );
    }
    case 'report':
      return written((out) => encodeReport(out, rest as PeerReport));
    case 'snapshotAck':
      return written((out) => transfer.encodeSnapshotAck(out, rest as transfer.SnapshotAck));
    default:
      return written((out) => encodeMessage(fields as Message, out));
  }
}

export function decodePeerFrame(bytes: Uint8Array): Fields {
  const end = bytes.length;
  const kind = bytes[4]!;
  if (isMessageKind(kind)) {
    const message = decodeMessage(bytes, 0, end);
    if (message.kind !== 'append') return message;
    let at = APPEND_HEADER_BYTES;
    const records = message.entries.map(({ sizeBytes }) => hex(bytes.subarray(at, (at += sizeBytes))));
    return { ...message, records };
  }
  const run = (): string => hex(bytes.subarray(transfer.FORWARD_HEADER_BYTES));
  switch (kind) {
    case PeerKind.hello:
      return { kind: 'hello', ...handshake.decodeHello(bytes, 0, end) };
    case PeerKind.welcome:
      return { kind: 'welcome', ...handshake.decodePeerWelcome(bytes, 0, end) };
    case PeerKind.introduce:
      return { kind: 'introduce' };
    case PeerKind.introduction:
      return { kind: 'introduction', ...introductions.decodeIntroduction(bytes, 0, end) };
    case PeerKind.refused:
      return { kind: 'refused', ...handshake.decodeRefused(bytes, 0, end) };
    case PeerKind.forward:
      return { kind: 'forward', token: transfer.decodeForward(bytes, 0, end), run: run() };
    case PeerKind.forwardReply:
      return { kind: 'forwardReply', token: transfer.decodeForward(bytes, 0, end), run: run() };
    case PeerKind.admin:
      return { kind: 'admin', token: transfer.decodeForward(bytes, 0, end), run: run() };
    case PeerKind.adminReply:
      return { kind: 'adminReply', token: transfer.decodeForward(bytes, 0, end), run: run() };
    case PeerKind.report:
      return { kind: 'report', ...decodeReport(bytes, 0, end) };
    case PeerKind.snapshotBegin:
      return { kind: 'snapshotBegin', ...transfer.decodeSnapshotBegin(bytes, 0, end) };
    case PeerKind.snapshotChunk: {
      const content = hex(bytes.subarray(transfer.CHUNK_HEADER_BYTES));
      return { kind: 'snapshotChunk', ...transfer.decodeSnapshotChunk(bytes, 0, end), content };
    }
    default:
      return { kind: 'snapshotAck', ...transfer.decodeSnapshotAck(bytes, 0, end) };
  }
}

/** Values in JSON: what JSON cannot say stands as {"$bigint"}, {"$bin"}, {"$time"}, {"$float"}. */
export function valueOf(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(valueOf);
  if (typeof json !== 'object' || json === null) return json;
  const tagged = json as Fields;
  if ('$bigint' in tagged) return BigInt(tagged['$bigint']);
  if ('$bin' in tagged) return unhex(tagged['$bin']);
  if ('$time' in tagged) return new Date(tagged['$time']);
  if ('$float' in tagged) return Number(tagged['$float']);
  return Object.fromEntries(Object.entries(tagged).map(([key, value]) => [key, valueOf(value)]));
}

/** The opposite of `valueOf`. */
export function jsonOf(value: unknown): unknown {
  if (typeof value === 'bigint') return { $bigint: String(value) };
  if (typeof value === 'number' && !Number.isFinite(value)) return { $float: String(value) };
  if (value instanceof Uint8Array) return { $bin: hex(value) };
  if (value instanceof Date) return { $time: value.toISOString() };
  if (Array.isArray(value)) return value.map(jsonOf);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, jsonOf(inner)]));
}

export const encodeJsonValue = ({ value }: Fields): Uint8Array => encodeValue(valueOf(value));
