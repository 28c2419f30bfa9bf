/**
 * What is on its way to the disk, and what may not leave the node before it is there.
 *
 * One ordered lane carries hard state and entries, so a term is durable no later than any entry accepted under it.
 * Everything said in a term leaves only once that term and this node's vote in it are durable; only pre-votes, which
 * promise nothing, go at once.
 */
import type { Outgoing, Persist } from './effects.ts';
import { ownVoteDurable } from './election.ts';
import { maybeCommit } from './commit.ts';
import { invariant } from './invariant.ts';
import type { CoreState, GatedMessage } from './state.ts';
import type { Index, Message } from './types.ts';

/** Entries from `index` on were appended and must be written with the next persist. */
export function markUnwritten(s: CoreState, index: Index): void {
  if (s.unwrittenFirst === 0 || index < s.unwrittenFirst) s.unwrittenFirst = index;
}

/**
 * Entries from `index` on are replaced. Writes under way that cover them no longer attest to them: counting
 * such an ack would report entries as durable that the disk has never seen (the ABA of asynchronous log writes).
 */
export function voidFrom(s: CoreState, index: Index): void {
  s.durableIndex = Math.min(s.durableIndex, index - 1);
  for (const p of s.pendingPersists) p.lastIndex = Math.min(p.lastIndex, index - 1);
  dropCreated(s, index);
}

/** A leader elected and deposed within one turn has made entries that nobody was told of yet. */
export function dropCreated(s: CoreState, index: Index): void {
  while (s.created.length > 0 && s.created[s.created.length - 1]!.index >= index) s.created.pop();
}

export function takePersist(s: CoreState): Persist | null {
  const hasEntries = s.unwrittenFirst !== 0;
  if (!s.hardStateDirty && !hasEntries && s.resetTo === null) return null;
  const persist: Persist = {
    ticket: s.nextTicket++,
    hardState: s.hardStateDirty ? { term: s.term, vote: s.vote } : null,
    resetTo: s.resetTo,
    first: s.unwrittenFirst,
    last: hasEntries ? s.log.lastIndex : 0,
  };
  const { ticket, hardState, resetTo, last } = persist;
  s.pendingPersists.push({ ticket, hardState, resets: resetTo !== null, lastIndex: last });
  s.hardStateDirty = false;
  s.unwrittenFirst = 0;
  s.resetTo = null;
  return persist;
}

/** Everything up to and including `ticket` is durable. */
export function durable(s: CoreState, ticket: number): void {
  invariant(ticket < s.nextTicket, 'TICKET_ORDER', 'durable %, next is %', ticket, s.nextTicket);
  const { pendingPersists } = s;
  if (pendingPersists.length === 0 || pendingPersists[0]!.ticket > ticket) return;
  while (pendingPersists.length > 0 && pendingPersists[0]!.ticket <= ticket) {
    const p = pendingPersists.shift()!;
    if (p.hardState) {
      s.durableTerm = p.hardState.term;
      s.durableVote = p.hardState.vote;
    }
    if (p.lastIndex > s.durableIndex) s.durableIndex = p.lastIndex;
  }
  ownVoteDurable(s);
  if (s.role === 'leader') maybeCommit(s);
  else if (Math.min(s.durableIndex, s.verifiedIndex) > s.lastAckedMatch) s.ackDue = true;
}

/** Takes what may leave now out of the outbox (and out of earlier waits). */
export function releaseMessages(s: CoreState): readonly Outgoing[] {
  let gate = 0;
  for (const p of s.pendingPersists) if (p.hardState) gate = p.ticket;
  const { outbox } = s;
  s.outbox = [];
  if (gate === 0 && s.gated.length === 0) return outbox;
  const messages: Outgoing[] = [];
  const oldest = s.pendingPersists.length > 0 ? s.pendingPersists[0]!.ticket : s.nextTicket;
  let released = 0;
  while (released < s.gated.length && s.gated[released]!.ticket < oldest) messages.push(s.gated[released++]!);
  if (released > 0) s.gated.splice(0, released);
  for (const o of outbox) {
    if (gate === 0 || isPreVote(o.message)) {
      messages.push(o);
      continue;
    }
    dropRepeated(s.gated, o);
    s.gated.push({ to: o.to, message: o.message, ticket: gate });
  }
  return messages;
}

/**
 * Drops what the leader is told again with `next`. It speaks for as long as this node's disk stands still, and asks anew
 * where the logs agree whenever a connection is made anew: each time one more answer would wait here.
 */
function dropRepeated(gated: GatedMessage[], next: Outgoing): void {
  const earlier = gated.findIndex((g) => g.to === next.to && repeats(next.message, g.message));
  if (earlier !== -1) gated.splice(earlier, 1);
}

/** Whether `next` says all that `earlier` of the same term does. */
function repeats(next: Message, earlier: Message): boolean {
  if (next.kind !== earlier.kind || next.term !== earlier.term) return false;
  if (next.kind === 'appendAck') return !next.rejected && earlier.kind === 'appendAck' && !earlier.rejected;
  return next.kind === 'heartbeatAck' || next.kind === 'lostLog';
}

function isPreVote(m: Message): boolean {
  return (m.kind === 'voteRequest' || m.kind === 'voteResponse') && m.pre;
}
