import { Status } from '../../protocol/constants.ts';
import type { LeaderHint, Welcome } from '../../protocol/client-codec.ts';
import { CordwoodError, type ErrorCode } from '../../protocol/errors.ts';
import type { Runtime } from '../node/runtime.ts';
import { AddressBook } from './address-book.ts';
import { Verdict, verdictOf } from './answer-policy.ts';
import type { Call } from './call.ts';
import type { Channel } from './channel.ts';
import { Connection, type ConnectionEvents, whyEnded } from './connection.ts';
import type { LinkEvents } from './link-events.ts';
import type { ClientSettings } from './options.ts';

/** A dial that has not answered by then gets company: the next address is tried beside it. */
const STAGGER_MS = 25;
/** A node that takes a connection and does not welcome it within this time counts as failed. */
const HANDSHAKE_MS = 2000;
/** How long a node may know no leader before the others are asked. */
const LEADERLESS_MS = 200;

/**
 * A connection that has lasted so long works, even if nothing was asked. One that ends at once, welcome or not, is left
 * alone for a while, or a node that takes connections and drops them would be dialled hundreds of times a second.
 */
const PROVEN_MS = 100;

/** Errors of a connection that further tries would only repeat. */
const lasting: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'INCOMPATIBLE_VERSION',
  'UNAUTHORIZED',
  'PROTOCOL_ERROR',
  'TOO_LARGE',
]);

/**
 * Keeps a client connected to its cluster, best to the leader. Of all connections one is active: requests go there.
 * The others are being dialled, or retire: they take no more requests and close after the last answer.
 *
 * - Nothing active: all addresses are tried, the leader's first, each 25 ms or at once when one refuses.
 * - Active, but another node leads: the leader is dialled beside it and takes over when it has welcomed us.
 *   Until then, and if the leader cannot be reached from here, the active node forwards.
 * - Active, but silent, stopping, or without a leader for a while: others are asked in the same way.
 */
export class ClusterLink implements ConnectionEvents {
  readonly book: AddressBook;
  active: Connection | null = null;
  leader: LeaderHint | null = null;
  clusterId: string | null = null;
  /** `clusterId` counts for good: that of a cluster with a leader, or of a node that has answered something. */
  #isBound = false;

  readonly #settings: ClientSettings;
  readonly #open: (address: string) => Channel;
  readonly #runtime: Runtime;
  readonly #events: LinkEvents;
  readonly #dials = new Map<string, { connection: Connection; cancelTimer: () => void }>();
  readonly #retiring = new Set<Connection>();
  #lastDialAt = -Infinity;
  #leaderlessSince: number;
  /** Somebody needs a leader and the active node knows none: one other node is asked. */
  #scoutWanted = false;
  #cancelTimer: (() => void) | null = null;
  #closed = false;

  constructor(
    settings: ClientSettings,
    open: (address: string) => Channel,
    runtime: Runtime,
    events: LinkEvents,
  ) {
    this.#settings = settings;
    this.#open = open;
    this.#runtime = runtime;
    this.#events = events;
    this.book = new AddressBook(settings.addresses, () => runtime.random() / 4294967296);
    this.#leaderlessSince = runtime.now();
  }

  /** Starts what is due: dials and their timer. Cheap if nothing is. */
  pump(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    if (this.#closed) return;
    const now = this.#runtime.now();
    let wakeAt = Infinity;
    if (this.#wantsAnother()) wakeAt = this.#dialAny(now);
    const leaderAddress = this.#leaderToDial();
    if (leaderAddress !== null) {
      const retryAt = this.book.retryAt(leaderAddress);
      if (retryAt <= now) this.#dial(leaderAddress);
      else wakeAt = Math.min(wakeAt, retryAt);
    }
    if (wakeAt !== Infinity) {
      this.#cancelTimer = this.#runtime.timer(Math.max(1, wakeAt - now), () => {
        this.#cancelTimer = null;
        this.pump();
      });
    }
  }

  /** Looks for connections with requests on them from which nothing comes. Called now and then. */
  watch(now: number): void {
    const stallMs = this.#settings.stallMs;
    for (const connection of this.#using()) {
      if (connection.requests.size === 0) continue;
      const quietMs = now - connection.quietSince;
      // New commands wait for those on a retiring connection. It may be well and they lost behind it: only answers count.
      if (quietMs > stallMs / 2 && !connection.retiring) connection.ping();
      if (quietMs <= stallMs || connection.stalled) continue;
      connection.stalled = true;
      if (connection.retiring) this.#events.onAbandoned(connection);
      else this.pump();
    }
  }

