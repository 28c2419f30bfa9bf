import { Lane, Status } from '../../protocol/constants.ts';
import type { RaftCore } from '../core/raft-core.ts';
import type { AppendAck, Index, Message, NodeId } from '../core/types.ts';
import type { LogStore } from '../log/log-store.ts';
import type { ReplicatedState } from '../machine/replicated-state.ts';
import type { Transport } from '../transport/transport.ts';
import { Admission } from './admission.ts';
import { Applier } from './applier.ts';
import type { EntryCache } from './entry-cache.ts';
import { Forwarder } from './forwarder.ts';
import type { ResolvedOptions } from './options.ts';
import { Outbound } from './outbound.ts';
import { PeerReports } from './peer-reports.ts';
import { PendingReads, type Unserved } from './pending-reads.ts';
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
import { TurnTimer } from './turn-timer.ts';

/** Between two looks at clients that did not take their answers. */
const STALLED_READS_MS = 5;

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
  readonly #timer: TurnTimer;
  readonly #standing: Standing;
  #turnDue = false;
  #durableTicket = 0;
  #sweepDueMs = 0;
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
    this.#standing = new Standing(this, events);
    const lastTimeMs = Math.max(this.log.recovery.lastTimeMs, this.state.timeMs);
    this.#records = new Records(this.core.lastIndex + 1, lastTimeMs, () => this.options.runtime.wallNow());
    this.cache = this.#records.cache;
    this.outbound = new Outbound(this.cache, this.log, this.transport, (index, error) => {
      // A new snapshot takes the place of what is applied. What is not stands nowhere else on this node: it would lead
      // on and commit nothing. Its next start finds out what is left of its log, and lets others help.
      if (index > this.applier.applied) events.failed(error);
    });
    this.#timer = new TurnTimer(
      this.options.runtime,
      (now) => {
        this.core.clock(now);
        return this.#noticeStall(now);
      },
      () => {
        this.wake();
      },
    );
    this.health = new Health(this, parts.registry);
    this.levels = new ReadLevels(this, parts.registry);
    this.pipeline = new Pipeline(this.core, this.#records, this.replies, this.options.maxBatchBytes);
    this.reads = new PendingReads(this.replies, this.options.runtime);
    this.silence = new Silence(this.transport, this.options.electionTimeoutMs);
    this.forwarder = new Forwarder(this.transport, this.replies, this.options.runtime, this.silence);
    this.admission = new Admission(this);
    this.applier = new Applier(
      this.state,
      this.cache,
      this.log,
      this.pipeline.proposals,
      this.replies,
      this.state.appliedIndex,
      {
        more: () => {
          this.wake();
        },
        applied: (index) => {
          this.reports.applied(index);
        },
        failed: (error) => {
          events.failed(error);
        },
      },
    );
    this.snapshots = new Snapshots(this, (error) => {
      events.failed(error);
    });
    this.space = new SpaceGuard(this, this.options.minFreeBytes);
    this.reports = new PeerReports(this, (error) => {
      events.failed(error);
    });
    this.quarantine = new Quarantine(this.core, this.log, this.options, parts.quarantine ?? null, {
      wake: () => {
        this.wake();
      },
      failed: (error) => {
        events.failed(error);
      },
    });
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
    this.options.runtime.defer(this.#turn);
  }

  /** A message of a peer's core. `bytes` hold the records of an append, from `recordsAt` on. */
  receive(from: NodeId, message: Message, bytes: Uint8Array, recordsAt: number): void {
    if (message.kind === 'appendAck' && this.#changesNothing(from, message)) return;
    this.wake();
    if (this.space.refuses(message)) return;
    // What a lease is counted from must not lie before the message has arrived.
    if (this.options.leaseReads && message.kind === 'heartbeat') this.core.clock(this.now);
    const first = this.#hear(from, message);
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
    this.#hear(from, message);
    if (!this.#isAtRest()) this.wake();
    return true;
  }

  /** A leader that has nothing to commit, apply or say, and nobody waits for its next turn. */
  #isAtRest(): boolean {
    if (!this.core.settled || this.applier.applied < this.core.commitIndex) return false;
    return this.pipeline.batcher.queuedBytes === 0 && this.afterTurn.size === 0;
  }

  /** A message that contradicts what is known for sure must end the node in order, and not the process around it. */
  #hear(from: NodeId, message: Message): Index {
    try {
      return this.core.receive(from, message);
    } catch (error) {
      this.#events.failed(error as Error);
      return 0;
    }
  }

  /** `forMs`: how long it has been durable. */
  durable(ticket: number, forMs: number): void {
    this.wake();
    this.#durableTicket = ticket;
    this.health.durable(ticket, forMs);
    this.core.durable(ticket);
  }

  /** Ends all turns. Whoever still waits is told the truth. */
  stop(message: string): void {
    if (this.#stopped) return;
    this.pipeline.abandon(message);
    this.pipeline.refuseAll(Status.shuttingDown, message);
    this.reads.refuseAll(Status.shuttingDown, message);
    if (this.core.leader !== 0) this.forwarder.lost(this.core.leader);
    this.replies.flush();
    this.transport.flush();
    // Whoever still asks it for its state had better not be told that it leads.
    this.core.stepDown();
    this.#stopped = true;
    this.#timer.cancel();
    this.admission.releaseWaiters();
    for (const watcher of this.afterTurn) watcher();
  }

  // --- the turn -----------------------------------------------------------------------------------------------------

  readonly #turn = (): void => {
    if (!this.#stopped) this.log.poll();
    this.#turnDue = false;
    if (this.#stopped) return;
    try {
      this.#runTurn();
    } catch (error) {
      this.#events.failed(error as Error);
    }
  };

  #runTurn(): void {
    const { core } = this;
    const now = this.now;
    core.clock(now);
    this.#noticeStall(now);
    core.tick();
    if (now >= this.health.dueMs) this.health.check(now);
    this.space.turn(now);
    if (core.role === 'leader') this.pipeline.propose(now);
    const token = this.reads.ask();
    if (token !== 0) {
      core.readIndex(token);
      this.levels.asked(token, now);
    }

    const effects = core.drain();
    this.#standing.followConfig();
    this.#records.layCreated(effects.created);
    // The followers' disks and ours work at the same time (dissertation 10.2.1), and theirs are further away.
    for (const { to, message } of effects.messages) {
      if (this.outbound.send(to, message)) this.silence.sent(to, message, now);
      else if (message.kind === 'readRequest') {
        // A leader may be heard before there is a way to it. Who asks then is told now, and not when patience ends.
        core.readLost(message.token);
        this.wake();
      }
    }
    this.transport.flush();
    if (effects.persist !== null) {
      this.health.persisting(effects.persist.ticket);
      this.#records.write(effects.persist, this.log);
    }

    for (const read of effects.reads) {
      this.reads.confirmed(read.token, read.index);
      this.levels.confirmed(read.token, read.index);
    }
    for (const failed of effects.failedReads) {
      this.reads.failed(failed);
      this.levels.failed(failed);
    }
    for (const peer of effects.snapshots) this.snapshots.send(peer);

    this.pipeline.proposals.committed(core.commitIndex, now);
    let unserved: Unserved = 'nothing';
    if (!core.installing) {
      this.applier.advance(core.commitIndex);
      this.levels.applied(this.applier.applied);
      unserved = this.reads.serve(this.state, this.applier.applied);
    }
    this.#standing.followRole();
    this.quarantine.turn(now);
    if (now >= this.#sweepDueMs) this.#sweep(now);
    this.#releaseMemory();
    this.replies.flush();
    this.transport.flush();
    this.admission.turn();
    this.snapshots.maybeTake();
    if (this.afterTurn.size > 0) for (const watcher of this.afterTurn) watcher();
    // Commitment has made room in the pipeline after this turn's sealing.
    if (core.role === 'leader' && this.pipeline.isReady(now)) this.wake();
    if (unserved === 'more') this.wake();
    const readsDueMs = unserved === 'stalled' ? now + STALLED_READS_MS : Infinity;
    // Heartbeats, or the end of the patience with them, bring turns that sweep: none is due for that alone.
    this.log.announce(core.awaitsDisk);
    this.#timer.arm(Math.min(effects.nextDeadlineMs, this.health.wakeMs, readsDueMs));
  }

  // --- consequences -------------------------------------------------------------------------------------------------

  /** Things that are nobody's event: answers that were lost on the way, transfers without progress. */
  #sweep(now: number): void {
    const patienceMs = 5 * this.options.electionTimeoutMs;
    this.#sweepDueMs = now + this.options.electionTimeoutMs;
    this.forwarder.expire(now - patienceMs);
    this.reads.expire(now - patienceMs);
    this.levels.expire(now - patienceMs);
    this.snapshots.sweep(patienceMs);
    this.reports.tell(now);
    this.silence.check(now);
  }

  #releaseMemory(): void {
    const { core } = this;
    this.#records.evict(Math.min(this.applier.applied, core.durableIndex));
    for (const member of core.config.members) {
      if (member.id !== this.options.id && this.transport.queuedBytes(member.id, Lane.data) > 0) return;
    }
    this.#records.drained(this.#durableTicket);
  }

  /**
   * The timer should have fired long ago: the process itself stood still. What the others said meanwhile waits in the
   * sockets and must be heard before an election is called, or leadership given up, over it.
   */
  #noticeStall(now: number): boolean {
    const lateMs = this.#timer.lateMs(now);
    if (lateMs <= this.options.heartbeatMs / 2) return false;
    this.core.stalled();
    this.health.stalled(lateMs);
    this.silence.stalled(lateMs);
    return true;
  }
}
