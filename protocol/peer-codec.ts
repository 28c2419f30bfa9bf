import type { Append, Config, EntryKind, EntryMeta, Message } from '../lib/core/types.ts';
import type { ByteWriter } from './byte-writer.ts';
import { decodeConfig } from './config-codec.ts';
import { PeerKind, RECORD_HEADER_BYTES } from './constants.ts';
import { CordwoodError } from './errors.ts';
import { skipValue } from './msgpack-scan.ts';
import {
  beginPeerFrame,
  checkPeerFrame,
  peerError,
  peerFrameKind,
  readField,
  readFloat,
  sealPeerFrame,
  writeFloat,
} from './peer-frame.ts';
import { bodyIsWhole, readRecordHeader, recordBytes } from './record.ts';
import { readU32 } from './byte-writer.ts';

/** Where the records of an append begin, counted from the frame's length field. */
export const APPEND_HEADER_BYTES = 56;

const CONFIG_ENTRY: typeof EntryKind.config = 2;

/** Bits of `flags`. */
const PRE = 1;
const TRANSFER = 2;
const GRANTED = 2;
const REJECTED = 1;
const OK = 1;

/** Bytes of the whole frame for each kind whose size is fixed. */
const FRAME_BYTES = {
  [PeerKind.appendAck]: 56,
  [PeerKind.heartbeat]: 48,
  [PeerKind.heartbeatAck]: 40,
  [PeerKind.voteRequest]: 40,
  [PeerKind.voteResponse]: 24,
  [PeerKind.timeoutNow]: 24,
  [PeerKind.readRequest]: 32,
  [PeerKind.readResponse]: 40,
  [PeerKind.lostLog]: 32,
  [PeerKind.refetch]: 40,
} as const;

/**
 * Appends the frame of a message to `out`; of an `append` without entries too. Appends with entries go through
 * `encodeAppendHeader`.
 */
export function encodeMessage(message: Message, out: ByteWriter): void {
  switch (message.kind) {
    case 'append':
      if (message.last !== message.prevIndex)
        throw new RangeError('records must be attached: encodeAppendHeader');
      encodeAppendHeader(message, 0, 0, out);
      return;
    case 'appendAck': {
      const start = beginPeerFrame(out, PeerKind.appendAck, message.rejected ? REJECTED : 0);
      out
        .u64(message.term)
        .u64(message.match)
        .u64(message.prevIndex)
        .u64(message.hintIndex)
        .u64(message.hintTerm);
      sealPeerFrame(out, start);
      return;
    }
    case 'heartbeat': {
      const start = beginPeerFrame(out, PeerKind.heartbeat);
      out.u64(message.term).u64(message.commit).u64(message.readSeq);
      writeFloat(out, message.sentAtMs);
      sealPeerFrame(out, start);
      return;
    }
    case 'heartbeatAck': {
      const start = beginPeerFrame(out, PeerKind.heartbeatAck);
      out.u64(message.term).u64(message.readSeq);
      writeFloat(out, message.sentAtMs);
      sealPeerFrame(out, start);
      return;
    }
    case 'voteRequest': {
      const flags = (message.pre ? PRE : 0) | (message.transfer ? TRANSFER : 0);
      const start = beginPeerFrame(out, PeerKind.voteRequest, flags);
      out.u64(message.term).u64(message.lastIndex).u64(message.lastTerm);
      sealPeerFrame(out, start);
      return;
    }
    case 'voteResponse': {
      const flags = (message.pre ? PRE : 0) | (message.granted ? GRANTED : 0);
      const start = beginPeerFrame(out, PeerKind.voteResponse, flags);
      out.u64(message.term);
      sealPeerFrame(out, start);
      return;
    }
    case 'timeoutNow': {
      const start = beginPeerFrame(out, PeerKind.timeoutNow);
      out.u64(message.term);
      sealPeerFrame(out, start);
      return;
    }
    case 'readRequest': {
      const start = beginPeerFrame(out, PeerKind.readRequest);
      out.u64(message.term).u64(message.token);
      sealPeerFrame(out, start);
      return;
    }
    case 'readResponse': {
      const start = beginPeerFrame(out, PeerKind.readResponse, message.ok ? OK : 0);
      out.u64(message.term).u64(message.token).u64(message.index);
      sealPeerFrame(out, start);
      return;
    }
    case 'lostLog': {
      const start = beginPeerFrame(out, PeerKind.lostLog);
      out.u64(message.term).u64(message.nonce);
      sealPeerFrame(out, start);
      return;
    }
    case 'refetch': {
      const start = beginPeerFrame(out, PeerKind.refetch);
      out.u64(message.term).u64(message.nonce).u64(message.index);
      sealPeerFrame(out, start);
      return;
    }
  }
}

