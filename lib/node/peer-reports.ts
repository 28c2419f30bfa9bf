import { ByteWriter } from '../../protocol/byte-writer.ts';
import { Lane } from '../../protocol/constants.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { encodeReport, type PeerReport } from '../../protocol/peer-report.ts';
import { isVoter } from '../core/quorum.ts';
import type { Config, Index, NodeId } from '../core/types.ts';
import type { Driver } from './driver.ts';

/**
 * The state is summed up after each entry whose index is a multiple of this, and after the first of each second: by
 * index, so that nodes have entries in common however fast they go; by time, so that a quiet cluster compares, too.
 */
const CHECK_EVERY = 256;
/** How many of one's own sums are remembered, to compare those of nodes that are behind. */
const MAX_CHECKS = 256;

/** Without news a report is repeated after so many election timeouts; whoever connects is told at once. */
const QUIET_TIMEOUTS = 60;
/** Room on a disk that came or went is news in steps of this size. */
const ROOM_STEP_BYTES = 64 << 20;

/**
 * Reports between nodes. Each says how much room it has, whether it is well, and what the answers to all commands so far came to. Replicas
 * that applied the same entries gave the same answers; one that differs from the others (a bit that flipped in memory,
 * a machine that is not deterministic) must not serve any longer, for nobody knows what it holds.
 */
export class PeerReports {
  readonly #driver: Driver;
  readonly #failed: (error: Error) => void;
  readonly #reports = new Map<NodeId, PeerReport>();
  /** Our own sums, oldest first. */
  readonly #checks = new Map<Index, number>();
  #lastIndex: Index = 0;
  /** Of the cluster's clock, which is the same on all nodes, at the last entry. */
  #second = 0;
  /** Who differs from us, at which index. */
  readonly #differing = new Map<NodeId, Index>();
  #someLow = false;
  #toldMs = -Infinity;
  #toldIndex: Index = 0;
  #toldConfig: Config | null = null;
  #toldRoom = 0;
  #toldUnwell = false;
  #toldQuarantined = false;

  constructor(driver: Driver, failed: (error: Error) => void) {
    this.#driver = driver;
    this.#failed = failed;
  }

  of(id: NodeId): PeerReport | undefined {
    return this.#reports.get(id);
  }

  /** Whether any node has said that its disk is nearly full. */
  get someLow(): boolean {
    return this.#someLow;
  }

  /** The entry at `index` has been applied. */
  applied(index: Index): void {
    const second = Math.floor(this.#driver.state.timeMs / 1000);
    if (second === this.#second && index % CHECK_EVERY !== 0) return;
    this.#second = second;
    this.#checks.set(index, this.#driver.state.answersHash);
    this.#lastIndex = index;
    if (this.#checks.size > MAX_CHECKS) this.#checks.delete(this.#checks.keys().next().value!);
    for (const [id, report] of this.#reports) if (report.checkIndex === index) this.#compare(id, report);
  }

  /**
   * Whether this node went into quarantine, or came out, and the others do not know: not before their next look a change
   * of members would count on its vote, or be refused for want of it.
   */
  get quarantineIsNews(): boolean {
    return this.#driver.core.quarantined !== this.#toldQuarantined;
  }

  /** Tells everyone, if there is news, or if it is long ago: whoever has come back must hear it some time. */
  tell(now: number): void {
    const { core, health, space, options } = this.#driver;
    const room = Math.floor(space.freeBytes / ROOM_STEP_BYTES);
    // A new member may have connected before it was one, and was told nothing then.
    const isNews =
      space.low ||
      this.#lastIndex !== this.#toldIndex ||
      room !== this.#toldRoom ||
      health.unwell !== this.#toldUnwell ||
      core.config !== this.#toldConfig;
    if (isNews || now - this.#toldMs >= QUIET_TIMEOUTS * options.electionTimeoutMs) this.send();
  }

  /** Tells everyone, now. */
  send(): void {
    const { core, transport, options, health, space, connected } = this.#driver;
    this.#toldMs = this.#driver.now;
    this.#toldIndex = this.#lastIndex;
    this.#toldConfig = core.config;
    this.#toldRoom = Math.floor(space.freeBytes / ROOM_STEP_BYTES);
    this.#toldUnwell = health.unwell;
    this.#toldQuarantined = core.quarantined;
    const out = new ByteWriter(64);
    encodeReport(out, {
      low: space.low,
      unwell: this.#toldUnwell,
      quarantined: this.#toldQuarantined,
      freeBytes: space.freeBytes,
      checkIndex: this.#lastIndex,
      answersHash: this.#checks.get(this.#lastIndex) ?? 0,
    });
    const frame = out.buffer.subarray(0, out.position);
    for (const { id } of core.config.members) {
      if (id === options.id || transport.send(id, Lane.control, [frame])) continue;
      // Its queue is full: the next look tries again. Whoever is not connected hears it when it comes.
      if (connected.has(id)) this.#toldMs = -Infinity;
    }
  }

  take(from: NodeId, report: PeerReport): void {
    this.#reports.set(from, report);
    this.#someLow = [...this.#reports.values()].some((r) => r.low);
    this.#compare(from, report);
  }

  #compare(from: NodeId, report: PeerReport): void {
    const own = this.#checks.get(report.checkIndex);
    if (own === undefined) return;
    if (own === report.answersHash) {
      this.#differing.delete(from);
      return;
    }
    const { core, options } = this.#driver;
    if (!this.#differing.has(from)) {
      const fields = { peer: from, index: report.checkIndex };
      options.logger.error(fields, 'the answers of this node and of another differ: one of them is broken');
    }
    this.#differing.set(from, report.checkIndex);
    const { voters } = core.config;
    const against = [...this.#differing.keys()].filter((id) => isVoter(core.config, id)).length;
    const outvoted = 2 * against > voters.length || (voters.length === 2 && core.role !== 'leader');
    if (!outvoted) return;
    const text = `the answers of this node differ from those of ${against} others at entry ${report.checkIndex}: its state is broken; start it again, and if it stops again, replace the member by a new one`;
    this.#failed(new CordwoodError('STATE_DIVERGED', text));
  }
}
