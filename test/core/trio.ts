import { RaftCore } from '../../lib/core/raft-core.ts';
import type { CoreInit, CoreOptions } from '../../lib/core/state.ts';
import type { Message, NodeId } from '../../lib/core/types.ts';
import { bootstrapOf } from '../../lib/node/options.ts';

export const T = 1000;

/** Three cores, messages carried by hand, one clock. Writes are durable at once. */
export class Trio {
  now = 0;
  readonly cores: Map<NodeId, RaftCore> = new Map();
  readonly terms: Map<NodeId, { term: number; vote: NodeId }> = new Map();
  queue: { from: NodeId; to: NodeId; message: Message }[] = [];

  readonly #options: Partial<CoreOptions>;

  constructor(leases = true, options: Partial<CoreOptions> = {}) {
    this.#options = options;
    for (const id of [1, 2, 3]) this.start(id, leases);
  }

  /** `found`: what is on its disk; nothing, unless said. */
  start(id: NodeId, leases = true, found: Partial<CoreInit> = {}): RaftCore {
    const options: CoreOptions = {
      id,
      heartbeatMs: 100,
      electionTimeoutMs: T,
      lostLeaderDelayMs: 8,
      maxMessageBytes: 1000,
      maxInflightMessages: 8,
      maxInflightBytes: 1000,
      emptyEntryBytes: 40,
      leases,
      seed: id,
      ...this.#options,
    };
    const init: CoreInit = {
      hardState: this.terms.get(id) ?? { term: 0, vote: 0 },
      snapshot: null,
      prevIndex: 0,
      prevTerm: 0,
      termRuns: [],
      lastIndex: 0,
      sizes: [],
      configs: [],
      bootstrap: bootstrapOf([1, 2, 3].map((n) => ({ id: n, peerAddress: `n${n}` }))),
      nowMs: this.now,
      ...found,
    };
    const core = new RaftCore(options, init);
    this.cores.set(id, core);
    return core;
  }

  core(id: NodeId): RaftCore {
    return this.cores.get(id)!;
  }

  turn(id: NodeId): void {
    const core = this.core(id);
    core.clock(this.now);
    core.tick();
    for (let again = true; again;) {
      const { persist, messages } = core.drain();
      for (const { to, message } of messages) this.queue.push({ from: id, to, message });
      if (persist?.hardState) this.terms.set(id, persist.hardState);
      if (persist) core.durable(persist.ticket);
      again = persist !== null;
    }
  }

  /** Runs turns and delivers messages for which `passes` holds, until all is quiet. */
  settle(passes: (from: NodeId, to: NodeId, message: Message) => boolean = () => true): void {
    for (let round = 0; round < 50; round++) {
      for (const id of this.cores.keys()) this.turn(id);
      const messages = this.queue.splice(0);
      if (messages.length === 0) return;
      for (const { from, to, message } of messages) {
        if (passes(from, to, message)) this.receive(from, to, message);
      }
    }
  }

  receive(from: NodeId, to: NodeId, message: Message): void {
    const core = this.core(to);
    core.clock(this.now);
    const entries =
      message.kind === 'append'
        ? Array.from({ length: message.last - message.prevIndex }, () => ({
            term: message.term,
            kind: 0 as const,
            sizeBytes: 40,
          }))
        : [];
    core.receive(from, message.kind === 'append' ? { ...message, entries } : message);
  }

  pass(ms: number): void {
    this.now += ms;
  }

  /** Elects node 1 and lets a round of heartbeats go by. */
  lead(): RaftCore {
    while (this.core(1).role !== 'leader') {
      this.pass(50);
      // Only node 1's timer runs: the others hear of nothing else.
      this.settle((from, _to, m) => from === 1 || m.kind !== 'voteRequest');
      for (const id of [2, 3]) if (this.core(id).role === 'leader') throw new Error('the wrong leader');
    }
    this.settle();
    this.pass(100);
    this.settle();
    return this.core(1);
  }
}