  /** To be called whenever a connection may have got its last answer. */
  settle(connection: Connection): void {
    if (connection.retiring && connection.requests.size === 0) {
      this.#retiring.delete(connection);
      connection.close();
    }
  }

  /** All connections that may have calls on them. */
  connections(): Connection[] {
    return this.#using();
  }

  /** Whether no bytes of any request wait in this process. */
  get idle(): boolean {
    if (this.active !== null && this.active.bufferedBytes > 0) return false;
    for (const connection of this.#retiring) if (connection.bufferedBytes > 0) return false;
    return true;
  }

  close(): void {
    this.#closed = true;
    this.#cancelTimer?.();
    for (const { connection, cancelTimer } of this.#dials.values()) {
      cancelTimer();
      connection.close();
    }
    this.#dials.clear();
    for (const connection of this.#using()) connection.close();
    this.#retiring.clear();
    this.active = null;
  }

  onWelcome(connection: Connection, welcome: Welcome): void {
    this.#endDial(connection);
    if (this.clusterId !== null && welcome.clusterId !== this.clusterId && !this.#maySwitch(welcome)) {
      this.book.failed(
        connection.address,
        this.#runtime.now(),
        `node of another cluster, ${welcome.clusterId}`,
      );
      connection.close();
      this.pump();
      return;
    }
    this.clusterId = welcome.clusterId;
    if (welcome.leader !== null) this.#isBound = true;
    this.book.met(connection.address, welcome.nodeId);
    if (this.#isBetter(welcome)) this.#promote(connection, welcome);
    else connection.close();
    this.pump();
  }

  onAnswer(
    connection: Connection,
    call: Call,
    status: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    if (verdictOf(status) === Verdict.result) {
      this.#isBound = true;
      if (!connection.proven) this.#prove(connection);
    }
    this.#events.onAnswer(call, status, bytes, start, end);
    if (connection.retiring) this.settle(connection);
    else if (status === Status.noLeader) this.#lacksLeader();
    else if (status === Status.shuttingDown && !connection.leaving) {
      connection.leaving = true;
      this.pump();
    }
  }

  onTooLarge(connection: Connection, call: Call, bytes: number): void {
    this.#events.onTooLarge(call, bytes);
    this.settle(connection);
  }

  onLeader(connection: Connection, leader: LeaderHint | null): void {
    // What a retiring node thinks is older than what the active one does.
    if (connection === this.active) this.#setLeader(leader);
    this.pump();
  }

  onDrain(connection: Connection): void {
    if (connection === this.active) this.#events.onDrain();
  }

  onEnd(connection: Connection, error: CordwoodError): void {
    const now = this.#runtime.now();
    const wasDial = this.#endDial(connection);
    this.#retiring.delete(connection);
    if (!wasDial && connection.retiring) {
      this.#events.onLost(connection, error);
      return;
    }
    if (now - connection.activeSince >= PROVEN_MS) this.#prove(connection);
    this.book.failed(connection.address, now, whyEnded(error), lasting.has(error.code));
    if (connection === this.active) {
      this.active = null;
      // Others are tried at once, and so is this one after them: it may have restarted.
      if (connection.proven && !lasting.has(error.code)) this.book.forgetBackoff();
      this.#lastDialAt = -Infinity;
      this.#events.onLost(connection, error);
      if (this.leader?.id === connection.welcome?.nodeId) this.#setLeader(null);
    } else if (this.active === null) {
      this.#lastDialAt = -Infinity;
      if (this.book.hopeless) this.#events.onUnreachable(error);
    }
    this.pump();
  }

  /**
   * A node without a leader may be one that was left behind when its cluster moved or was restored elsewhere. As long as
   * nobody has answered anything it does not decide which cluster this client belongs to.
   */
  #maySwitch(welcome: Welcome): boolean {
    return (
      !this.#isBound && welcome.leader !== null && this.#using().every(({ requests }) => requests.size === 0)
    );
  }

  /** A request was refused because the active node knows no leader: after a while another one is asked. */
  #lacksLeader(): void {
    const now = this.#runtime.now();
    if (this.leader !== null || now - Math.max(this.#leaderlessSince, this.#lastDialAt) <= LEADERLESS_MS)
      return;
    this.#scoutWanted = true;
    this.pump();
  }

  #using(): Connection[] {
    return this.active === null ? [...this.#retiring] : [this.active, ...this.#retiring];
  }

  #wantsAnother(): boolean {
    const active = this.active;
    return active === null || active.stalled || active.leaving || this.#scoutWanted;
  }

  /** Dials the next address if it is time for it; returns when to look again. */
  #dialAny(now: number): number {
    const busy = new Set(this.#dials.keys());
    if (this.active !== null) busy.add(this.active.address);
    const staggered = this.#dials.size > 0 ? this.#lastDialAt + STAGGER_MS : -Infinity;
    if (staggered > now) return staggered;
    const preferred = this.leader === null ? null : this.book.addressOf(this.leader.id);
    let address = this.book.next(preferred, busy, now);
    if (address === null && this.active?.stalled === true && !this.#dials.has(this.active.address)) {
      // Nobody else: perhaps only this connection is dead, not the node.
      busy.delete(this.active.address);
      address = this.book.next(preferred, busy, now);
    }
    if (address === null) {
      this.#scoutWanted = false;
      return this.#wantsAnother() ? this.book.nextRetryAt(busy) : Infinity;
    }
    this.#lastDialAt = now;
    this.#scoutWanted = false;
    this.#dial(address);
    if (!this.#wantsAnother()) return Infinity;
    busy.add(address);
    return Math.max(now + STAGGER_MS, this.book.nextRetryAt(busy));
  }

  /** The leader's address, if it is another node, known, and not being dialled. */
  #leaderToDial(): string | null {
    const { active, leader } = this;
    if (!this.#settings.preferLeader || active === null || leader === null) return null;
    if (active.welcome!.nodeId === leader.id) return null;
    const address = this.book.addressOf(leader.id);
    return address === null || this.#dials.has(address) ? null : address;
  }

  #dial(address: string): void {
    const connection = new Connection(
      address,
      this.#open(address),
      this.#settings.maxResponseBytes,
      () => this.#runtime.now(),
      this,
    );
    const cancelTimer = this.#runtime.timer(HANDSHAKE_MS, () => {
      connection.fail(
        new CordwoodError('CONNECTION_LOST', `${address} did not answer within ${HANDSHAKE_MS} ms`),
      );
    });
    this.#dials.set(address, { connection, cancelTimer });
    connection.open();
  }

