import { Status } from '../../protocol/constants.ts';
import type { RaftCore } from '../core/raft-core.ts';
import type { AppendAck, Message, NodeId } from '../core/types.ts';
import type { LogStore } from '../log/log-store.ts';
import type { ReplicatedState } from '../machine/replicated-state.ts';
import type { Transport } from '../transport/transport.ts';
import { Admission } from './admission.ts';
import { Applier } from './applier.ts';
import { ClusterClock } from './cluster-clock.ts';
import type { EntryCache } from './entry-cache.ts';
import { Forwarder } from './forwarder.ts';
import type { ResolvedOptions } from './options.ts';
import { Outbound } from './outbound.ts';
import { PeerReports } from './peer-reports.ts';
import { PendingReads } from './pending-reads.ts';
import { Health } from './health.ts';
import type { PeerRegistry } from './peer-registry.ts';
import { ReadLevels } from './read-levels.ts';
import { Records } from './records.ts';
import { Pipeline } from './pipeline.ts';
import { Replies } from './replies.ts';
import { Quarantine } from './quarantine.ts';
import { Silence } from './silence.ts';
import { Snapshots } from './snapshots.ts';
import { SpaceGuard } from './space-guard.ts';
import { Standing } from './standing.ts';
import { Turn } from './turn.ts';

export interface DriverParts {
  readonly core: RaftCore;
  readonly log: LogStore;
  readonly transport: Transport;
  readonly state: ReplicatedState;
  readonly options: ResolvedOptions;
  readonly registry: PeerRegistry;
  /** Why the node starts in quarantine; null or absent: it does not. */
  readonly quarantine?: string | null;
}

export interface DriverEvents {
  /** Role, term or leader changed. */
  changed(): void;
  /** Another configuration is in force. */
  reconfigured(): void;
  /** The node cannot go on: its disk or its machine failed. */
  failed(error: Error): void;
}

/**
 * Carries out what the core decides. One turn: everything that is ready has been read and given to the core; then
 * the clock; then one drain: one write for each peer, one batch for the log thread; then what is committed is applied,
 * and every sink that got answers is flushed once.
 */
export class Driver {
  readonly core: RaftCore;
  readonly log: LogStore;
  readonly transport: Transport;
  readonly state: ReplicatedState;
  readonly options: ResolvedOptions;
  readonly cache: EntryCache;
  readonly applier: Applier;
  readonly outbound: Outbound;
  readonly replies: Replies = new Replies();
  readonly reads: PendingReads;
  readonly forwarder: Forwarder;
  readonly snapshots: Snapshots;
  readonly quarantine: Quarantine;
  readonly space: SpaceGuard;
  readonly reports: PeerReports;
  readonly pipeline: Pipeline;
  readonly admission: Admission;
  readonly health: Health;
  readonly levels: ReadLevels;
  readonly silence: Silence;
  /** Called at the end of every turn, and when there will be no more. */
  readonly afterTurn: Set<() => void> = new Set();
  /** Peers whose control lane is up. */
  readonly connected: Set<NodeId> = new Set();

  readonly #events: DriverEvents;
  readonly #records: Records;
  readonly #standing: Standing;
  readonly #turn: Turn;
  #turnDue = false;
  #stopped = false;

