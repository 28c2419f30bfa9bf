import { CordwoodError } from '../../protocol/errors.ts';
import { isVoter } from '../core/quorum.ts';
import type { RaftCore } from '../core/raft-core.ts';
import type { Config, NodeId } from '../core/types.ts';
import type { LogDamage, LogStore, Recovery } from '../log/log-store.ts';
import type { ResolvedOptions } from './options.ts';
import type { PeerMemory } from './peer-registry.ts';
import type { Logger } from './types.ts';

/** Without a leader for so many election timeouts, the operator is told what that may mean. */
const LONELY_TIMEOUTS = 10;

/** `<file> at offset <n>: <reason>`, as everyone is told of damage. */
export function describeDamage(damage: LogDamage): string {
  return `${damage.file} at offset ${damage.offset}: ${damage.reason}`;
}

/**
 * Whether this is the only node of its cluster, by `config`, the newest that can be found, and by whom it has met.
 *
 * Why by both: a cluster that began with one node has grown by entries of the log. Where those are lost with the rest,
 * the configuration is that of the first days again, and the node would elect itself, without what the others have.
 */
export function isAlone(id: NodeId, config: Config, memory: PeerMemory): boolean {
  // It waits to be added to others.
  if (config.members.length === 0) return false;
  if (config.members.some((m) => m.id !== id && isVoter(config, m.id))) return false;
  if ((memory.damage ?? null) !== null) return false;
  return memory.known.every(([met]) => config.retired?.includes(met) === true);
}

/**
 * What recovery means for the start: null, start; a text, start in quarantine, for this reason.
 *
 * @throws CordwoodError `LOG_DAMAGED` where nobody can help: a node alone, or one that cannot tell in which terms it
 *   has voted.
 */
export function quarantineReason(recovery: Recovery, alone: boolean, logger: Logger): string | null {
  const { damage, doubt } = recovery;
  if (damage === null) {
    if (doubt === null) return null;
    if (!alone) return describeDamage(doubt);
    logger.warn({ file: doubt.file }, `the log is whole, the node goes on alone: ${describeDamage(doubt)}`);
    return null;
  }
  const where = describeDamage(damage);
  if (!recovery.hardStateKnown) {
    const text = `the log is damaged, and so is the second record of its votes; remove this node and add it anew`;
    throw new CordwoodError('LOG_DAMAGED', `${text}: ${where}`);
  }
  if (alone) {
    const text =
      'the log is damaged and no other node has a copy; restore a backup, or see `cordwood inspect`';
    throw new CordwoodError('LOG_DAMAGED', `${text}: ${where}`);
  }
  return where;
}

/** The newest configuration that can be found on a damaged disk: who may be able to help. */
export function newestConfig(recovery: Recovery, fallback: Config): Config {
  const inLog = recovery.configs.at(-1);
  const { snapshot } = recovery;
  if (inLog !== undefined && inLog.index > (snapshot?.configIndex ?? 0)) return inLog.config;
  return snapshot?.config ?? fallback;
}

export interface QuarantineEvents {
  wake(): void;
  failed(error: Error): void;
}

/**
 * A node that has lost what it acknowledged, and its way back: the core neither votes nor campaigns, requests are
 * refused, and everything is fetched from the leader. Ends by itself, first on disk and then in the core.
 */
export class Quarantine {
  readonly #core: RaftCore;
  readonly #log: LogStore;
  readonly #options: ResolvedOptions;
  readonly #events: QuarantineEvents;
  #reason: string | null;
  #leaving = false;
  #sinceMs: number;
  #toldLonely = false;

  /** `reason`: why the node starts in quarantine, null if it does not. */
  constructor(
    core: RaftCore,
    log: LogStore,
    options: ResolvedOptions,
    reason: string | null,
    events: QuarantineEvents,
  ) {
    this.#core = core;
    this.#log = log;
    this.#options = options;
    this.#events = events;
    this.#reason = reason;
    this.#sinceMs = options.runtime.now();
    if (reason === null) return;
    core.enterQuarantine(this.#nonce(), log.recovery.damage !== null);
    options.logger.error(
      { reason },
      'the node is in quarantine until it has fetched its data from the leader',
    );
  }

  /** What is wrong; null: nothing. */
  get reason(): string | null {
    return this.#reason;
  }

  /** Once in each turn. */
  turn(nowMs: number): void {
    const core = this.#core;
    if (core.lossNoticed > 0 && this.#reason === null) void this.#lossNoticed(core.lossNoticed);
    if (this.#reason === null) return;
    if (core.leader !== 0) this.#sinceMs = nowMs;
    else this.#tellLonely(nowMs);
    if (core.healed && !this.#leaving) void this.#leave();
  }

  /**
   * The log is whole, and shorter than it was: the files are those of an earlier time. No later start finds that in
   * them, so the mark is durable before the leader is told to forget, by which it noticed. Until then the core keeps
   * still by `lossNoticed`.
   */
  async #lossNoticed(index: number): Promise<void> {
    this.#reason = `entry ${index}, which this node has acknowledged, is not in its log: the files are older than that`;
    this.#sinceMs = this.#options.runtime.now();
    this.#options.logger.error({ reason: this.#reason }, 'the node is in quarantine');
    try {
      await this.#log.setQuarantine(this.#reason);
    } catch (error) {
      this.#events.failed(error as Error);
      return;
    }
    this.#core.enterQuarantine(this.#nonce(), false);
  }

  /** A crash before the disk knows finds the node in quarantine once more; after that it is whole. */
  async #leave(): Promise<void> {
    this.#leaving = true;
    try {
      await this.#log.setQuarantine(null);
    } catch (error) {
      this.#events.failed(error as Error);
      return;
    }
    this.#leaving = false;
    this.#reason = null;
    this.#toldLonely = false;
    this.#core.leaveQuarantine();
    this.#options.logger.info(
      { index: this.#core.durableIndex },
      'everything is fetched again, the quarantine is over',
    );
    this.#events.wake();
  }

  #tellLonely(nowMs: number): void {
    if (this.#toldLonely || nowMs - this.#sinceMs < LONELY_TIMEOUTS * this.#options.electionTimeoutMs) return;
    this.#toldLonely = true;
    const text =
      'no leader has been heard of: a majority of the nodes must be whole to repair this one; if they are lost for good, see "Quorum lost" in docs/operations.md';
    this.#options.logger.error({ reason: this.#reason }, text);
  }

  #nonce(): number {
    return this.#options.runtime.random() + 1;
  }
}
