import type { Message } from '../core/types.ts';

/** A message between cores as one readable line; used in traces and golden scripts. */
export function formatMessage(m: Message): string {
  switch (m.kind) {
    case 'voteRequest': {
      const name = m.pre ? 'preVote?' : m.transfer ? 'vote? (transfer)' : 'vote?';
      return `${name} term ${m.term} last ${m.lastIndex}/${m.lastTerm}`;
    }
    case 'voteResponse':
      return `${m.pre ? 'preVote' : 'vote'} ${m.granted ? 'granted' : 'refused'} term ${m.term}`;
    case 'append': {
      const range = m.last === m.prevIndex ? 'empty' : `${m.prevIndex + 1}…${m.last}`;
      return `append term ${m.term} prev ${m.prevIndex}/${m.prevTerm} ${range} commit ${m.commit}`;
    }
    case 'appendAck':
      return m.rejected
        ? `appendAck term ${m.term} rejected prev ${m.prevIndex} hint ${m.hintIndex}/${m.hintTerm}`
        : `appendAck term ${m.term} match ${m.match}`;
    case 'heartbeat':
      return `heartbeat term ${m.term} commit ${m.commit}${m.readSeq > 0 ? ` read ${m.readSeq}` : ''}`;
    case 'heartbeatAck':
      return `heartbeatAck term ${m.term}${m.readSeq > 0 ? ` read ${m.readSeq}` : ''}`;
    case 'timeoutNow':
      return `timeoutNow term ${m.term}`;
    case 'readRequest':
      return `read? term ${m.term} token ${m.token}`;
    case 'readResponse':
      return `read ${m.ok ? `at ${m.index}` : 'refused'} term ${m.term} token ${m.token}`;
    case 'lostLog':
      return `lostLog term ${m.term} nonce ${m.nonce}`;
    case 'refetch':
      return `refetch term ${m.term} nonce ${m.nonce} up to ${m.index}`;
  }
}
