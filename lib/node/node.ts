import { CordwoodError } from '../../protocol/errors.ts';
import type { RaftCore } from '../core/raft-core.ts';
import type { NodeId } from '../core/types.ts';
import type { TransportEvents } from '../transport/transport.ts';
import { Admin } from './admin.ts';
import { Backups, type Backup, type BackupOptions } from './backup.ts';
import { openParts, type NodeParts, type OpenEnvironment } from './bootstrap.ts';
import { ClientRequests, STOPPING } from './client-requests.ts';
import { Driver } from './driver.ts';
import { EarlyLogEvents } from './early-log-events.ts';
import { openSystemEnvironment } from './environment.ts';
import { everyStep } from './every-step.ts';
import { explain, type Explanation } from './explain.ts';
import { handOver } from './hand-over.ts';
import { LeaderWatch } from './leader-watch.ts';
import { canVote } from './liveness.ts';
import { Membership, type ChangeOptions, type ChangeResult } from './membership.ts';
import type { MembershipTarget } from './membership-plan.ts';
import { membersOf } from './members-view.ts';
import { metricsOf, type NodeMetrics } from './metrics.ts';
import { resolveOptions, type ResolvedOptions } from './options.ts';
import { PeerLanes } from './peer-lanes.ts';
import type { Sink } from './sink.ts';
import { statusOf } from './status.ts';
import { checkListener, tell } from './tell.ts';
import { Turns } from './turns.ts';
import type { LeaderInfo, MembersView, NodeOptions, NodeStatus, Requests } from './types.ts';

export interface CloseOptions {
  /** Hand leadership to another node first. Default true. */
  readonly transfer?: boolean;
}

/**
 * One member of a cluster: the replicated machine, its log and its connections to the other members. Many can live in
 * one process. It listens for peers only; `startServer` adds a port for clients, `Client.local` a client in place.
 *
 * @example
 * await using node = await RaftNode.start({
 *   id: 1,
 *   cluster: ['127.0.0.1:12379', '127.0.0.1:22379', '127.0.0.1:32379'],
 *   dataDir: 'data/1',
 *   machine: new StackMachine(),
 * });
 */
export class RaftNode implements Requests {
  readonly id: NodeId;
  readonly clusterId: string;
  readonly maxFrameBytes: number;
  /** Resolves when the node has stopped, for whatever reason. */
  readonly closed: Promise<void>;

  readonly #options: ResolvedOptions;
  readonly #parts: NodeParts;
  readonly #driver: Driver;
  readonly #membership: Membership;
  readonly #requests: ClientRequests;
  readonly #backups: Backups;
  readonly #leaderWatch: LeaderWatch;
  readonly #lanes: PeerLanes;
  readonly #startedMs: number;
  readonly #failureListeners = new Set<(error: Error) => void>();
  #failure: Error | null = null;
  #closing: Promise<void> | null = null;
  #markClosed: () => void = () => undefined;

