/**
 * Linearizable reads without log entries (dissertation 6.4). A read notes the commit index; a round of heartbeats
 * acknowledged by a quorum in this term proves that no newer leader existed when it was noted; the read is answered
 * once that index is applied.
 *
 * One round is in flight at most. Reads that come meanwhile share the next one, so their number costs nothing.
 */
import { quorumValue } from './quorum.ts';
import { sendHeartbeats } from './replication.ts';
import type { CoreState, PendingRead } from './state.ts';
import type { NodeId, ReadRequest, ReadResponse } from './types.ts';

/** A read of this node. Ends as a confirmed or a failed read in the effects, always. */
export function readIndex(s: CoreState, token: number): void {
  if (s.role === 'leader') {
    s.reads.push({ token, from: s.id, round: 0, index: 0 });
  } else if (s.leader !== 0 && s.hardStateDurable) {
    // Not while the term waits for the disk: the question would wait with it, and on a disk that stands still there
    // would be one more for every turn.
    s.askedReads.add(token);
    s.send(s.leader, { kind: 'readRequest', term: s.term, token });
  } else {
    s.failedReads.push(token);
  }
}

export function handleReadRequest(s: CoreState, from: NodeId, m: ReadRequest): void {
  if (s.role === 'leader') s.reads.push({ token: m.token, from, round: 0, index: 0 });
  else s.send(from, { kind: 'readResponse', term: s.term, token: m.token, index: 0, ok: false });
}

export function handleReadResponse(s: CoreState, from: NodeId, m: ReadResponse): void {
  // An answer of a deposed leader to a question put to it is as good as none.
  if (!s.askedReads.delete(m.token)) return;
  if (m.ok && from === s.leader) s.confirmedReads.push({ token: m.token, index: m.index });
  else s.failedReads.push(m.token);
}

/** The first entry of the leader's own term is committed: from now on its commit index is worth noting (6.4). */
export function termCommitted(s: CoreState): void {
  startReadRound(s);
}

/** Starts a round for the reads that wait, unless one is out already. */
export function startReadRound(s: CoreState): void {
  if (s.role !== 'leader' || s.readRound > s.confirmedRound) return;
  if (s.commitIndex < s.termStartIndex) return;
  const waiting = s.reads.some((r) => r.round === 0);
  if (!waiting) return;
  s.readRound++;
  for (const read of s.reads) {
    if (read.round !== 0) continue;
    read.round = s.readRound;
    read.index = s.commitIndex;
  }
  maybeConfirmReads(s);
  if (s.readRound > s.confirmedRound) sendHeartbeats(s);
}

export function maybeConfirmReads(s: CoreState): void {
  const round = quorumValue(s.config, (id) =>
    id === s.id ? s.readRound : (s.progress.get(id)?.readSeq ?? 0),
  );
  if (round <= s.confirmedRound) return;
  s.confirmedRound = Math.min(round, s.readRound);
  const waiting: PendingRead[] = [];
  for (const read of s.reads) {
    if (read.round === 0 || read.round > s.confirmedRound) waiting.push(read);
    else if (read.from === s.id) s.confirmedReads.push({ token: read.token, index: read.index });
    else
      s.send(read.from, {
        kind: 'readResponse',
        term: s.term,
        token: read.token,
        index: read.index,
        ok: true,
      });
  }
  s.reads = waiting;
}

/** The question to the leader never left, or the way it went is gone: nobody will answer it. */
export function readLost(s: CoreState, token: number): void {
  if (s.askedReads.delete(token)) s.failedReads.push(token);
}

/** The way to `id` is gone on which questions are put to it, and perhaps some of them with it. */
export function askingLost(s: CoreState, id: NodeId): void {
  if (s.leader === id && s.role !== 'leader') for (const token of s.askedReads) readLost(s, token);
}

/** The leader, or our being it, is over: every read is settled. */
export function failReads(s: CoreState): void {
  for (const token of s.askedReads) s.failedReads.push(token);
  s.askedReads.clear();
  for (const read of s.reads) {
    if (read.from === s.id) s.failedReads.push(read.token);
    else s.send(read.from, { kind: 'readResponse', term: s.term, token: read.token, index: 0, ok: false });
  }
  s.reads = [];
  s.confirmedRound = s.readRound;
}
