import { CordwoodError } from '../../protocol/errors.ts';
import type { SnapshotAck, SnapshotChunk, SnapshotManifest } from '../../protocol/peer-transfer.ts';
import type { Index, NodeId, SnapshotMeta } from '../core/types.ts';
import type { LogDamage, SnapshotReader } from '../log/log-store.ts';
import type { Driver } from './driver.ts';
import { SnapshotReceiver } from './snapshot-receiver.ts';
import { SnapshotTaker, type SnapshotCounts } from './snapshot-taker.ts';
import { SnapshotTransfers } from './snapshot-transfers.ts';

const READ_BYTES = 1 << 20;
/**
 * A snapshot writes the whole state again. Taken only when the log has grown to a multiple of the last one, it adds a
 * bounded share to what is written, however large the state is.
 */
const SNAPSHOT_RATIO = 2;
/** However full the disk is, a snapshot is not taken for less. */
const MIN_LOG_BYTES = 1 << 20;
/** Election timeouts between a snapshot in place of what has rotted that could not be taken and the next attempt. */
const RENEWAL_PAUSE = 5;
/** Replicas apply the same entries: without a spread all of them would write their snapshots at the same moment. */
const SPREAD = 0.5;

/** Snapshots of one node: when to take one, what to compact behind it, to whom to send it, and installing others'. */
export class Snapshots {
  readonly #driver: Driver;
  readonly #failed: (error: Error) => void;
  readonly #taker: SnapshotTaker;
  readonly #receiver: SnapshotReceiver;
  readonly #transfers: SnapshotTransfers;
  /** `applier.appliedBytes` when the last snapshot was begun. */
  #bytesAtLast = 0;
  #spread: number;
  /** Something has rotted: a snapshot is due that takes its place. */
  #renewDue = false;
  #renewing = false;
  /** Takes back the next attempt at that. */
  #cancelRenewal: () => void = () => undefined;
  /** A snapshot that does not hold this entry is too old: what has rotted lies together with it. */
  #renewThrough: Index = 0;
  /** What has rotted could go, were it not for the entries behind a snapshot that is on its way to a follower. */
  #heldBack = false;
  /** Somebody wants one. */
  #asked = false;