/**
 * Appends the header of an append frame to `out`. The transport lays the records `prevIndex + 1 … last`, together
 * `recordsBytes` long, right behind it.
 */
export function encodeAppendHeader(
  message: Append,
  recordsBytes: number,
  recordCount: number,
  out: ByteWriter,
): void {
  if (message.prevIndex + recordCount !== message.last)
    throw new RangeError('recordCount does not match the indexes');
  const start = beginPeerFrame(out, PeerKind.append, 0, recordCount);
  out.u64(message.term).u64(message.prevIndex).u64(message.prevTerm).u64(message.commit).u64(message.last);
  sealPeerFrame(out, start, recordsBytes);
}

/** Whether a frame of this kind is a `Message` of the core. */
export function isMessageKind(kind: number): boolean {
  return kind >= PeerKind.append && kind <= PeerKind.refetch;
}

/**
 * The message in the whole frame `bytes[start, end)`. The records of an append lie in
 * `bytes[start + APPEND_HEADER_BYTES, end)`, the Nth as long as the Nth meta's `sizeBytes`; each has been verified:
 * both checksums, index, term, kind, size.
 *
 * @throws CordwoodError `PROTOCOL_ERROR` for anything else.
 */
export function decodeMessage(bytes: Uint8Array, start: number, end: number): Message {
  if (end - start < 16) throw peerError('frame is cut short');
  const kind = peerFrameKind(bytes, start);
  if (kind === PeerKind.append) return decodeAppend(bytes, start, end);
  if (!isMessageKind(kind)) throw peerError(`kind ${kind} is no message`);
  const frameBytes = FRAME_BYTES[kind as keyof typeof FRAME_BYTES];
  if (end - start !== frameBytes)
    throw peerError(`frame of kind ${kind} has ${end - start} bytes instead of ${frameBytes}`);
  checkPeerFrame(bytes, start, end, end);
  const flags = bytes[start + 5]!;
  if (readU32(bytes, start + 12) !== 0) throw peerError('reserved bytes are not zero');

  const term = readField(bytes, start + 16);
  switch (kind as keyof typeof FRAME_BYTES) {
    case PeerKind.appendAck:
      return {
        kind: 'appendAck',
        term,
        match: readField(bytes, start + 24),
        rejected: flagsOf(flags, REJECTED) !== 0,
        prevIndex: readField(bytes, start + 32),
        hintIndex: readField(bytes, start + 40),
        hintTerm: readField(bytes, start + 48),
      };
    case PeerKind.heartbeat:
      flagsOf(flags, 0);
      return {
        kind: 'heartbeat',
        term,
        commit: readField(bytes, start + 24),
        readSeq: readField(bytes, start + 32),
        sentAtMs: readFloat(bytes, start + 40),
      };
    case PeerKind.heartbeatAck:
      flagsOf(flags, 0);
      return {
        kind: 'heartbeatAck',
        term,
        readSeq: readField(bytes, start + 24),
        sentAtMs: readFloat(bytes, start + 32),
      };
    case PeerKind.voteRequest:
      return {
        kind: 'voteRequest',
        term,
        pre: (flagsOf(flags, PRE | TRANSFER) & PRE) !== 0,
        lastIndex: readField(bytes, start + 24),
        lastTerm: readField(bytes, start + 32),
        transfer: (flags & TRANSFER) !== 0,
      };
    case PeerKind.voteResponse:
      return {
        kind: 'voteResponse',
        term,
        pre: (flagsOf(flags, PRE | GRANTED) & PRE) !== 0,
        granted: (flags & GRANTED) !== 0,
      };
    case PeerKind.timeoutNow:
      flagsOf(flags, 0);
      return { kind: 'timeoutNow', term };
    case PeerKind.readRequest:
      flagsOf(flags, 0);
      return { kind: 'readRequest', term, token: readField(bytes, start + 24) };
    case PeerKind.readResponse:
      return {
        kind: 'readResponse',
        term,
        token: readField(bytes, start + 24),
        index: readField(bytes, start + 32),
        ok: flagsOf(flags, OK) !== 0,
      };
    case PeerKind.lostLog:
      flagsOf(flags, 0);
      return { kind: 'lostLog', term, nonce: readField(bytes, start + 24) };
    case PeerKind.refetch:
      flagsOf(flags, 0);
      return {
        kind: 'refetch',
        term,
        nonce: readField(bytes, start + 24),
        index: readField(bytes, start + 32),
      };
  }
}

