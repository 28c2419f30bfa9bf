import { isVoter } from '../core/quorum.ts';
import type { NodeId } from '../core/types.ts';
import type { Driver } from './driver.ts';
import { Latency } from './latency.ts';
import { isLive } from './liveness.ts';
import type { PeerRegistry } from './peer-registry.ts';

/** Stalls of the event loop within `STALL_WINDOW` election timeouts after which a leader had better be another. */
const MAX_STALLS = 3;
const STALL_WINDOW = 10;
/** Election timeouts between two attempts to give leadership away. */
const GIVE_AWAY_PAUSE = 5;
const PRIORITY_PAUSE = 10;
/** A leader serves so many election timeouts before it makes way for a node of higher priority. */
const MIN_TENURE = 2;

/**
 * Watches this node's own disk and event loop. A leader that cannot sync or whose process keeps standing still slows
 * everybody down though its heartbeats look fine; it hands leadership to a node that is well. It also makes way for a
 * voter of higher priority.
 */
export class Health {
  /** How long writes took until they were durable. */
  readonly sync: Latency = new Latency();
  readonly #driver: Driver;
  readonly #registry: PeerRegistry;
  /** Writes under way: ticket and time, oldest first. */
  readonly #writes: { ticket: number; sinceMs: number }[] = [];
  #stalls: number[] = [];
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
    const last = this.#stalls.at(-1) ?? -Infinity;
    if (durationMs >= least && now - last >= least) this.#stalls.push(now);
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
    this.#giveAwayDueMs = now + GIVE_AWAY_PAUSE * options.electionTimeoutMs;
    const target = core.transfer(0);
    if (target !== 0) options.logger.warn({ target }, `this leader hands over: ${why}`);
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

  /** The live, caught-up voter with the highest priority above this node's own; 0: none. */
  #betterLeader(): NodeId {
    const { core, options } = this.#driver;
    let best = 0;
    let priority = options.priority;
    for (const id of core.config.voters) {
      if (id === options.id || !isVoter(core.config, id)) continue;
      const theirs = this.#registry.factsOf(id)?.priority ?? 0;
      if (theirs <= priority || !isLive(this.#driver, id)) continue;
      if ((core.progressOf(id)?.match ?? 0) < core.commitIndex) continue;
      best = id;
      priority = theirs;
    }
    return best;
  }
}
