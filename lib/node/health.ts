import type { NodeId } from '../core/types.ts';
import type { Driver } from './driver.ts';
import { Latency } from './latency.ts';
import { canVote } from './liveness.ts';
import type { PeerRegistry } from './peer-registry.ts';

/** Stalls of the event loop within `STALL_WINDOW` election timeouts after which a leader had better be another. */
const MAX_STALLS = 3;
const STALL_WINDOW = 10;
/** Election timeouts after a stall in which no leader hands over to this node for its own stalls. */
const UNWELL_FOR = 30;
/** Election timeouts between two attempts to give leadership away. */
const GIVE_AWAY_PAUSE = 5;
const PRIORITY_PAUSE = 10;
/** A leader serves so many election timeouts before it makes way for a node of higher priority. */
const MIN_TENURE = 2;

/**
 * Watches this node's own disk and event loop. A leader that cannot sync or whose process keeps standing still slows
 * everybody down though its heartbeats look fine; it hands leadership to a node that is well. Where none is, as on a
 * machine that has too much to do for all of them, leadership stays: to pass it round would only add to the work. It
 * also makes way for a voter of higher priority.
 */
export class Health {
  /** How long writes took until they were durable. */
  readonly sync: Latency = new Latency();
  readonly #driver: Driver;
  readonly #registry: PeerRegistry;
  /** Writes under way: ticket and time, oldest first. */
  readonly #writes: { ticket: number; sinceMs: number }[] = [];
  #stalls: number[] = [];
  #lastStallMs = -Infinity;
  #leaderSinceMs = Infinity;
  #giveAwayDueMs = 0;
  #priorityDueMs = 0;
  #checkDueMs = 0;

  constructor(driver: Driver, registry: PeerRegistry) {
    this.#driver = driver;
    this.#registry = registry;
  }

  /** From when on `check` should run, in whatever turn there is. */
  get dueMs(): number {
    return this.#checkDueMs;
  }

  /** When a turn is due for that alone: heartbeats bring turns, and an idle node had better sleep between them. */
  get wakeMs(): number {
    const { core, options } = this.#driver;
    if (this.#writes.length === 0 && core.role !== 'leader') return Infinity;
    return this.#checkDueMs + options.electionTimeoutMs / 4;
  }

  /** How long the oldest write has been under way. */
  get oldestWriteMs(): number {
    return this.#writes.length === 0 ? 0 : this.#driver.now - this.#writes[0]!.sinceMs;
  }

  get diskStalled(): boolean {
    return this.oldestWriteMs > this.#driver.options.electionTimeoutMs / 2;
  }

  get stalls(): number {
    return this.#stalls.length;
  }

  /**
   * No leader that is not well should hand over to this node; the others hear of it. One stall is enough for that, and
   * for long: followers, whose timers are seldom due, notice few of theirs.
   */
  get unwell(): boolean {
    const { now, options } = this.#driver;
    return this.diskStalled || now - this.#lastStallMs < UNWELL_FOR * options.electionTimeoutMs;
  }

  persisting(ticket: number): void {
    this.#writes.push({ ticket, sinceMs: this.#driver.now });
  }

  durable(ticket: number, forMs: number): void {
    const doneMs = this.#driver.now - forMs;
    while (this.#writes.length > 0 && this.#writes[0]!.ticket <= ticket)
      this.sync.add(doneMs - this.#writes.shift()!.sinceMs);
  }

  /** The event loop stood still for so long. */
  stalled(durationMs: number): void {
    const { now, options } = this.#driver;
    // Short pauses are ordinary: garbage is collected, a snapshot's view is taken.
    const least = options.electionTimeoutMs / 4;
    // One stall may be noticed twice, by the timer and by the turn it was late for.
    if (durationMs < least || now - this.#lastStallMs < least) return;
    this.#stalls.push(now);
    this.#lastStallMs = now;
  }

  check(now: number): void {
    const { core, options } = this.#driver;
    const timeoutMs = options.electionTimeoutMs;
    this.#checkDueMs = now + timeoutMs / 4;
    this.#stalls = this.#stalls.filter((atMs) => now - atMs < STALL_WINDOW * timeoutMs);
    const { diskStalled } = this;
    core.diskStalled = diskStalled;
    if (core.role !== 'leader') {
      this.#leaderSinceMs = Infinity;
      return;
    }
    if (this.#leaderSinceMs === Infinity) this.#leaderSinceMs = now;
    if (core.transferring) return;
    if (diskStalled) this.#giveAway(now, 'its disk does not answer in time');
    else if (this.#stalls.length >= MAX_STALLS) this.#giveAway(now, 'its process keeps standing still');
    else this.#makeWay(now);
  }

  #giveAway(now: number, why: string): void {
    if (now < this.#giveAwayDueMs) return;
    const { core, options } = this.#driver;
    const target = this.#furthest();
    if (target === 0) return;
    this.#giveAwayDueMs = now + GIVE_AWAY_PAUSE * options.electionTimeoutMs;
    options.logger.warn({ target }, `this leader hands over: ${why}`);
    core.transfer(target);
  }

  #makeWay(now: number): void {
    const { core, options } = this.#driver;
    const timeoutMs = options.electionTimeoutMs;
    if (now < this.#priorityDueMs || now - this.#leaderSinceMs < MIN_TENURE * timeoutMs) return;
    const target = this.#betterLeader();
    if (target === 0) return;
    this.#priorityDueMs = now + PRIORITY_PAUSE * timeoutMs;
    options.logger.info({ target }, 'this leader hands over to a node of higher priority');
    core.transfer(target);
  }

  /** The voter that is live and well and has most of the log; 0: none. */
  #furthest(): NodeId {
    const { core } = this.#driver;
    return this.#fittest(-1, (id) => core.progressOf(id)?.match ?? 0);
  }

  /** The live, caught-up voter with the highest priority above this node's own; 0: none. */
  #betterLeader(): NodeId {
    const { core, options } = this.#driver;
    return this.#fittest(options.priority, (id) => {
      const isCaughtUp = (core.progressOf(id)?.match ?? 0) >= core.commitIndex;
      return isCaughtUp ? (this.#registry.factsOf(id)?.priority ?? 0) : -Infinity;
    });
  }

  /** The fit voter that ranks highest, and above `least`; 0: none. */
  #fittest(least: number, rankOf: (id: NodeId) => number): NodeId {
    let best = 0;
    let bestRank = least;
    for (const id of this.#driver.core.config.voters) {
      const rank = rankOf(id);
      if (rank <= bestRank || !this.#isFit(id)) continue;
      best = id;
      bestRank = rank;
    }
    return best;
  }

  /** Another node that answers, is not in quarantine and has not said that it is unwell. */
  #isFit(id: NodeId): boolean {
    const { options, reports } = this.#driver;
    return id !== options.id && canVote(this.#driver, id) && reports.of(id)?.unwell !== true;
  }
}
