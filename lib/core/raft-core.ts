import { awaitsDisk } from './commit.ts';
import { receive } from './dispatch.ts';
import type { CreatedEntry, Effects } from './effects.ts';
import {
  checkQuorum,
  hasLost,
  justVoted,
  leaderRefused,
  mayCampaign,
  missLeader,
  renewQuorum,
  resetElectionTimer,
  settlePreVotes,
  startPreVote,
  waitOn,
} from './election.ts';
import { proposeConfig, type ConfigRefusal, type ConfigTarget } from './membership.ts';
import { durable, markUnwritten, releaseMessages, takePersist } from './persistence.ts';
import type { Progress } from './progress.ts';
import { enterQuarantine, isHealed } from './quarantine.ts';
import { askingLost, readIndex, readLost, startReadRound } from './reads.ts';
import {
  peerLost,
  isSettled,
  sendAllAppends,
  sendDueAck,
  sendHeartbeat,
  sendHeartbeats,
  snapshotFinished,
} from './replication.ts';
import { boundByPromise, dropLease, leaseUntil } from './lease.ts';
import { beginInstall, compact, snapshotInstalled, snapshotTraffic } from './snapshot.ts';
import { CoreState, type CoreInit, type CoreOptions } from './state.ts';
import { expireTransfer, startTransfer, stepDown } from './transfer.ts';
import type { Config, Index, Message, NodeId, Role, SnapshotMeta, Term } from './types.ts';
import type { ConfigAt } from './config-stack.ts';

/**
 * Raft without I/O, clock or dice of its own: the same options and the same calls give the same effects, byte for
 * byte. The driver tells it what happened, in this order within a turn: `clock`, what came in, `tick`, `drain`.
 *
 * @example
 * core.clock(now);
 * core.receive(2, message);
 * core.tick();
 * const { messages, persist } = core.drain();
 */
