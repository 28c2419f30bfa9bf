import type { Effects } from '../core/effects.ts';
import { RaftCore } from '../core/raft-core.ts';
import type { CoreOptions } from '../core/state.ts';
import {
  EntryKind,
  type Config,
  type Index,
  type Message,
  type NodeId,
  type SnapshotMeta,
  type Term,
} from '../core/types.ts';
import { CoreClock } from './core-clock.ts';
import { CoreDisk } from './core-disk.ts';
import { fail } from './core-checker.ts';
import type { CoreCluster } from './core-cluster.ts';
import { ModelLog, type ModelEntry } from './model-log.ts';

/** What travels between nodes: a message of the core with the entries the driver attached, or a snapshot. */
export type Packet =
  | { readonly kind: 'message'; readonly message: Message; readonly entries: readonly ModelEntry[] }
  | { readonly kind: 'chunk'; readonly term: Term }
  | { readonly kind: 'snapshot'; readonly term: Term; readonly snapshot: SnapshotMeta };

/** One core with the least driver that will do: a naive log beside it, a disk, a clock of its own. */
export class CoreNode {
  readonly id: NodeId;
  readonly disk: CoreDisk = new CoreDisk();
  readonly #cluster: CoreCluster;
  readonly #bootstrap: Config;
  core!: RaftCore;
  log: ModelLog = new ModelLog();
  up = false;
  paused = false;
  /** Starts so far: what belongs to an earlier one is not delivered. */
  incarnation = 0;
  applied: Index = 0;
  #clock!: CoreClock;
  inbox: { readonly from: NodeId; readonly packet: Packet }[] = [];
  #actions: (() => void)[] = [];
  #durableTicket = 0;
  /** Whether the end of a write brings a turn. */
  #announces = true;
  #turnPlanned = false;
  #tickAtMs = Infinity;
  #lastTerm: Term = 0;
  #lastCommit: Index = 0;
  #reads = new Set<number>();
  #leavesQuarantine = false;

  constructor(cluster: CoreCluster, id: NodeId, bootstrap: Config) {
    this.#cluster = cluster;
    this.id = id;
    this.#bootstrap = bootstrap;
  }

  peer(id: NodeId): CoreNode | undefined {
    return this.#cluster.node(id);
  }

  get tainted(): boolean {
    return this.disk.damage !== null;
  }

  get running(): boolean {
    return this.up && !this.paused;
  }

  localMs(): number {
    return this.#clock.at(this.#cluster.nowMs);
  }