  #endDial(connection: Connection): boolean {
    const dial = this.#dials.get(connection.address);
    if (dial?.connection !== connection) return false;
    dial.cancelTimer();
    this.#dials.delete(connection.address);
    return true;
  }

  #isBetter(welcome: Welcome): boolean {
    const active = this.active;
    if (active === null || active.stalled || active.leaving) return true;
    // A scout that knows no leader either is of no use; one that does is, even if it only forwards.
    if (this.leader === null) return welcome.leader !== null;
    return (
      this.#settings.preferLeader &&
      welcome.nodeId === this.leader.id &&
      active.welcome!.nodeId !== this.leader.id
    );
  }

  #promote(connection: Connection, welcome: Welcome): void {
    const old = this.active;
    this.active = connection;
    connection.quietSince = connection.activeSince = this.#runtime.now();
    for (const [address, { connection: other, cancelTimer }] of this.#dials) {
      if (address === this.#addressOfLeader(welcome.leader)) continue;
      cancelTimer();
      other.close();
      this.#dials.delete(address);
    }
    if (old !== null) {
      old.retiring = true;
      this.#retiring.add(old);
      if (old.stalled) this.#events.onAbandoned(old);
      this.settle(old);
    }
    this.#setLeader(welcome.leader);
    this.#events.onReady(connection);
  }

  #prove(connection: Connection): void {
    connection.proven = true;
    this.book.worked(connection.address);
  }

  #addressOfLeader(leader: LeaderHint | null): string | null {
    return leader === null ? null : this.book.addressOf(leader.id);
  }

  #setLeader(leader: LeaderHint | null): void {
    if (this.#closed) return;
    if (leader !== null) this.#isBound = true;
    if (leader !== null && leader.address !== '') this.book.learn(leader.address, leader.id);
    if (leader === null && this.leader !== null) this.#leaderlessSince = this.#runtime.now();
    if (leader?.id === this.leader?.id && leader?.address === this.leader?.address) return;
    this.leader = leader;
    this.#events.onLeader(leader);
  }
}
