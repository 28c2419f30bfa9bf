import { Lane } from '../../protocol/constants.ts';
import type { Message, NodeId } from '../core/types.ts';
import type { Transport } from '../transport/transport.ts';

/** What is large waits behind each other on a slow network: patience with it is so many times as long, and doubles. */
const DATA_PATIENCE = 10;

/** Since when a peer has owed an answer on its control lane, and whether it is heard on another. */
interface Debt {
  sinceMs: number;
  elsewhere: boolean;
}

/**
 * Finds connections that look alive and carry nothing. What the network has lost TCP sends again after pauses that
 * double, up to two minutes: behind a partition of one minute the nodes would not hear of each other for most of another,
 * though new connections would carry everything at once. So a peer that owes answers on a lane, and has not been heard
 * there for an election timeout (for longer on the data lane), is dialled anew: on all lanes if it has not been
 * heard at all.
 *
 * @example
 * if (transport.send(to, …)) silence.sent(to, message, now);
 * silence.check(now);
 */
export class Silence {
  readonly #transport: Pick<Transport, 'renew'>;
  readonly #patienceMs: number;
  readonly #questions = new Map<NodeId, Debt>();
  /** Since when each peer has owed the ack of an append, or something in return for a request that was forwarded. */
  readonly #data = new Map<NodeId, number>();
  /** Patience with a data lane that was given up and has not been heard of since. */
  readonly #dataPatienceMs = new Map<NodeId, number>();

  constructor(transport: Pick<Transport, 'renew'>, patienceMs: number) {
    this.#transport = transport;
    this.#patienceMs = patienceMs;
  }

  /**
   * `message` has left. Heartbeats, requests for votes and, while a follower lacks entries, one append for each of its
   * heartbeats are answered by whoever hears them, whatever its disk does.
   */
  sent(to: NodeId, message: Message, now: number): void {
    const { kind } = message;
    if (kind === 'append') this.sentData(to, now);
    else if ((kind === 'heartbeat' || kind === 'voteRequest') && !this.#questions.has(to)) {
      this.#questions.set(to, { sinceMs: now, elsewhere: false });
    }
  }

  /**
   * An append, or clients' requests for the leader, have left. It sends those on as an append before anything else, so
   * even one whose disks are slow is heard on the data lane soon.
   */
  sentData(to: NodeId, now: number): void {
    if (!this.#data.has(to)) this.#data.set(to, now);
  }

  /** A frame has come from `from` on `lane`. */
  heard(from: NodeId, lane: Lane): void {
    if (lane === Lane.control) {
      this.#questions.delete(from);
      return;
    }
    const debt = this.#questions.get(from);
    if (debt !== undefined) debt.elsewhere = true;
    if (lane === Lane.data && this.#data.delete(from)) this.#dataPatienceMs.delete(from);
  }

  /** This process stood still itself for so long: that does not count, and answers may lie in its sockets. */
  stalled(durationMs: number): void {
    for (const debt of this.#questions.values()) debt.sinceMs += durationMs;
    for (const [peer, sinceMs] of this.#data) this.#data.set(peer, sinceMs + durationMs);
  }

  check(now: number): void {
    for (const [peer, { sinceMs, elsewhere }] of this.#questions) {
      if (now - sinceMs < this.#patienceMs) continue;
      this.#questions.delete(peer);
      this.#transport.renew(peer, Lane.control);
      if (elsewhere) continue;
      this.#data.delete(peer);
      this.#transport.renew(peer, Lane.data);
      this.#transport.renew(peer, Lane.bulk);
    }
    for (const [peer, sinceMs] of this.#data) {
      const patienceMs = this.#dataPatienceMs.get(peer) ?? DATA_PATIENCE * this.#patienceMs;
      if (now - sinceMs < patienceMs) continue;
      this.#data.delete(peer);
      this.#dataPatienceMs.set(peer, 2 * patienceMs);
      this.#transport.renew(peer, Lane.data);
    }
  }
}