function decodeAppend(bytes: Uint8Array, start: number, end: number): Append {
  checkPeerFrame(bytes, start, end, start + APPEND_HEADER_BYTES);
  flagsOf(bytes[start + 5]!, 0);
  const count = readU32(bytes, start + 12);
  const term = readField(bytes, start + 16);
  const prevIndex = readField(bytes, start + 24);
  const prevTerm = readField(bytes, start + 32);
  const commit = readField(bytes, start + 40);
  const last = readField(bytes, start + 48);
  if (prevIndex + count !== last) throw peerError('append: record count does not match the indexes');
  if (prevTerm > term) throw peerError('append: entries of a later term');

  const entries: EntryMeta[] = [];
  let at = start + APPEND_HEADER_BYTES;
  let lastTerm = prevTerm;
  for (let index = prevIndex + 1; index <= last; index++) {
    const header = at + RECORD_HEADER_BYTES <= end ? readRecordHeader(bytes, at) : null;
    if (header === null) throw peerError(`append: record of entry ${index} is cut short or damaged`);
    if (header.index !== index) throw peerError(`append: entry ${header.index} in the place of ${index}`);
    // Terms along a log never decrease and never exceed the leader's (Raft figure 3, log matching).
    if (header.term < lastTerm || header.term > term)
      throw peerError(`append: entry ${index} has term ${header.term}`);
    if (!bodyIsWhole(bytes, at, end, header))
      throw peerError(`append: body of entry ${index} is cut short or damaged`);
    const sizeBytes = recordBytes(header.bodyBytes);
    if (header.kind === CONFIG_ENTRY) {
      const config = configIn(bytes, at + RECORD_HEADER_BYTES, at + RECORD_HEADER_BYTES + header.bodyBytes);
      entries.push({ term: header.term, kind: header.kind, sizeBytes, config });
    } else {
      entries.push({ term: header.term, kind: header.kind, sizeBytes });
    }
    lastTerm = header.term;
    at += sizeBytes;
  }
  if (at !== end) throw peerError('append: bytes behind the last record');
  return { kind: 'append', term, prevIndex, prevTerm, commit, last, entries };
}

/** The configuration in `bytes[start, end)`, whatever is wrong with it a `PROTOCOL_ERROR`. */
export function configIn(bytes: Uint8Array, start: number, end: number): Config {
  // First the structure: a decoder makes room for as many elements as an array announces.
  if (skipValue(bytes, start, end) !== end) throw peerError('a configuration is no msgpack value');
  try {
    return decodeConfig(bytes, start, end);
  } catch (cause) {
    if (!CordwoodError.is(cause)) throw cause;
    throw new CordwoodError('PROTOCOL_ERROR', `peer: ${cause.message}`, { cause });
  }
}

/** `flags`, if no bit but the `allowed` ones is set. */
function flagsOf(flags: number, allowed: number): number {
  if ((flags & ~allowed) !== 0) throw peerError('unknown flags');
  return flags;
}
