import { frameFlags, queryStalenessMs } from '../../protocol/client-codec.ts';
import { ReadLevel } from '../../protocol/constants.ts';
import type { Index } from '../core/types.ts';
import { ClockGuard } from './clock-guard.ts';
import type { Driver } from './driver.ts';
import type { PeerRegistry } from './peer-registry.ts';
import type { Sink } from './sink.ts';

/**
 * Reads that need no question to a quorum: `local` ones, `lease` ones on a leader that holds a lease, and `bounded`
 * ones where the last answer of a leader is recent enough. Everything else asks (`PendingReads`).
 */
export class ReadLevels {
  readonly #driver: Driver;
  readonly #registry: PeerRegistry;
  readonly #clocks: ClockGuard;
  /** Questions to the leader that are out or whose index is not applied yet: when they were asked. */
  readonly #asked = new Map<number, { readonly sinceMs: number; index: Index }>();
  /** Everything that was answered anywhere before this is in the state here. */
  #freshAsOfMs = -Infinity;

  constructor(driver: Driver, registry: PeerRegistry) {
    const { runtime, electionTimeoutMs } = driver.options;
    this.#driver = driver;
    this.#registry = registry;
    // Two anchors may lie within one lease: together they stay within what a leader leaves of its voters' promises.
    this.#clocks = new ClockGuard(runtime, electionTimeoutMs / 40, electionTimeoutMs);
  }

  /** Answers a query into `sink` if it can be answered now. Whether it was. */
  tryServe(bytes: Uint8Array, start: number, end: number, sink: Sink): boolean {
    const { core, state, applier } = this.#driver;
    if (core.installing || sink.full === true) return false;
    switch (frameFlags(bytes, start)) {
      case ReadLevel.local:
        state.query(bytes, start, end, sink.out);
        return true;
      case ReadLevel.bounded: {
        const now = this.#driver.now;
        this.#checkClocks(now);
        if (now - this.#freshAsOfMs > queryStalenessMs(bytes, start)) return false;
        state.query(bytes, start, end, sink.out);
        return true;
      }
      case ReadLevel.lease: {
        if (core.role !== 'leader' || applier.applied < core.commitIndex) return false;
        const before = sink.out.position;
        state.query(bytes, start, end, sink.out);
        // Asked after the state was read: a process that stood still in between has lost its lease meanwhile.
        if (this.holdsLease()) return true;
        sink.out.position = before;
        return false;
      }
      default:
        return false;
    }
  }

  /** Whether nobody else can lead at this moment. */
  holdsLease(): boolean {
    const { core, options } = this.#driver;
    if (!options.leaseReads || core.role !== 'leader') return false;
    const now = this.#driver.now;
    this.#checkClocks(now);
    return now < core.leaseUntil(this.#promiseOf);
  }

  // What the driver tells, so that answers to reads that did ask serve those that need not.

  asked(token: number, nowMs: number): void {
    this.#asked.set(token, { sinceMs: nowMs, index: Infinity });
  }

  confirmed(token: number, index: Index): void {
    const asked = this.#asked.get(token);
    if (asked !== undefined) asked.index = index;
  }

  failed(token: number): void {
    this.#asked.delete(token);
  }

  applied(index: Index): void {
    for (const [token, asked] of this.#asked) {
      if (asked.index > index) continue;
      this.#asked.delete(token);
      this.#freshAsOfMs = Math.max(this.#freshAsOfMs, asked.sinceMs);
    }
  }

  /** Forgets questions whose answers were lost on the way. */
  expire(beforeMs: number): void {
    for (const [token, asked] of this.#asked) if (asked.sinceMs < beforeMs) this.#asked.delete(token);
  }

  #checkClocks(now: number): void {
    if (this.#clocks.check(now)) return;
    this.#driver.core.clock(now);
    this.#driver.core.dropLease();
    this.#freshAsOfMs = -Infinity;
    this.#asked.clear();
  }

  readonly #promiseOf = (id: number): number => this.#registry.factsOf(id)?.leaseMs ?? 0;
}