  start(options: Omit<CoreOptions, 'id' | 'seed'>): void {
    const { random, clockDrift, nowMs } = this.#cluster;
    this.#clock = new CoreClock(random, clockDrift, nowMs);
    const { disk } = this;
    const init = disk.recover(this.#bootstrap, this.localMs());
    this.log = new ModelLog();
    this.log.reset(disk.log.prevIndex, disk.log.prevTerm);
    this.log.entries = [...disk.log.entries];
    const before = this.incarnation === 0 ? 0 : disk.hardState.term;
    this.core = new RaftCore({ ...options, id: this.id, seed: this.#cluster.random.next() * 2 ** 32 }, init);
    if (disk.damage !== null) {
      const nonce = Math.floor(this.#cluster.random.next() * 2 ** 32) + 1;
      this.core.enterQuarantine(nonce, disk.damage === 'hole');
    }
    this.#leavesQuarantine = false;
    this.incarnation++;
    this.up = true;
    this.paused = false;
    this.inbox = [];
    this.#actions = [];
    this.#durableTicket = 0;
    this.#announces = true;
    this.#turnPlanned = false;
    this.#tickAtMs = Infinity;
    if (this.core.term < before) fail(this, `started in term ${this.core.term}, durable was ${before}`);
    this.#lastTerm = this.core.term;
    this.#lastCommit = this.core.commitIndex;
    this.applied = disk.snapshot?.index ?? 0;
    this.#cluster.checker.checkLog(this);
    this.planTurn(0);
  }

  crash(): void {
    this.up = false;
    this.disk.crash(this.#cluster.random);
    for (const token of this.#reads) this.#cluster.checker.readDropped(token);
    this.#reads.clear();
  }

  /** With `suspend` its clock stands still too. */
  pause(suspend = false): void {
    this.paused = true;
    if (suspend) this.#clock.suspend(this.#cluster.nowMs);
  }

  /** Comes back from standing still: what waits in its sockets is read in the first turn, before any timer. */
  resume(): void {
    this.paused = false;
    this.#clock.resume(this.#cluster.nowMs);
    this.act(() => this.core.stalled());
  }

  /** Runs `action` in the next turn. */
  act(action: () => void): void {
    this.#actions.push(action);
    this.planTurn(0);
  }

  receive(from: NodeId, packet: Packet): void {
    this.inbox.push({ from, packet });
    this.planTurn(this.#cluster.random.next() < 0.5 ? 0 : this.#cluster.random.next());
  }

  durable(ticket: number): void {
    this.#durableTicket = ticket;
    if (this.#announces) this.planTurn(0);
  }

  planTurn(delayMs: number): void {
    if (this.#turnPlanned || !this.running) return;
    this.#turnPlanned = true;
    const { incarnation } = this;
    this.#cluster.events.after(delayMs, () => {
      if (this.incarnation !== incarnation) return;
      this.#turnPlanned = false;
      if (this.running) this.#turn();
    });
  }

  propose(sizeBytes: number): Index {
    const index = this.core.propose(sizeBytes);
    if (index === 0) return 0;
    this.#takeCreated();
    this.#append({
      index,
      term: this.core.term,
      kind: EntryKind.batch,
      id: this.#cluster.nextEntryId(),
      sizeBytes,
      config: null,
    });
    return index;
  }

  read(): void {
    const token = this.#cluster.nextToken();
    this.#reads.add(token);
    this.#cluster.checker.readAsked(token);
    this.core.readIndex(token);
  }

  /** Takes a snapshot of what is applied and durable; the log behind it goes, but for `trailing` entries. */
  takeSnapshot(trailing: number): void {
    const index = this.applied;
    const { core, disk } = this;
    if (core.installing || index > core.durableIndex || index <= (disk.snapshot?.index ?? 0)) return;
    const at = core.configAt(index);
    const meta = { index, term: core.termAt(index), config: at.config, configIndex: at.index };
    this.#cluster.checker.snapshotTaken(this, meta);
    this.#cluster.later(this, () => {
      disk.storeSnapshot(meta);
      const to = index - trailing;
      if (to <= core.prevIndex) return;
      core.compact(to);
      this.log.compactTo(to);
      if (disk.log.termAt(to) >= 0) disk.log.compactTo(to);
    });
  }

  // --- one turn -----------------------------------------------------------------------------------------------------

  #turn(): void {
    const { core } = this;
    core.clock(this.localMs());
    // The disk's answer may come before or after what the sockets hold.
    const diskFirst = this.#cluster.random.next() < 0.5;
    if (diskFirst) this.#takeDurable();
    const inbox = this.inbox;
    this.inbox = [];
    for (const { from, packet } of inbox) {
      this.#deliver(from, packet);
      this.#check();
    }
    this.#takeDurable();
    const actions = this.#actions;
    this.#actions = [];
    for (const action of actions) {
      action();
      this.#check();
    }
    core.tick();
    this.#check();
    this.#drain();
    this.#announces = core.awaitsDisk;
    this.#check();
    this.#cluster.checker.checkLog(this);
    this.#cluster.checker.checkLeader(this);
    this.#cluster.checker.checkFollower(this);
    this.#cluster.checker.checkLease(this, this.localMs());
    this.#forgiveAlarm();
    this.#heal();
  }

  /**
   * A rejection that was overtaken by the acks after it looks to the leader like a disk that went back in time. Lanes keep
   * their order, so nodes never see this; packets here do not, and disks here go back only where `damage` says so. A node
   * that kept the alarm would neither vote nor campaign for the rest of the story.
   */
  #forgiveAlarm(): void {
    const { core, disk } = this;
    if (core.lossNoticed === 0 || disk.damage !== null) return;
    core.enterQuarantine(1, false);
    core.leaveQuarantine();
  }

  /** Once everything that was lost is there again, and the disk knows it, this is a node like any other. */
  #heal(): void {
    const { core, disk } = this;
    if (!core.quarantined || !core.healed || this.#leavesQuarantine) return;
    this.#leavesQuarantine = true;
    this.#cluster.later(this, () => {
      disk.damage = null;
      core.leaveQuarantine();
    });
  }

  #takeDurable(): void {
    if (this.#durableTicket === 0) return;
    this.core.durable(this.#durableTicket);
    this.#durableTicket = 0;
    this.#check();
  }

  #deliver(from: NodeId, packet: Packet): void {
    const { core } = this;
    if (packet.kind === 'chunk') {
      core.snapshotTraffic(from, packet.term);
      return;
    }
    if (packet.kind === 'snapshot') {
      core.snapshotTraffic(from, packet.term);
      this.#storeSnapshot(from, packet.snapshot);
      return;
    }
    const m = packet.message;
    const first = core.receive(from, m.kind === 'append' ? { ...m, entries: metas(packet.entries) } : m);
    if (first === 0) return;
    if (m.kind !== 'append') fail(this, `takes entries from ${m.kind}`);
    this.#takeCreated();
    if (first <= this.#lastCommit) fail(this, `replaces entry ${first}, committed ${this.#lastCommit}`);
    this.log.truncateFrom(first);
    for (const e of packet.entries) if (e.index >= first) this.#append(e);
  }

  /** Received whole. It is made durable first; installing takes a while too. */
  #storeSnapshot(from: NodeId, meta: SnapshotMeta): void {
    const { core, disk } = this;
    this.#cluster.later(this, () => {
      disk.storeSnapshot(meta);
      if (!core.beginInstall(meta)) {
        this.#cluster.snapshotDone(this, from);
        return;
      }
      this.#cluster.later(this, () => {
        core.snapshotInstalled();
        this.applied = meta.index;
        if (this.log.termAt(meta.index) === meta.term) this.log.compactTo(meta.index);
        else this.log.reset(meta.index, meta.term);
        this.#cluster.snapshotDone(this, from);
      });
    });
  }

  #append(entry: ModelEntry): void {
    this.#cluster.checker.entryAppended(this, entry, this.log.lastTerm);
    this.log.append(entry);
  }

  #takeCreated(): void {
    for (const c of this.core.takeCreated()) {
      this.#append({ ...c, id: this.#cluster.nextEntryId(), sizeBytes: this.core.state.log.sizeAt(c.index) });
      if (c.kind === EntryKind.noop) this.#cluster.checker.leads(this, c.term);
    }
  }

  #drain(): void {
    const { core } = this;
    this.#takeCreated();
    const { settled } = core;
    const e = core.drain();
    if (settled && (!isNothing(e) || core.awaitsDisk)) fail(this, 'is settled and has something to do');
    for (const c of e.created) fail(this, `entry ${c.index} was created while draining`);
    if (e.persist) {
      const { ticket, hardState, resetTo, first, last } = e.persist;
      const entries = first === 0 ? [] : this.log.slice(Math.max(first, this.log.prevIndex + 1), last);
      this.disk.submit({ ticket, hardState, resetTo, first, entries });
      this.#cluster.writeSubmitted(this);
    }
    for (const { to, message } of e.messages) {
      this.#cluster.checker.sent(this, to, message);
      const entries = message.kind === 'append' ? this.log.slice(message.prevIndex + 1, message.last) : [];
      if (message.kind === 'append' && entries.length !== message.last - message.prevIndex) {
        fail(this, `sends ${message.prevIndex + 1}…${message.last}, has ${entries.length} of them`);
      }
      this.#cluster.send(this, to, { kind: 'message', message, entries });
    }
    for (const r of e.reads) {
      this.#cluster.checker.readConfirmed(this, r.token, r.index);
      this.#reads.delete(r.token);
    }
    for (const token of e.failedReads) {
      this.#cluster.checker.readFailed(this, token);
      this.#reads.delete(token);
    }
    for (const peer of e.snapshots) this.#cluster.sendSnapshot(this, peer);
    this.#apply();
    this.#planTick(e.nextDeadlineMs);
  }

  #apply(): void {
    if (this.core.installing) return;
    if (this.applied < this.log.prevIndex)
      fail(this, `applied ${this.applied}, log starts at ${this.log.prevIndex}`);
    this.applied = Math.max(this.applied, this.core.commitIndex);
  }

  #planTick(localDeadlineMs: number): void {
    const atMs = this.#clock.when(localDeadlineMs, this.#cluster.nowMs);
    if (atMs === this.#tickAtMs || atMs === Infinity) return;
    this.#tickAtMs = atMs;
    const { incarnation } = this;
    this.#cluster.events.at(atMs, () => {
      // A later drain may have planned another; only the newest counts.
      if (this.incarnation === incarnation && this.#tickAtMs === atMs) {
        this.#tickAtMs = Infinity;
        this.planTurn(0);
      }
    });
  }

  #check(): void {
    const { core } = this;
    if (core.term < this.#lastTerm) fail(this, `term went back from ${this.#lastTerm} to ${core.term}`);
    this.#lastTerm = core.term;
    if (core.commitIndex !== this.#lastCommit) {
      this.#takeCreated();
      this.#cluster.checker.commitMoved(this, this.#lastCommit, core.commitIndex);
      const { commitIndex, state } = core;
      if (core.role !== 'leader' && commitIndex > state.verifiedIndex)
        fail(this, `commit ${commitIndex}, verified is ${state.verifiedIndex}`);
      this.#lastCommit = core.commitIndex;
    }
  }
}

function metas(
  entries: readonly ModelEntry[],
): { term: Term; kind: EntryKind; sizeBytes: number; config?: Config }[] {
  return entries.map((e) => ({
    term: e.term,
    kind: e.kind,
    sizeBytes: e.sizeBytes,
    ...(e.config ? { config: e.config } : {}),
  }));
}

function isNothing({ created, persist, messages, reads, failedReads, snapshots }: Effects): boolean {
  const lists = [created, messages, reads, failedReads, snapshots];
  return persist === null && lists.every((list) => list.length === 0);
}
