import { readU32 } from '../../protocol/byte-writer.ts';
import { checkWriteFrame } from '../../protocol/client-codec.ts';
import { PeerKind, Status } from '../../protocol/constants.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { APPEND_HEADER_BYTES, decodeMessage, isMessageKind } from '../../protocol/peer-codec.ts';
import { peerFrameKind } from '../../protocol/peer-frame.ts';
import {
  decodeForward,
  decodeSnapshotAck,
  decodeSnapshotBegin,
  decodeSnapshotChunk,
  FORWARD_HEADER_BYTES,
  moreReplies,
} from '../../protocol/peer-transfer.ts';
import { decodeReport } from '../../protocol/peer-report.ts';
import type { NodeId } from '../core/types.ts';
import type { Admin } from './admin.ts';
import type { Driver } from './driver.ts';
import { RemoteSink } from './forwarder.ts';

/** How far beyond its own limit a leader takes forwarded requests: their senders cannot be held back otherwise. */
const FORWARD_SLACK = 2;

/**
 * Hands one frame of a peer to whoever it is for.
 *
 * @throws CordwoodError `PROTOCOL_ERROR`: the connection it came on is not worth keeping.
 */
export function takePeerFrame(
  driver: Driver,
  admin: Admin,
  from: NodeId,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  const kind = peerFrameKind(bytes, start);
  if (isMessageKind(kind)) {
    const message = decodeMessage(bytes, start, end);
    driver.receive(from, message, bytes, start + APPEND_HEADER_BYTES);
    return;
  }
  switch (kind) {
    case PeerKind.forward:
      takeForward(driver, from, bytes, start, end);
      break;
    case PeerKind.forwardReply: {
      const token = decodeForward(bytes, start, end);
      const more = moreReplies(bytes, start);
      driver.forwarder.replied(from, token, bytes, start + FORWARD_HEADER_BYTES, end, more);
      driver.wake();
      break;
    }
    case PeerKind.admin: {
      const token = decodeForward(bytes, start, end);
      admin.takePassed(from, token, bytes, start + FORWARD_HEADER_BYTES, end);
      break;
    }
    case PeerKind.adminReply: {
      const token = decodeForward(bytes, start, end);
      admin.relay.replied(from, token, bytes, start + FORWARD_HEADER_BYTES, end);
      driver.wake();
      break;
    }
    case PeerKind.report:
      driver.reports.take(from, decodeReport(bytes, start, end));
      break;
    case PeerKind.snapshotBegin:
      driver.snapshots.begin(from, decodeSnapshotBegin(bytes, start, end));
      break;
    case PeerKind.snapshotChunk:
      driver.snapshots.chunk(from, decodeSnapshotChunk(bytes, start, end), bytes, start, end);
      break;
    case PeerKind.snapshotAck:
      driver.snapshots.acked(from, decodeSnapshotAck(bytes, start, end));
      break;
    default:
      throw new CordwoodError('PROTOCOL_ERROR', `peer: frame of unknown kind 0x${kind.toString(16)}`);
  }
}

function takeForward(driver: Driver, from: NodeId, bytes: Uint8Array, start: number, end: number): void {
  const token = decodeForward(bytes, start, end);
  const runStart = start + FORWARD_HEADER_BYTES;
  // What gets into the log reaches every replica: its framing is checked here, whoever it comes from.
  for (let at = runStart; at < end;) {
    const next = at + 4 <= end ? at + readU32(bytes, at) + 4 : Infinity;
    if (next > end || checkWriteFrame(bytes, at, next) !== Status.ok) {
      throw new CordwoodError('PROTOCOL_ERROR', 'peer: a forwarded run is malformed');
    }
    at = next;
  }
  const sink = new RemoteSink(driver.transport, from, token);
  const limit = FORWARD_SLACK * driver.options.maxUncommittedBytes;
  if (driver.core.role !== 'leader') {
    // Not passed on a second time: two nodes that take each other for the leader would send it round for ever.
    driver.replies.refuseRun(bytes, runStart, end, sink, Status.noLeader, 'the node asked does not lead');
    driver.wake();
  } else if (driver.admission.uncommittedBytes > limit) {
    driver.replies.refuseRun(bytes, runStart, end, sink, Status.busy, 'too many requests are in flight');
    driver.wake();
  } else {
    driver.admission.submit(bytes, runStart, end, sink);
  }
}
