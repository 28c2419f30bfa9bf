import { isVoter, quorumValue } from '../core/quorum.ts';
import {
  EntryKind,
  type Config,
  type HardState,
  type Index,
  type Message,
  type NodeId,
  type SnapshotMeta,
  type Term,
} from '../core/types.ts';

import type { RaftCore } from '../core/raft-core.ts';
import type { ModelEntry, ModelLog } from './model-log.ts';

/** A node as the checker sees it. */
export interface CheckedNode {
  readonly id: NodeId;
  readonly core: RaftCore;
  /** What its core believes its log to be, kept the naive way. */
  readonly log: ModelLog;
  readonly disk: CheckedDisk;
  /** Its disk was damaged behind its back: what it has acknowledged may be gone. It must not vote before it is whole. */
  readonly tainted?: boolean;
  peer(id: NodeId): CheckedNode | undefined;
}

/** What would be found on its disk if the node crashed now. */
export interface CheckedDisk {
  readonly hardState: HardState;
  readonly lastIndex: Index;
  /** Whether the entry `id` at `index` is there, in the log or within a snapshot. */
  holds(index: Index, id: number): boolean;
}

/** A property of Raft did not hold. */
export class SafetyViolation extends Error {
  override readonly name = 'SafetyViolation';
}

/**
 * Watches every node of a cluster, over all time, from outside: nothing here believes what a core says of itself.
 * Durability is judged by what is on the simulated disks.
 */
export class CoreChecker {
  /** Committed entries by index (0 is unused). */
  readonly committed: (ModelEntry | undefined)[] = [undefined];
  /** The term whose leader committed each. */
  readonly #committedIn: Term[] = [0];
  /** Indexes of committed configurations. */
  readonly #configs: Index[] = [0];
  readonly #leaders = new Map<Term, NodeId>();
  readonly #votes = new Map<string, NodeId>();
  /** What has ever been appended anywhere as (index, term): its id, and the term before it. */
  readonly #written = new Map<string, { id: number; prevTerm: Term }>();
  readonly #readFloors = new Map<number, Index>();

  /** How often a lease was held when somebody looked. */
  leasesHeld = 0;

  get committedIndex(): Index {
    return this.committed.length - 1;
  }

