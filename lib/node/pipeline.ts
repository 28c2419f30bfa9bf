import { RECORD_HEADER_BYTES, Status } from '../../protocol/constants.ts';
import { recordBytes } from '../../protocol/record.ts';
import type { RaftCore } from '../core/raft-core.ts';
import { Batcher, type Batch, type Run } from './batcher.ts';
import { Proposals } from './proposals.ts';
import type { Records } from './records.ts';
import type { Replies } from './replies.ts';
import type { Sink } from './sink.ts';

/** Batches in flight at most; a second one starts only when the first is late, see `hasRoom`. */
const MAX_PIPELINE = 8;
const LATE_MS = 1;

/** Where a run of frames goes that has no place here any more. */
export type Submit = (bytes: Uint8Array, start: number, end: number, sink: Sink) => void;

/** A leader's batches, from the first frame to the proposal, and what their clients are told if leadership ends. */
export class Pipeline {
  readonly batcher: Batcher;
  readonly proposals: Proposals = new Proposals();
  readonly #core: RaftCore;
  readonly #records: Records;
  readonly #replies: Replies;

  constructor(core: RaftCore, records: Records, replies: Replies, maxBatchBytes: number) {
    this.#core = core;
    this.#records = records;
    this.#replies = replies;
    this.batcher = new Batcher(records.batchArena, maxBatchBytes);
  }

  /**
   * Bytes that wait, or are under way. A batch that the followers' disks have committed is under way until this node's
   * own disk has it, for so long it stays in memory.
   */
  get bytes(): number {
    const { inFlightBytes } = this.proposals;
    // What others' terms have left uncommitted waits for no client of this node.
    const leads = this.#core.role === 'leader';
    const underWay = leads ? Math.max(inFlightBytes, this.#records.pinnedBytes) : inFlightBytes;
    return this.batcher.queuedBytes + underWay;
  }

  /** Whether a batch waits that could be proposed now. */
  isReady(now: number): boolean {
    return this.batcher.queuedBytes > 0 && this.#hasRoom(now);
  }

  /** Proposes what waits, as far as there is room. */
  propose(now: number): void {
    const core = this.#core;
    while (this.isReady(now)) {
      const batch = this.batcher.take();
      if (batch === null) return;
      this.#records.layCreated(core.takeCreated());
      const index = core.propose(recordBytes(batch.bodyBytes));
      if (index === 0) {
        this.#refuse(batch, Status.noLeader, 'leadership was just lost');
        continue;
      }
      this.#records.seal(batch, index, core.term);
      this.batcher.done(batch);
      this.proposals.add(index, batch.runs, batch.bodyBytes, now);
    }
  }

  /** Leadership is lost: whether what was proposed will be committed nobody here can say. */
  abandon(message: string): void {
    for (const { index, runs } of this.proposals.takeAll()) {
      const record = this.#records.cache.get(index);
      if (record) this.#refuseRuns(record.slab.bytes, record.offset, runs, Status.unknown, message);
    }
  }

  /** Batches that never got an index are certainly not applied: they go where the leader is now. */
  reroute(submit: Submit): void {
    for (let batch = this.batcher.take(); batch !== null; batch = this.batcher.take()) {
      const { slab } = batch;
      eachRun(batch.offset, batch.runs, (start, end, sink) => {
        submit(slab.bytes, start, end, sink);
      });
      this.batcher.done(batch);
    }
  }

  /** The node stops: whatever waits is refused. */
  refuseAll(status: Status, message: string): void {
    for (let batch = this.batcher.take(); batch !== null; batch = this.batcher.take()) {
      this.#refuse(batch, status, message);
    }
  }

  /** The sink takes no more answers. */
  detach(sink: Sink): void {
    this.batcher.detach(sink);
    this.proposals.detach(sink);
  }

  /**
   * A batch goes at once when nothing is in flight. Behind one that is on its way it waits and grows, unless it is
   * full or the one before is late: on a fast disk and network one fat batch at a time costs least, on slow ones
   * several keep both busy.
   */
  #hasRoom(now: number): boolean {
    const { inFlight } = this.proposals;
    // Nothing is taken during a hand-over: to wake for it would keep the loop spinning until it is over.
    if (this.#core.transferring || inFlight >= MAX_PIPELINE) return false;
    if (inFlight === 0) return true;
    return this.batcher.hasFull || now - this.proposals.oldestMs >= LATE_MS;
  }

  #refuse(batch: Batch, status: Status, message: string): void {
    this.#refuseRuns(batch.slab.bytes, batch.offset, batch.runs, status, message);
    this.batcher.done(batch);
  }

  /** Answers the runs of the record at `offset` alike. */
  #refuseRuns(
    bytes: Uint8Array,
    offset: number,
    runs: readonly Run[],
    status: Status,
    message: string,
  ): void {
    eachRun(offset, runs, (start, end, sink) => {
      this.#replies.refuseRun(bytes, start, end, sink, status, message);
    });
  }
}

/** The runs of the record at `offset` whose clients are still there. */
function eachRun(
  offset: number,
  runs: readonly Run[],
  action: (start: number, end: number, sink: Sink) => void,
): void {
  let start = offset + RECORD_HEADER_BYTES;
  for (const run of runs) {
    const end = offset + RECORD_HEADER_BYTES + run.end;
    if (run.sink) action(start, end, run.sink);
    start = end;
  }
}
