import { isVoter } from '../core/quorum.ts';
import { EntryKind, type Message, type NodeId } from '../core/types.ts';
import { fullMark, lowMark, type DiskSpace } from '../log/space.ts';
import type { Driver } from './driver.ts';
import { canVote } from './liveness.ts';

/** Room must come back by this much beyond the mark before anything is taken again. */
const HYSTERESIS = 1.25;

/**
 * What a node does when its disk fills up. Below the first mark a leader takes no more writes (votes, configurations
 * and compaction still have room) and hands leadership to a node that has space. Below the second, a follower takes no
 * more batches either: the leader goes on with the others. All of it ends by itself when there is room again.
 */
export class SpaceGuard {
  readonly #driver: Driver;
  readonly #configuredBytes: number;
  #free: DiskSpace | null = null;
  #low = false;
  #full = false;
  #transferDueMs = 0;

  /** `minFreeBytes` 0: see `lowMark`. */
  constructor(driver: Driver, minFreeBytes: number) {
    this.#driver = driver;
    this.#configuredBytes = minFreeBytes;
  }

  /** A leader takes no writes. */
  get low(): boolean {
    return this.#low;
  }

  /** A follower takes no batches either. */
  get full(): boolean {
    return this.#full;
  }

  /** The log has said how much room there is. */
  get known(): boolean {
    return this.#free !== null;
  }

  get freeBytes(): number {
    return this.#free?.freeBytes ?? 0;
  }

  /** News from the log. */
  take(space: DiskSpace): void {
    const { logger } = this.#driver.options;
    this.#free = space;
    const mark = lowMark(space, this.#configuredBytes);
    const { freeBytes } = space;
    this.#full = freeBytes < fullMark(mark) * (this.#full ? HYSTERESIS : 1);
    const low = freeBytes < mark * (this.#low ? HYSTERESIS : 1);
    if (low === this.#low) return;
    this.#low = low;
    if (low)
      logger.error({ freeBytes, mark }, 'the disk is nearly full: this node leads no more, if another can');
    else logger.info({ freeBytes }, 'there is room on the disk again');
    this.#driver.reports.send();
    this.#driver.wake();
  }

  /** Why a leader takes no writes now; null: it takes them. */
  get refusal(): string | null {
    if (this.#low) return 'the disk of the leader is nearly full';
    return this.#majorityHasRoom() ? null : 'the disks of too many nodes are nearly full';
  }

  /** Whether a message of the leader is not taken for want of room. The leader sends it again. */
  refuses(message: Message): boolean {
    return this.#full && message.kind === 'append' && message.entries.some((e) => e.kind === EntryKind.batch);
  }

  /** Once in each turn, before the core is drained: what a transfer asks it to send leaves at once. */
  turn(nowMs: number): void {
    const { core, options } = this.#driver;
    if (!this.#low || core.role !== 'leader' || core.transferring || nowMs < this.#transferDueMs) return;
    this.#transferDueMs = nowMs + 2 * options.electionTimeoutMs;
    const target = this.#roomiest();
    if (target === 0) return;
    options.logger.info({ target }, 'leadership goes to a node with room on its disk');
    core.transfer(target);
  }

  #roomiest(): NodeId {
    const { core, reports, options } = this.#driver;
    let best: NodeId = 0;
    let bestBytes = -1;
    for (const { id } of core.config.members) {
      const report = reports.of(id);
      if (id === options.id || !isVoter(core.config, id) || !canVote(this.#driver, id)) continue;
      if (report === undefined || report.low || report.freeBytes <= bestBytes) continue;
      best = id;
      bestBytes = report.freeBytes;
    }
    return best;
  }

  /** Whoever has said nothing is taken to have room. */
  #majorityHasRoom(): boolean {
    const { core, reports } = this.#driver;
    if (!reports.someLow) return true;
    const { voters } = core.config;
    const low = voters.filter((id) => reports.of(id)?.low === true).length;
    return (voters.length - low) * 2 > voters.length;
  }
}