  get unsettledReads(): number[] {
    return [...this.#readFloors.keys()];
  }

  /** Log matching (Raft 5.3), by induction: equal (index, term) means equal entry and equal term before it. */
  entryAppended(node: CheckedNode, entry: ModelEntry, prevTerm: Term): void {
    const key = `${entry.index}/${entry.term}`;
    const known = this.#written.get(key);
    if (!known) this.#written.set(key, { id: entry.id, prevTerm });
    else if (known.id !== entry.id || known.prevTerm !== prevTerm) {
      fail(node, `log matching: entry ${key} differs (id ${entry.id} and ${known.id})`);
    }
  }

  /** Election safety (5.2), leader completeness (5.4), and that nobody leads before its own vote is durable. */
  leads(node: CheckedNode, term: Term): void {
    const other = this.#leaders.get(term);
    if (other === node.id) return;
    if (other !== undefined) fail(node, `election safety: ${other} led term ${term} already`);
    this.#leaders.set(term, node.id);
    const { hardState } = node.disk;
    if (hardState.term < term || (hardState.term === term && hardState.vote !== node.id)) {
      fail(node, `leads term ${term}, its disk says ${hardState.term} for ${hardState.vote}`);
    }
    for (let i = node.log.prevIndex + 1; i <= this.committedIndex; i++) {
      // A late winner of an old term says nothing of what newer ones committed.
      if (this.#committedIn[i]! < term && node.log.get(i)?.id !== this.committed[i]!.id) {
        fail(node, `leader completeness: elected in ${term} without committed entry ${i}`);
      }
    }
  }

  /**
   * State machine safety, and for the leader: commitment only on a quorum of disks and of its own term (5.4.2). `before`
   * is the configuration when anybody last looked: what was committed in between may have been under either, because
   * a leader can commit an entry and append the next configuration at one go (cluster seed 372922407).
   */
  commitMoved(node: CheckedNode, from: Index, to: Index, before: Config = node.core.config): void {
    if (to < from) fail(node, `commit went back from ${from} to ${to}`);
    const { core } = node;
    if (core.role === 'leader' && to > from) {
      const top = node.log.get(to)!;
      const onDisk = (id: NodeId): number => {
        const holder = node.peer(id);
        // What is lost there was there: as long as it does not vote, that is as good.
        return holder && (holder.tainted === true || holder.disk.holds(to, top.id)) ? 1 : 0;
      };
      if (quorumValue(core.config, onDisk) < 1 && quorumValue(before, onDisk) < 1)
        fail(node, `committed ${to} without a quorum of disks`);
      if (node.log.get(to)!.term !== core.term) fail(node, `committed ${to} of an older term by counting`);
    }
    for (let i = Math.max(from, node.log.prevIndex) + 1; i <= to; i++) {
      const entry = node.log.get(i);
      if (!entry) fail(node, `committed ${i}, which it does not have`);
      const known = this.committed[i];
      if (known && known.id !== entry.id) fail(node, `state machine safety: entry ${i} differs`);
      if (!known) {
        if (core.role !== 'leader') fail(node, `follower knows of commit ${i} before any leader`);
        this.committed[i] = entry;
        this.#committedIn[i] = core.term;
        if (entry.kind === EntryKind.config) this.#configs.push(i);
      }
    }
  }

  /** No term, vote or ack leaves before it is on the disk. One vote per term, over all restarts. */
  sent(node: CheckedNode, to: NodeId, m: Message): void {
    if ((m.kind === 'voteRequest' || m.kind === 'voteResponse') && m.pre) return;
    const { hardState } = node.disk;
    if (hardState.term < m.term) fail(node, `sent ${m.kind} of term ${m.term}, durable is ${hardState.term}`);
    const votedFor = m.kind === 'voteRequest' ? node.id : m.kind === 'voteResponse' && m.granted ? to : 0;
    if (votedFor !== 0) {
      if (hardState.term === m.term && hardState.vote !== votedFor) {
        fail(node, `vote for ${votedFor} in ${m.term} left, durable is one for ${hardState.vote}`);
      }
      const key = `${node.id}/${m.term}`;
      const before = this.#votes.get(key);
      if (before !== undefined && before !== votedFor) {
        fail(node, `voted for ${before} and ${votedFor} in term ${m.term}`);
      }
      this.#votes.set(key, votedFor);
    }
    if (m.kind === 'appendAck' && !m.rejected && m.match > node.disk.lastIndex) {
      fail(node, `acked ${m.match}, its disk ends at ${node.disk.lastIndex}`);
    }
    if (m.kind === 'append' && m.prevTerm < 0) fail(node, `sent an append behind an unknown term`);
  }

  /** A snapshot carries the configuration that was in force at its index, not an older or a newer one. */
  snapshotTaken(node: CheckedNode, meta: SnapshotMeta): void {
    const index = this.#configs.findLast((i) => i <= meta.index)!;
    if (meta.configIndex !== index)
      fail(node, `snapshot ${meta.index} with config ${meta.configIndex}, not ${index}`);
    if (meta.index > 0 && this.committed[meta.index]?.term !== meta.term)
      fail(node, `snapshot of another log`);
  }

  /** Which entry (index, term) is; 0 if nobody ever appended one. */
  idOf(index: Index, term: Term): number {
    return this.#written.get(`${index}/${term}`)?.id ?? 0;
  }

  readAsked(token: number): void {
    this.#readFloors.set(token, this.committedIndex);
  }

  /** Linearizability: whatever was committed anywhere before the read was asked must be seen by it. */
  readConfirmed(node: CheckedNode, token: number, index: Index): void {
    const floor = this.#readFloors.get(token);
    if (floor === undefined) fail(node, `read ${token} settled twice`);
    if (index < floor) fail(node, `read at ${index}, but ${floor} was committed before it was asked`);
    this.#readFloors.delete(token);
  }

  readFailed(node: CheckedNode, token: number): void {
    if (!this.#readFloors.delete(token)) fail(node, `read ${token} settled twice`);
  }

  /** Its node crashed: nobody waits for it any more. */
  readDropped(token: number): void {
    this.#readFloors.delete(token);
  }

  /** A lease is right if whoever holds it knows of every commit there is. */
  checkLease(node: CheckedNode, nowMs: number): void {
    const { core } = node;
    const { leases, electionTimeoutMs } = core.state.options;
    if (leases !== true || core.role !== 'leader' || nowMs >= core.leaseUntil(() => electionTimeoutMs))
      return;
    if (core.commitIndex < this.committedIndex) {
      fail(node, `holds a lease at commit ${core.commitIndex}, but ${this.committedIndex} is committed`);
    }
    this.leasesHeld++;
  }

  /** What a leader believes of its followers is true as long as they follow it. */
  checkLeader(node: CheckedNode): void {
    const { core, log } = node;
    if (core.role !== 'leader') return;
    for (const [id, pr] of core.state.progress) {
      if (pr.next <= pr.match) fail(node, `peer ${id}: next ${pr.next}, match ${pr.match}`);
      if (pr.match > log.lastIndex) fail(node, `peer ${id}: match ${pr.match} beyond the log`);
      const peer = node.peer(id);
      if (!peer || peer.tainted === true || peer.disk.hardState.term > core.term) continue;
      const entry = log.get(pr.match);
      if (entry && !peer.disk.holds(pr.match, entry.id)) {
        fail(node, `peer ${id}: match ${pr.match} is not on its disk`);
      }
    }
    if (!isVoter(core.config, node.id) && core.configIndex <= core.commitIndex) {
      if (!core.transferring) fail(node, 'leads after its removal without handing over');
    }
  }

  /** What a follower takes for its leader's log is that, while that leads: its acks and its commitment go by it. */
  checkFollower(node: CheckedNode): void {
    const { core, log } = node;
    const leader = core.role === 'follower' ? node.peer(core.leader) : undefined;
    if (leader?.core.role !== 'leader' || leader.core.term !== core.term) return;
    const { verifiedIndex } = core.state;
    const own = log.get(verifiedIndex);
    const other = leader.log.get(verifiedIndex);
    if (verifiedIndex > leader.log.lastIndex || (own && other && own.id !== other.id))
      fail(node, `entry ${verifiedIndex} is verified, but not that of leader ${leader.id}`);
  }

  /** The core's view of its log against the naive one. */
  checkLog(node: CheckedNode): void {
    const { core, log } = node;
    if (core.lastIndex !== log.lastIndex || core.prevIndex !== log.prevIndex) {
      fail(node, `log ${core.prevIndex}…${core.lastIndex}, model ${log.prevIndex}…${log.lastIndex}`);
    }
    for (const i of [log.prevIndex, log.prevIndex + 1, log.lastIndex, core.commitIndex]) {
      if (core.termAt(i) !== log.termAt(i))
        fail(node, `term at ${i}: ${core.termAt(i)}, model ${log.termAt(i)}`);
    }
    for (let i = log.entries.length - 1; i >= 0; i--) {
      const e = log.entries[i]!;
      if (e.kind !== EntryKind.config) continue;
      if (core.configIndex !== e.index)
        fail(node, `config of ${core.configIndex} in force, newest is ${e.index}`);
      break;
    }
  }
}

export function fail(node: CheckedNode, what: string): never {
  throw new SafetyViolation(`node ${node.id}: ${what}`);
}
