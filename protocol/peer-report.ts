import type { ByteWriter } from './byte-writer.ts';
import { PEER_HEADER_BYTES, PeerKind } from './constants.ts';
import { beginPeerFrame, checkPeerFrame, peerError, readField, sealPeerFrame } from './peer-frame.ts';

/** What each node tells the others of itself now and then: room on its disk, and what its state came to. */
export interface PeerReport {
  /** Its disk is nearly full: it had better not lead. */
  readonly low: boolean;
  /** Its disk stands still, or its process did lately: no leader hands over to it for its health's sake. */
  readonly unwell: boolean;
  /** It has lost a part of its log and does not vote before it has fetched it again: no quorum may count on it. */
  readonly quarantined: boolean;
  readonly freeBytes: number;
  /** Index of the entry after which `answersHash` was taken; 0: none yet. */
  readonly checkIndex: number;
  /** 32 bits over the answers to all commands up to there: equal on replicas that are equal. */
  readonly answersHash: number;
}

const REPORT_BYTES = PEER_HEADER_BYTES + 24;
const LOW = 1;
const UNWELL = 2;
const QUARANTINED = 4;

export function encodeReport(out: ByteWriter, report: PeerReport): void {
  const flags =
    (report.low ? LOW : 0) | (report.unwell ? UNWELL : 0) | (report.quarantined ? QUARANTINED : 0);
  const start = beginPeerFrame(out, PeerKind.report, flags);
  out.u64(report.freeBytes).u64(report.checkIndex).u64(report.answersHash);
  sealPeerFrame(out, start);
}

/** @throws CordwoodError `PROTOCOL_ERROR` */
export function decodeReport(bytes: Uint8Array, start: number, end: number): PeerReport {
  if (end - start !== REPORT_BYTES) throw peerError('a report has another length');
  checkPeerFrame(bytes, start, end, end);
  const flags = bytes[start + 5]!;
  if ((flags & ~(LOW | UNWELL | QUARANTINED)) !== 0) throw peerError('unknown flags');
  const at = start + PEER_HEADER_BYTES;
  const answersHash = readField(bytes, at + 16);
  if (answersHash > 0xffffffff) throw peerError('a hash is too large');
  return {
    low: (flags & LOW) !== 0,
    unwell: (flags & UNWELL) !== 0,
    quarantined: (flags & QUARANTINED) !== 0,
    freeBytes: readField(bytes, at),
    checkIndex: readField(bytes, at + 8),
    answersHash,
  };
}
