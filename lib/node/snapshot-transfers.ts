import { Lane } from '../../protocol/constants.ts';
import type { SnapshotAck } from '../../protocol/peer-transfer.ts';
import type { Index, NodeId, Term } from '../core/types.ts';
import type { LogStore } from '../log/log-store.ts';
import type { Transport } from '../transport/transport.ts';
import type { Runtime } from './runtime.ts';
import { SnapshotSender } from './snapshot-sender.ts';

/** Transfers at a time: each of them takes bandwidth from the entries that everybody waits for. */
const MAX_TRANSFERS = 2;

/**
 * The snapshots on their way from a leader to its followers: few at a time, each given up only for lack of progress,
 * and one that failed is not begun again at once.
 */
export class SnapshotTransfers {
  readonly #log: LogStore;
  readonly #transport: Transport;
  readonly #runtime: Runtime;
  readonly #pauseMs: number;
  readonly #ended: (peer: NodeId) => void;
  readonly #senders = new Map<NodeId, SnapshotSender>();
  /** Followers that need a snapshot and do not get it yet, in the order in which they asked. */
  readonly #waiting = new Map<NodeId, Term>();
  /** When the last failure of a transfer was. */
  readonly #failedMs = new Map<NodeId, number>();

  /**
   * @param pauseMs how long nothing is sent to a follower after a transfer to it has failed
   * @param ended a transfer has ended, one way or the other: the follower is to be asked where it stands
   */
  constructor(
    log: LogStore,
    transport: Transport,
    runtime: Runtime,
    pauseMs: number,
    ended: (peer: NodeId) => void,
  ) {
    this.#log = log;
    this.#transport = transport;
    this.#runtime = runtime;
    this.#pauseMs = pauseMs;
    this.#ended = ended;
  }

  /** Under way now. */
  get active(): number {
    return this.#senders.size;
  }

  /** Entries behind this index are needed by a follower as soon as it has its snapshot. Infinity: by none. */
  get pinned(): Index {
    let pinned = Infinity;
    for (const { index } of this.#senders.values()) if (index > 0) pinned = Math.min(pinned, index);
    return pinned;
  }

  /** The follower `peer` needs entries that are compacted away. */
  send(peer: NodeId, term: Term): void {
    // One that is under way ends by itself, and what it brings is good enough: the log is kept from there on.
    if (this.#senders.has(peer)) return;
    this.#waiting.set(peer, term);
    this.#startDue();
  }

  acked(from: NodeId, ack: SnapshotAck): void {
    this.#senders.get(from)?.acked(ack, this.#runtime.now());
  }

  laneUp(peer: NodeId): void {
    this.#senders.get(peer)?.laneUp();
  }

  /** This node leads no more. */
  stop(): void {
    this.#waiting.clear();
    this.#failedMs.clear();
    for (const sender of [...this.#senders.values()]) sender.end(false);
  }

  /** Now and then: gives up what has made no progress for `patienceMs`, begins what has waited long enough. */
  sweep(patienceMs: number): void {
    const now = this.#runtime.now();
    for (const [peer, sender] of [...this.#senders]) {
      if (now - sender.progressMs <= patienceMs) continue;
      sender.end(false);
      // The connection may be what carries nothing any more.
      this.#transport.renew(peer, Lane.bulk);
    }
    this.#startDue();
  }

  #startDue(): void {
    const now = this.#runtime.now();
    for (const [peer, term] of this.#waiting) {
      if (this.#senders.size >= MAX_TRANSFERS) return;
      if (now - (this.#failedMs.get(peer) ?? -Infinity) < this.#pauseMs) continue;
      this.#waiting.delete(peer);
      this.#start(peer, term);
    }
  }

  #start(peer: NodeId, term: Term): void {
    const sender: SnapshotSender = new SnapshotSender(
      peer,
      term,
      this.#transport,
      this.#runtime,
      (installed) => {
        if (this.#senders.get(peer) === sender) this.#senders.delete(peer);
        if (installed) this.#failedMs.delete(peer);
        else this.#failedMs.set(peer, this.#runtime.now());
        this.#ended(peer);
        this.#startDue();
      },
    );
    this.#senders.set(peer, sender);
    void sender.start(this.#log);
  }
}
