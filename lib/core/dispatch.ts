import { becomeFollower, handleVoteRequest, handleVoteResponse } from './election.ts';
import { handleLostLog, handleRefetch } from './quarantine.ts';
import { handleReadRequest, handleReadResponse } from './reads.ts';
import { handleAppend, handleAppendAck, handleHeartbeat, handleHeartbeatAck } from './replication.ts';
import type { CoreState } from './state.ts';
import { handleTimeoutNow } from './transfer.ts';
import type { Index, Message, NodeId } from './types.ts';

/** Takes a message. For an append: the first index the driver must take over records from, else 0. */
export function receive(s: CoreState, from: NodeId, m: Message): Index {
  if (m.kind === 'voteRequest') {
    handleVoteRequest(s, from, m);
    return 0;
  }
  if (m.kind === 'voteResponse') {
    handleVoteResponse(s, from, m);
    return 0;
  }
  if (m.term < s.term) {
    answerStale(s, from, m);
    return 0;
  }
  if (m.term > s.term) {
    becomeFollower(s, m.term, m.kind === 'append' || m.kind === 'heartbeat' ? from : 0);
  }
  switch (m.kind) {
    case 'append':
      return handleAppend(s, from, m);
    case 'appendAck':
      handleAppendAck(s, from, m);
      break;
    case 'heartbeat':
      handleHeartbeat(s, from, m);
      break;
    case 'heartbeatAck':
      handleHeartbeatAck(s, from, m);
      break;
    case 'timeoutNow':
      handleTimeoutNow(s, m);
      break;
    case 'readRequest':
      handleReadRequest(s, from, m);
      break;
    case 'readResponse':
      handleReadResponse(s, from, m);
      break;
    case 'lostLog':
      handleLostLog(s, from, m);
      break;
    case 'refetch':
      handleRefetch(s, from, m);
      break;
  }
  return 0;
}

/**
 * A sender of an older term is told the newer one; otherwise a node that came back from a partition with a higher
 * term would be ignored for ever by a leader whose appends it must refuse.
 */
function answerStale(s: CoreState, from: NodeId, m: Message): void {
  if (m.kind === 'append') {
    s.send(from, {
      kind: 'appendAck',
      term: s.term,
      match: 0,
      rejected: true,
      prevIndex: m.prevIndex,
      hintIndex: 0,
      hintTerm: 0,
    });
  } else if (m.kind === 'heartbeat') {
    s.send(from, { kind: 'heartbeatAck', term: s.term, readSeq: 0, sentAtMs: m.sentAtMs });
  } else if (m.kind === 'readRequest') {
    s.send(from, { kind: 'readResponse', term: s.term, token: m.token, index: 0, ok: false });
  }
}