  constructor(parts: DriverParts, events: DriverEvents) {
    ({
      core: this.core,
      log: this.log,
      transport: this.transport,
      state: this.state,
      options: this.options,
    } = parts);
    this.#events = events;
    const failed = (error: Error): void => {
      events.failed(error);
    };
    const wake = (): void => {
      this.wake();
    };
    this.#standing = new Standing(this, events);
    const lastTimeMs = Math.max(this.log.recovery.lastTimeMs, this.state.timeMs);
    const clock = new ClusterClock(this.options.runtime, lastTimeMs);
    this.#records = new Records(this.core.lastIndex + 1, clock);
    this.cache = this.#records.cache;
    this.outbound = new Outbound(this.cache, this.log, this.transport, (index, error) => {
      // A new snapshot takes the place of what is applied. What is not stands nowhere else on this node: it would lead
      // on and commit nothing. Its next start finds out what is left of its log, and lets others help.
      if (index > this.applier.applied) failed(error);
    });
    this.health = new Health(this, parts.registry);
    this.levels = new ReadLevels(this, parts.registry);
    this.pipeline = new Pipeline(this.core, this.#records, this.replies, this.options.maxBatchBytes);
    this.reads = new PendingReads(this.replies, this.options.runtime, (token) => {
      this.core.readLost(token);
    });
    this.silence = new Silence(this.transport, this.options.electionTimeoutMs);
    this.forwarder = new Forwarder(this.transport, this.replies, this.options.runtime, this.silence);
    this.admission = new Admission(this);
    this.applier = new Applier(
      {
        state: this.state,
        cache: this.cache,
        log: this.log,
        proposals: this.pipeline.proposals,
        replies: this.replies,
      },
      {
        more: wake,
        applied: (index) => {
          this.reports.applied(index);
        },
        failed,
      },
    );
    this.snapshots = new Snapshots(this, failed);
    this.space = new SpaceGuard(this, this.options.minFreeBytes);
    this.reports = new PeerReports(this, failed);
    this.quarantine = new Quarantine(this.core, this.log, this.options, parts.quarantine ?? null, {
      wake,
      failed,
    });
    this.#turn = new Turn(this, this.#records, this.#standing);
  }

  get now(): number {
    return this.options.runtime.now();
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Something happened: a turn follows when the I/O that is ready has been read. */
  wake(): void {
    if (this.#turnDue || this.#stopped) return;
    this.#turnDue = true;
    this.core.clock(this.now);
    this.options.runtime.defer(this.#takeTurn);
  }

  /** A message of a peer's core. `bytes` hold the records of an append, from `recordsAt` on. */
  receive(from: NodeId, message: Message, bytes: Uint8Array, recordsAt: number): void {
    if (message.kind === 'appendAck' && this.#changesNothing(from, message)) return;
    this.wake();
    if (this.space.refuses(message)) return;
    // What a lease is counted from must not lie before the message has arrived.
    if (this.options.leaseReads && message.kind === 'heartbeat') this.core.clock(this.now);
    const first = this.core.receive(from, message);
    // Before records are replaced: whoever still waits for the old ones is answered from them.
    this.#standing.followRole();
    if (first !== 0 && message.kind === 'append') this.#records.keep(message, first, bytes, recordsAt);
  }

  /**
   * Hears the ack if everything it speaks of is committed and applied already, as it is when the slower followers
   * answer: there is nothing to have a turn for. A third of a busy leader's turns would be of that kind.
   */
  #changesNothing(from: NodeId, message: AppendAck): boolean {
    if (this.#turnDue || message.rejected || message.term !== this.core.term || !this.#isAtRest())
      return false;
    this.core.clock(this.now);
    this.core.receive(from, message);
    if (!this.#isAtRest()) this.wake();
    return true;
  }

  /** A leader that has nothing to commit, apply or say, and nobody waits for its next turn. */
  #isAtRest(): boolean {
    if (!this.core.settled || this.applier.applied < this.core.commitIndex) return false;
    return this.pipeline.batcher.queuedBytes === 0 && this.afterTurn.size === 0;
  }

  /** `forMs`: how long it has been durable. */
  durable(ticket: number, forMs: number): void {
    this.wake();
    this.#records.durableTicket = ticket;
    this.health.durable(ticket, forMs);
    try {
      this.core.durable(ticket);
    } catch (error) {
      // Who calls is no turn: what contradicts what is known for sure must end the node, not the process around it.
      this.#events.failed(error as Error);
    }
  }

  /** Ends all turns. Whoever still waits is told the truth. */
  stop(message: string): void {
    if (this.#stopped) return;
    try {
      this.#settleAll(message);
    } finally {
      // Whoever still asks it for its state had better not be told that it leads.
      this.core.stepDown();
      this.#stopped = true;
      this.#turn.cancel();
      this.admission.releaseWaiters();
      for (const watcher of this.afterTurn) watcher();
    }
  }

  #settleAll(message: string): void {
    this.pipeline.abandon(message);
    this.pipeline.refuseAll(Status.shuttingDown, message);
    this.reads.refuseAll(Status.shuttingDown, message);
    if (this.core.leader !== 0) this.forwarder.lost(this.core.leader);
    this.replies.flush();
    this.transport.flush();
  }

  readonly #takeTurn = (): void => {
    if (!this.#stopped) this.log.poll();
    this.#turnDue = false;
    if (this.#stopped) return;
    try {
      this.#turn.run();
    } catch (error) {
      this.#events.failed(error as Error);
    }
  };
}