  private constructor(options: ResolvedOptions, parts: NodeParts) {
    this.id = options.id;
    this.clusterId = parts.clusterId;
    this.maxFrameBytes = options.maxFrameBytes;
    this.#options = options;
    this.#parts = parts;
    this.#startedMs = options.runtime.now();
    this.closed = new Promise((resolve) => {
      this.#markClosed = resolve;
    });
    this.#driver = new Driver(
      {
        core: parts.core,
        log: parts.log,
        transport: parts.transport,
        state: parts.state,
        options,
        registry: parts.registry,
        quarantine: parts.quarantine,
      },
      {
        changed: () => {
          this.#leaderWatch.follow();
        },
        reconfigured: () => {
          parts.registry.follow(parts.core.config, parts.core.configIndex);
        },
        failed: (error) => {
          this.#fail(error);
        },
      },
    );
    this.#leaderWatch = new LeaderWatch(this.#driver);
    this.#backups = new Backups(this.#driver, this, parts.clusterId);
    this.#membership = this.#createMembership(parts, options);
    const admin = new Admin({
      driver: this.#driver,
      clusterId: parts.clusterId,
      reconfigure: (target, change) => this.reconfigure(target, change),
      handOver: (target, timeoutMs) => this.handOver(target, timeoutMs),
      explain: () => this.explain(),
    });
    this.#requests = new ClientRequests({ driver: this.#driver, admin, status: () => this.status() });
    this.#lanes = new PeerLanes(this.#driver, admin, this.#leaderWatch, parts.registry, (error) => {
      this.#fail(error);
    });
  }

  #createMembership(parts: NodeParts, options: ResolvedOptions): Membership {
    const driver = this.#driver;
    return new Membership({
      id: options.id,
      clusterId: parts.clusterId,
      incarnation: parts.environment.incarnation,
      core: parts.core,
      registry: parts.registry,
      introduce: (...args) => parts.environment.introduce(...args),
      turns: new Turns(driver),
      electionTimeoutMs: options.electionTimeoutMs,
      canVote: (id) => canVote(driver, id),
      hasRoom: (id) => (id === options.id ? !driver.space.low : driver.reports.of(id)?.low !== true),
    });
  }

  /**
   * Opens the data directory, recovers the state and joins the cluster. Resolves when the node takes part; it may
   * not know a leader yet.
   *
   * @throws CordwoodError `BAD_OPTION`, `DIRECTORY_LOCKED`, `WRONG_CLUSTER`, `WRONG_NODE`, `LOG_DAMAGED`,
   *   `LOG_FAILED`, `ADDRESS_IN_USE` …
   */
  static start(options: NodeOptions): Promise<RaftNode>;
  /** @internal On other files and another network: for the simulator and tests. */
  static start(options: NodeOptions, open: OpenEnvironment): Promise<RaftNode>;
  static async start(options: NodeOptions, open: OpenEnvironment = openSystemEnvironment): Promise<RaftNode> {
    const resolved = resolveOptions(options);
    const logEvents = new EarlyLogEvents();
    // Peers may come before there is a node to take them: nothing is lost by that, see `wake` below.
    let lanes: PeerLanes | null = null;
    const transportEvents: TransportEvents = {
      onFrame: (peer, lane, bytes, start, end) => lanes?.onFrame(peer, lane, bytes, start, end),
      onUp: (peer, lane) => lanes?.onUp(peer, lane),
      onDown: (peer, lane) => lanes?.onDown(peer, lane),
      onRefused: (peer) => lanes?.onRefused(peer),
      onRejected: (peer, code, message) => {
        resolved.logger.warn({ peer, code }, message);
      },
      onTurnedAway: (peer, code, message) => lanes?.onTurnedAway(peer, code, message),
    };
    const parts = await openParts(options, resolved, logEvents, transportEvents, open);
    const node = new RaftNode(resolved, parts);
    const driver = node.#driver;
    lanes = node.#lanes;
    parts.registry.open((members) => {
      parts.transport.setPeers(members);
    });
    parts.core.campaignSoon();
    logEvents.open({
      onDurable: (ticket, forMs) => {
        driver.durable(ticket, forMs);
      },
      onFailure: (error) => {
        node.#fail(error);
      },
      onDamage: (damage) => {
        driver.snapshots.renew(damage);
      },
      onSpace: (space) => {
        driver.space.take(space);
      },
    });
    if (node.#failure !== null) {
      await node.close();
      throw node.#failure;
    }
    driver.wake();
    return node;
  }

  /** Why the node stopped by itself; null while it has not. */
  get failure(): Error | null {
    return this.#failure;
  }

  get leader(): LeaderInfo | null {
    return this.#leaderWatch.leader;
  }

  get saturated(): boolean {
    return this.#driver.admission.saturated;
  }

  /** @internal For the checkers of the simulator: what this node has decided. Not to be changed. */
  get core(): RaftCore {
    return this.#driver.core;
  }

  submit(bytes: Uint8Array, start: number, end: number, sink: Sink): void {
    this.#requests.submit(bytes, start, end, sink);
  }

  query(bytes: Uint8Array, start: number, end: number, sink: Sink): void {
    this.#requests.query(bytes, start, end, sink);
  }

  detach(sink: Sink): void {
    this.#requests.detach(sink);
  }

  onRoom(callback: () => void): void {
    this.#driver.admission.onRoom(checkListener(callback));
  }

  onLeader(listener: (leader: LeaderInfo | null) => void): () => void {
    return this.#leaderWatch.on(checkListener(listener));
  }

  /**
   * Called when the node stops by itself because its disk or its machine failed; if it has already, soon after this call:
   * it may have between the end of `start` and here. What the listener throws is reported as uncaught.
   */
  onFailure(listener: (error: Error) => void): () => void {
    this.#failureListeners.add(checkListener(listener));
    const failure = this.#failure;
    if (failure !== null)
      queueMicrotask(() => {
        if (this.#failureListeners.delete(listener)) listener(failure);
      });
    return () => this.#failureListeners.delete(listener);
  }

  status(): NodeStatus {
    const uptimeMs = this.#driver.now - this.#startedMs;
    return statusOf(this.#driver, this.clusterId, this.leader, uptimeMs, this.#parts.registry.barred);
  }

  /** What is worth watching, sampled. Cheap enough for every second. */
  metrics(): NodeMetrics {
    return metricsOf(this.#driver, this.status(), this.#leaderWatch.changes);
  }

  /** Takes a snapshot as soon as there is something new to take one of, whether or not one is due. */
  snapshot(): void {
    this.#driver.snapshots.ask();
  }

  /**
   * A backup of the whole replicated state, at a point that a leader confirms: whatever was acknowledged before this
   * call is in it. Any node can make one; it goes on serving meanwhile.
   *
   * @throws CordwoodError `BUSY` while this node makes one already, `NO_LEADER`, `TIMEOUT` where it does not get that
   *   far, as with a full disk, `SHUTTING_DOWN`, `ABORTED`
   * @example
   * await pipeline(await node.backup(), createWriteStream('stacks.backup'));
   */
  backup(options?: BackupOptions): Promise<Backup> {
    return this.#backups.open(options);
  }

  /**
   * Makes `target` the members of the cluster that this node leads. See `Membership.reconfigure` for the errors.
   *
   * @example
   * const plan = await node.reconfigure(target, { dryRun: true });
   * await node.reconfigure({ voters: [1, 2, 4], members: [{ id: 4, peerAddress: '10.0.0.4:12379' }] });
   */
  reconfigure(target: MembershipTarget, options?: ChangeOptions): Promise<ChangeResult> {
    return this.#membership.reconfigure(target, options);
  }

  /** The members, as this node knows them. */
  members(): MembersView {
    return membersOf(this.#driver, this.clusterId);
  }

  /** Why there is no leader, why writes wait, why a peer lags: for people, and for programs. */
  explain(): Explanation {
    return explain({
      driver: this.#driver,
      membership: this.#membership,
      barred: this.#parts.registry.barred,
      failure: this.#failure,
    });
  }

  /**
   * Hands leadership to `target`, or to whoever is furthest along (0), and waits until it has it.
   *
   * @throws CordwoodError `NOT_LEADER`, `BAD_OPTION` if `target` is no voter, `UNREACHABLE` if it does not answer,
   *   `TIMEOUT`: this node leads on; its `outcome` is `unknown` if a node that was asked may yet take over
   */
  handOver(target: NodeId = 0, timeoutMs?: number, signal?: AbortSignal): Promise<NodeId> {
    return handOver(this.#driver, new Turns(this.#driver), target, timeoutMs, signal);
  }

  /** Hands leadership to `target`, or to whoever is furthest along. Returns the target; 0: not possible. */
  transferLeadership(target: NodeId = 0): NodeId {
    this.#driver.wake();
    return this.#driver.core.transfer(target);
  }

  /** Stops taking part, answers whoever waits, and releases everything. Idempotent. */
  close(options: CloseOptions = {}): Promise<void> {
    this.#requests.close();
    this.#closing ??= this.#close(options.transfer ?? true);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(transfer: boolean): Promise<void> {
    const driver = this.#driver;
    const handOver = transfer && this.#failure === null ? [() => this.#handOver()] : [];
    const stop = (): void => {
      driver.stop(STOPPING);
    };
    try {
      await everyStep([...handOver, stop, () => driver.snapshots.close(), () => this.#parts.close()]);
    } finally {
      this.#leaderWatch.end();
      this.#markClosed();
    }
  }

  /** Leadership goes to another node before this one leaves: its clients wait for a round trip, not for a timeout. */
  async #handOver(): Promise<void> {
    if (this.#driver.core.role !== 'leader') return;
    try {
      await this.handOver(0, this.#options.electionTimeoutMs);
    } catch (error) {
      // Whoever is left elects among themselves.
      if (!CordwoodError.is(error)) throw error;
    }
  }

  /** The disk or the machine cannot be trusted any more: stop at once, loudly, and acknowledge nothing further. */
  #fail(error: Error): void {
    const driver = this.#driver;
    if (this.#failure !== null || driver.stopped) return;
    this.#failure = error;
    // First: whatever a logger or a listener does, the node stops. One that is handing over in order to close does, too.
    if (this.#closing !== null) driver.stop(STOPPING);
    this.close({ transfer: false }).catch((cause: unknown) => {
      this.#options.logger.error({ err: cause }, 'the node could not be closed');
    });
    this.#options.logger.error({ err: error }, 'the node stops');
    tell(this.#failureListeners, error);
    // Whom the logger brought is not told twice.
    this.#failureListeners.clear();
  }
}