  constructor(driver: Driver, failed: (error: Error) => void) {
    this.#driver = driver;
    this.#failed = failed;
    this.#spread = this.#drawSpread();
    const latest = driver.log.snapshots.latest;
    this.#taker = new SnapshotTaker(
      driver.state,
      driver.log,
      driver.options.runtime,
      latest?.meta.index ?? 0,
      {
        taken: (meta) => {
          driver.options.logger.info({ index: meta.index }, 'snapshot taken');
          this.#compact(this.#renewing);
          if (this.#renewing) this.#cancelRenewal();
          this.#renewing = false;
        },
        failed: (error) => {
          // The log keeps everything a snapshot would have covered; the next attempt comes with the next full log.
          driver.options.logger.error({ err: error }, 'snapshot failed');
          if (this.#renewing) this.#renewLater();
        },
      },
    );
    const { log, transport, options } = driver;
    this.#transfers = new SnapshotTransfers(
      log,
      transport,
      options.runtime,
      options.electionTimeoutMs,
      (peer) => {
        driver.wake();
        driver.core.snapshotFinished(peer);
      },
    );
    this.#receiver = new SnapshotReceiver(driver.log, driver.transport, {
      get term() {
        return driver.core.term;
      },
      received: (meta) => this.#install(meta),
    });
  }

  /** Takes a snapshot if the log has grown enough since the last one. */
  maybeTake(): void {
    const { core, applier, options, log } = this.#driver;
    if (this.#taker.running || core.installing) return;
    if (this.#heldBack && this.#transfers.pinned === Infinity) this.#compact(true);
    const index = applier.applied;
    // What is applied but not durable here must not come back as a snapshot ahead of the log.
    if (index > core.durableIndex) return;
    if (this.#renewDue && index > 0 && index >= this.#renewThrough) {
      this.#renewDue = false;
      this.#renewing = true;
      this.#take();
      return;
    }
    // One that failed is tried again for whoever asks, and otherwise when the log has grown.
    if (this.#asked && index > (log.snapshots.latest?.meta.index ?? 0)) {
      this.#asked = false;
      this.#take();
      return;
    }
    if (index <= this.#taker.lastIndex) return;
    const wanted = Math.max(
      options.snapshotLogBytes,
      SNAPSHOT_RATIO * (log.snapshots.latest?.sizeBytes ?? 0),
    );
    const due = Math.min(wanted, this.#roomForLog());
    if (applier.appliedBytes - this.#bytesAtLast < due * this.#spread) return;
    this.#take();
  }

  /** What is on disk has rotted somewhere, what is in memory is whole: a new snapshot makes the old files superfluous. */
  renew(damage: LogDamage): void {
    const text = 'damage at rest: a new snapshot is taken, so that what has rotted is not needed any more';
    this.#driver.options.logger.error({ ...damage }, text);
    this.#renewDue = true;
    this.#renewThrough = Math.max(this.#renewThrough, damage.coveredBy ?? 0);
    this.#driver.wake();
  }

  /**
   * What has rotted is still needed, and nobody finds it a second time: without another attempt a node that has nothing
   * to do would go on in memory, and not start again.
   */
  #renewLater(): void {
    const { runtime, electionTimeoutMs } = this.#driver.options;
    this.#cancelRenewal();
    this.#cancelRenewal = runtime.timer(RENEWAL_PAUSE * electionTimeoutMs, () => {
      this.#renewDue = true;
      this.#driver.wake();
    });
  }

  /** Takes one as soon as one can be taken. */
  ask(): void {
    this.#asked = true;
    this.#driver.wake();
  }

  get counts(): SnapshotCounts {
    return this.#taker.counts;
  }

  /** Why the last snapshot could not be taken; null: it could, or there was none. */
  get failure(): Error | null {
    return this.#taker.failure;
  }

  #take(): void {
    const { core, applier } = this.#driver;
    const index = applier.applied;
    this.#bytesAtLast = applier.appliedBytes;
    this.#spread = this.#drawSpread();
    const base = core.configAt(index);
    this.#taker.start({ index, term: core.termAt(index), config: base.config, configIndex: base.index });
  }

  /** The follower `peer` needs entries that are compacted away. */
  send(peer: NodeId): void {
    this.#transfers.send(peer, this.#driver.core.term);
  }

  acked(from: NodeId, ack: SnapshotAck): void {
    this.#transfers.acked(from, ack);
  }

  laneUp(peer: NodeId): void {
    this.#transfers.laneUp(peer);
  }

  begin(from: NodeId, manifest: SnapshotManifest): void {
    const { core } = this.#driver;
    if (manifest.leaderTerm < core.term) return;
    core.snapshotTraffic(from, manifest.leaderTerm);
    this.#receiver.begin(from, manifest);
  }

  chunk(from: NodeId, chunk: SnapshotChunk, bytes: Uint8Array, start: number, end: number): void {
    const { core } = this.#driver;
    if (chunk.leaderTerm < core.term) return;
    core.snapshotTraffic(from, chunk.leaderTerm);
    this.#receiver.chunk(from, chunk, bytes, start, end);
  }

  /** This node leads no more. */
  stopSending(): void {
    this.#transfers.stop();
  }

  sweep(patienceMs: number): void {
    this.#transfers.sweep(patienceMs);
    const { core } = this.#driver;
    // What a node in quarantine knows to be committed is not what its log holds.
    this.#receiver.sweep(core.quarantined ? 0 : core.commitIndex);
  }

  async close(): Promise<void> {
    this.stopSending();
    await this.#taker.close();
    this.#cancelRenewal();
    await this.#receiver.close();
  }

  /** The log may grow into half of what is free: the other half is for the snapshot that makes it shorter. */
  #roomForLog(): number {
    const { freeBytes, known } = this.#driver.space;
    return known ? Math.max(MIN_LOG_BYTES, freeBytes / 2) : Infinity;
  }

  #drawSpread(): number {
    return 1 + (SPREAD * this.#driver.options.runtime.random()) / 2 ** 32;
  }

  /**
   * Drops entries that the newest snapshot covers, but for a tail: a follower that was away for a moment should get
   * entries and not a whole snapshot. The tail is bounded in bytes, so a dead peer pins nothing.
   */
  #compact(whole: boolean): void {
    const { applier, core, log, options } = this.#driver;
    const snapshot = log.snapshots.latest;
    if (snapshot === null) return;
    // The newest may be a leader's, received while one of our own was being written and not installed: what it covers
    // beyond the commit index may still be entries of another term here, and what is not applied is still to be read.
    let through: Index = Math.min(snapshot.meta.index, core.commitIndex, core.durableIndex, applier.applied);
    let kept = 0;
    const keepBytes = whole ? 0 : Math.min(options.snapshotLogBytes, this.#roomForLog()) / 4;
    while (through > core.prevIndex && kept < keepBytes) kept += core.sizeAt(through--);
    // A snapshot on its way is of no use without the entries behind it.
    if (whole) this.#heldBack = this.#transfers.pinned < through;
    through = Math.min(through, this.#transfers.pinned);
    // The core may be there already, while the segment that ends there was still written to.
    if (through <= core.prevIndex && !whole) return;
    core.compact(through);
    log.compact(through);
  }

  /** The snapshot is durable. Resolves to whether the state is as new as it now. */
  async #install(meta: SnapshotMeta): Promise<boolean> {
    const driver = this.#driver;
    const { core, log, state, cache, applier, options } = driver;
    const stored = log.snapshots.latest;
    if (stored?.meta.index !== meta.index || meta.index <= core.commitIndex)
      return core.commitIndex >= meta.index;
    // Opened before it is begun: what has begun must end, and a disk that fails here has changed nothing yet.
    const reader = await log.snapshots.open(stored);
    if (!core.beginInstall(meta)) {
      await reader.close();
      return core.commitIndex >= meta.index;
    }
    options.logger.info({ index: meta.index, term: meta.term }, 'installing a snapshot');
    try {
      await state.restore(readAll(reader));
      if (state.appliedIndex !== meta.index)
        throw new CordwoodError(
          'SNAPSHOT_DAMAGED',
          `it holds the state at ${state.appliedIndex}, not ${meta.index}`,
        );
    } catch (error) {
      // The old state may be half gone: nothing can be served from it.
      this.#failed(error as Error);
      return false;
    } finally {
      await reader.close();
    }
    const keepsLog = core.termAt(meta.index) === meta.term;
    core.snapshotInstalled();
    if (!keepsLog) cache.reset(meta.index + 1);
    applier.reset(meta.index);
    this.#taker.installed(meta.index);
    if (keepsLog) log.compact(meta.index);
    driver.wake();
    return true;
  }
}

/** The content of a snapshot, piece by piece. */
export async function* readAll(reader: SnapshotReader): AsyncGenerator<Uint8Array> {
  const { sizeBytes } = reader.snapshot;
  let next = reader.read(0, READ_BYTES);
  for (let offset = 0; offset < sizeBytes;) {
    const piece = await next;
    offset += piece.length;
    // The disk works while whoever takes the piece does; if that fails nobody waits for what was read ahead.
    next = reader.read(offset, READ_BYTES);
    next.catch(() => undefined);
    yield piece;
  }
}