export class RaftCore {
  readonly #s: CoreState;
  readonly #effects: Effects = {
    created: [],
    messages: [],
    persist: null,
    reads: [],
    failedReads: [],
    snapshots: [],
    nextDeadlineMs: 0,
  };

  constructor(options: CoreOptions, init: CoreInit) {
    this.#s = new CoreState(options, init);
    resetElectionTimer(this.#s);
    // Alone, there is nobody to wait for.
    const { config } = this.#s;
    if (config.voters.length === 1 && config.outgoing.length === 0) this.#s.electionDeadlineMs = init.nowMs;
  }

  // --- what the driver may look at ----------------------------------------------------------------------------------

  get role(): Role {
    return this.#s.role;
  }
  get term(): Term {
    return this.#s.term;
  }
  get vote(): NodeId {
    return this.#s.vote;
  }
  /** Who leads, as far as this node knows; 0: nobody. */
  get leader(): NodeId {
    return this.#s.leader;
  }
  get commitIndex(): Index {
    return this.#s.commitIndex;
  }
  get durableIndex(): Index {
    return this.#s.durableIndex;
  }
  get lastIndex(): Index {
    return this.#s.log.lastIndex;
  }
  get prevIndex(): Index {
    return this.#s.log.prevIndex;
  }
  get logBytes(): number {
    return this.#s.log.totalBytes;
  }
  get config(): Config {
    return this.#s.config;
  }
  get configIndex(): Index {
    return this.#s.configs.currentIndex;
  }
  get installing(): boolean {
    return this.#s.installing !== null;
  }
  get transferring(): boolean {
    return this.#s.transfer !== null;
  }
  /** Whether this leader has asked another node to take over. It may do so long afterwards. */
  get hasHandedOver(): boolean {
    return this.#s.role === 'leader' && this.#s.leaseVoid;
  }
  /** Whether this leader has committed an entry of its own term: from then on its commit index is the cluster's. */
  get termCommitted(): boolean {
    return this.#s.role === 'leader' && this.#s.commitIndex >= this.#s.termStartIndex;
  }
  /** Whether anything may follow from the end of writes that are under way. */
  get awaitsDisk(): boolean {
    return awaitsDisk(this.#s);
  }
  progressOf(id: NodeId): Progress | undefined {
    return this.#s.progress.get(id);
  }
  termAt(index: Index): Term {
    return this.#s.log.termAt(index);
  }
  /** Size of a kept entry's record in bytes. */
  sizeAt(index: Index): number {
    return this.#s.log.sizeAt(index);
  }
  /** The base of the configuration stack that a snapshot at `index` must carry. */
  configAt(index: Index): ConfigAt {
    return this.#s.configs.at(index);
  }

  /** The log is not what this node once acknowledged: it does not vote, campaign or serve. */
  get quarantined(): boolean {
    return hasLost(this.#s);
  }
  /** In quarantine, and everything that was lost is durable again: `leaveQuarantine` is due. */
  get healed(): boolean {
    return isHealed(this.#s);
  }
  /** Index of an acknowledged entry that the leader found missing here; 0: none. `enterQuarantine` follows, on disk first. */
  get lossNoticed(): Index {
    return this.#s.lossNoticed;
  }

  /** The whole state, for checkers in tests and the simulator. Not to be changed. */
  get state(): CoreState {
    return this.#s;
  }

  // --- inputs -------------------------------------------------------------------------------------------------------

  /** Time on a monotonic clock, in milliseconds. Runs no timeouts: `tick` does, after the input of the turn. */
  clock(nowMs: number): void {
    if (nowMs > this.#s.nowMs) this.#s.nowMs = nowMs;
  }

  /** The input of this turn is complete: decides what must not depend on its order. `tick` begins with it. */
  settle(): void {
    settlePreVotes(this.#s);
  }

  tick(): void {
    const s = this.#s;
    this.settle();
    if (s.role === 'leader') {
      expireTransfer(s);
      if (s.nowMs >= s.quorumDeadlineMs && !checkQuorum(s)) return;
      if (s.nowMs >= s.heartbeatDeadlineMs) {
        sendHeartbeats(s);
        renewQuorum(s);
      }
    } else if (s.nowMs >= s.electionDeadlineMs) {
      if (mayCampaign(s) && !boundByPromise(s)) startPreVote(s);
      else waitOn(s);
    }
  }

  /**
   * This node itself stood still for a while (a stalled event loop, a stopped process). What others sent meanwhile
   * may still be on its way through the sockets, so it gives them one heartbeat's time before it campaigns. A leader
   * waits longer before it takes their silence for the loss of its quorum: they can only answer what it says from now
   * on, and where all nodes share a process they stood still as well. Only the first stall puts a deadline off: on a
   * machine that has too much to do every timer is late, and nobody would ever lead, or give up leading.
   */
  stalled(): void {
    const s = this.#s;
    const { heartbeatMs, electionTimeoutMs } = s.options;
    dropLease(s);
    if (s.stallExcused) return;
    s.stallExcused = true;
    if (s.role === 'leader') {
      s.quorumDeadlineMs = Math.max(s.quorumDeadlineMs, s.nowMs + electionTimeoutMs / 2);
    } else {
      s.electionDeadlineMs = Math.max(s.electionDeadlineMs, s.nowMs + heartbeatMs);
    }
  }

  /** Takes a message. For an append: the first index the driver must take over records from, else 0. */
  receive(from: NodeId, m: Message): Index {
    return receive(this.#s, from, m);
  }

  /** Appends one entry of `sizeBytes`. Its index, or 0 if this node does not lead or is handing over. */
  propose(sizeBytes: number): Index {
    const s = this.#s;
    if (s.role !== 'leader' || s.transfer !== null) return 0;
    const index = s.log.append(s.term, sizeBytes);
    markUnwritten(s, index);
    return index;
  }

  proposeConfig(target: ConfigTarget, expectedIndex: Index): Index | ConfigRefusal {
    return proposeConfig(this.#s, target, expectedIndex);
  }

  readIndex(token: number): void {
    readIndex(this.#s, token);
  }

  /** Hands leadership to `target` (0: whoever is furthest along). Returns the target, 0 if that is not possible. */
  transfer(target: NodeId): NodeId {
    return startTransfer(this.#s, target);
  }

  /**
   * The node has just started, or another has come within reach. If it knows of no leader, there may be none: nobody
   * needs to wait a whole election timeout to find out. A leader's followers refuse the pre-votes.
   */
  campaignSoon(): void {
    const s = this.#s;
    if (s.leader !== 0 || s.role === 'leader' || justVoted(s)) return;
    missLeader(s, 2 * s.options.lostLeaderDelayMs);
  }

  /** Another node has come within reach: if this one leads, it says so now and not with the next round of heartbeats. */
  peerReached(id: NodeId): void {
    const progress = this.#s.progress.get(id);
    if (this.#s.role === 'leader' && progress !== undefined) sendHeartbeat(this.#s, progress);
  }

  /** Until when, by the clock given to `clock`, nobody else can lead; −Infinity without a lease. See lease.ts. */
  leaseUntil(promiseMs: (id: NodeId) => number): number {
    return leaseUntil(this.#s, promiseMs);
  }

  /** The clocks cannot be trusted for what was agreed before. */
  dropLease(): void {
    dropLease(this.#s);
  }

  /** Writes take too long (or no longer): with a stalled disk a node does not ask to lead. */
  set diskStalled(stalled: boolean) {
    this.#s.diskStalled = stalled;
  }

  stepDown(): void {
    stepDown(this.#s);
  }

  durable(ticket: number): void {
    durable(this.#s, ticket);
  }

  compact(index: Index): void {
    compact(this.#s, index);
  }

  snapshotTraffic(from: NodeId, term: Term): void {
    snapshotTraffic(this.#s, from, term);
  }

  beginInstall(meta: SnapshotMeta): boolean {
    return beginInstall(this.#s, meta);
  }

  snapshotInstalled(): void {
    snapshotInstalled(this.#s);
  }

  snapshotFinished(peer: NodeId): void {
    snapshotFinished(this.#s, peer);
  }

  /**
   * The log has lost what this node acknowledged, and the next start knows it too: the leader is told to forget from here
   * on. `mustRestart`: the disk takes nothing before the log was restarted behind what is left of it, which is what the
   * core was started with.
   */
  enterQuarantine(nonce: number, mustRestart: boolean): void {
    this.#s.lossNoticed = 0;
    enterQuarantine(this.#s, nonce, mustRestart);
  }

  /** Once `healed`, and once the disk knows it. */
  leaveQuarantine(): void {
    this.#s.quarantine = null;
    resetElectionTimer(this.#s);
  }

  peerLost(id: NodeId): void {
    peerLost(this.#s, id);
  }

  /** The read's question to the leader did not leave. */
  readLost(token: number): void {
    readLost(this.#s, token);
  }

  /** The connection to `id` is lost on which reads are asked for. */
  askingLost(id: NodeId): void {
    askingLost(this.#s, id);
  }

  leaderRefused(id: NodeId): void {
    leaderRefused(this.#s, id);
  }

  /**
   * A leader whose every entry is committed and has been sent to everyone, and who has nothing else to say: `drain`
   * would do nothing.
   */
  get settled(): boolean {
    return isSettled(this.#s);
  }

  // --- outputs ------------------------------------------------------------------------------------------------------

  /** Entries the core appended by itself since the last call; they need records before later proposals do. */
  takeCreated(): readonly CreatedEntry[] {
    return takeAll(this.#s.created);
  }

  /** What to do now. The returned object is reused by the next call. */
  drain(): Effects {
    const s = this.#s;
    const e = this.#effects;
    startReadRound(s);
    if (s.role === 'leader') sendAllAppends(s);
    else sendDueAck(s);
    e.created = takeAll(s.created);
    e.persist = takePersist(s);
    e.messages = releaseMessages(s);
    e.reads = takeAll(s.confirmedReads);
    e.failedReads = takeAll(s.failedReads);
    e.snapshots = takeAll(s.snapshotsWanted);
    e.nextDeadlineMs =
      s.role === 'leader' ? Math.min(s.heartbeatDeadlineMs, s.quorumDeadlineMs) : s.electionDeadlineMs;
    return e;
  }
}

const none: readonly never[] = [];

/** Empties `list`. Mostly there is nothing in it, in every turn, and then nothing is made. */
function takeAll<T>(list: T[]): readonly T[] {
  return list.length === 0 ? none : list.splice(0);
}
