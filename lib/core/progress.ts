import { invariant } from './invariant.ts';
import type { Index, NodeId } from './types.ts';

/**
 * - `probe`: it is not known where the logs agree; one append at a time.
 * - `replicate`: they agree; appends are sent ahead of their acks, as far as the window allows.
 * - `snapshot`: the follower needs entries that are compacted away; a snapshot is on its way.
 */
export type ProgressState = 'probe' | 'replicate' | 'snapshot';

export interface WindowLimits {
  readonly maxInflightMessages: number;
  readonly maxInflightBytes: number;
}

/** What a leader knows of one follower in its term. All transitions between the states are here. */
export class Progress {
  readonly id: NodeId;
  state: ProgressState = 'probe';
  /** Highest index known to be durable there and equal to ours. Goes back only where the follower lost its log. */
  match: Index = 0;
  /** Next index to send. */
  next: Index;
  /** Probe only: an append is out and unanswered. */
  paused = false;
  /** Snapshot only: index of the snapshot being sent. */
  snapshotIndex: Index = 0;
  /** When anything of this term last came from it. */
  lastActiveMs: number;
  /** When the newest heartbeat left that it has acknowledged, by the leader's clock. */
  ackedSentMs: number = -Infinity;
  /** Highest read round it has acknowledged. */
  readSeq = 0;
  /** Highest commit index that an append or heartbeat has carried there. */
  sentCommit: Index = 0;
  /** The last loss of its log it has reported, and what it needs to be trusted again (quarantine.ts). */
  lostNonce = 0;
  neededIndex: Index = 0;

  /** Messages that are out, the oldest first. */
  #window: { readonly last: Index; readonly bytes: number }[] = [];
  #inflightBytes = 0;

  constructor(id: NodeId, next: Index, nowMs: number) {
    this.id = id;
    this.next = next;
    this.lastActiveMs = nowMs;
  }

  get inflightMessages(): number {
    return this.#window.length;
  }

  get inflightBytes(): number {
    return this.#inflightBytes;
  }

  /** Whether entries may be sent now. An empty window always takes one message, however large. */
  canSend(limits: WindowLimits): boolean {
    if (this.state === 'snapshot') return false;
    if (this.state === 'probe') return !this.paused;
    if (this.inflightMessages === 0) return true;
    return (
      this.inflightMessages < limits.maxInflightMessages && this.#inflightBytes < limits.maxInflightBytes
    );
  }

  /** Entries up to `last` were sent. */
  sent(last: Index, sizeBytes: number): void {
    if (this.state === 'replicate') {
      this.next = last + 1;
      this.#window.push({ last, bytes: sizeBytes });
      this.#inflightBytes += sizeBytes;
    } else {
      this.paused = true;
    }
  }

  /** The follower has everything up to `match`. Returns whether that was news. */
  acked(match: Index): boolean {
    const news = match > this.match;
    if (news) this.match = match;
    this.next = Math.max(this.next, this.match + 1);
    this.#freeThrough(match);
    if (this.state === 'probe') this.becomeReplicate();
    // A late snapshot ack and an append ack mean the same thing: the log reaches far enough to go on from there.
    else if (this.state === 'snapshot' && match >= this.snapshotIndex) this.becomeReplicate();
    this.check();
    return news;
  }

  /** The follower's log does not have what `next − 1` stood for; it may agree up to `next − 1` given here. */
  rejected(next: Index): void {
    this.becomeProbe(Math.max(next, this.match + 1));
  }

  becomeProbe(next: Index): void {
    this.state = 'probe';
    this.next = next;
    this.paused = false;
    this.snapshotIndex = 0;
    this.#clearWindow();
    this.check();
  }

  becomeReplicate(): void {
    this.state = 'replicate';
    this.next = this.match + 1;
    this.paused = false;
    this.snapshotIndex = 0;
    this.#clearWindow();
  }

  becomeSnapshot(index: Index): void {
    this.state = 'snapshot';
    this.snapshotIndex = index;
    this.paused = false;
    this.#clearWindow();
  }

  /** The follower has lost its log: what it acknowledged counts no more. */
  forget(nonce: number, lastIndex: Index): void {
    this.lostNonce = nonce;
    this.neededIndex = lastIndex;
    this.match = 0;
    this.becomeProbe(lastIndex + 1);
  }

  check(): void {
    invariant(
      this.next > this.match,
      'NEXT_NOT_ABOVE_MATCH',
      'peer %: next %, match %',
      this.id,
      this.next,
      this.match,
    );
  }

  #freeThrough(match: Index): void {
    while (this.#window.length > 0 && this.#window[0]!.last <= match)
      this.#inflightBytes -= this.#window.shift()!.bytes;
  }

  #clearWindow(): void {
    if (this.#window.length > 0) this.#window = [];
    this.#inflightBytes = 0;
  }
}
