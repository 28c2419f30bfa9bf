import { readU32 } from '../../protocol/byte-writer.ts';
import type { Sink } from '../node/sink.ts';
import type { LeaderInfo, NodeStatus, Requests } from '../node/types.ts';

/** Answers beyond this are not gathered until the end of the turn. */
const SPILL_BYTES = 256 << 10;

/** Frames of all connections since the start: requests by kind, answers by status. */
export class FrameTotals {
  readonly kinds: Float64Array = new Float64Array(256);
  readonly statuses: Float64Array = new Float64Array(256);
}

/**
 * The node as one connection sees it: passes requests on to answer into `sink`, and knows how many of them have no
 * answer yet. So a client that has said all it will say (its FIN has come, or this node stops) still gets every
 * answer it waits for, and one that waits for none is let go at once.
 */
export class CountedRequests implements Requests {
  readonly #node: Requests;
  readonly #sink: Sink;
  readonly #totals: FrameTotals;
  #outstanding = 0;

  constructor(node: Requests, sink: Sink, totals: FrameTotals) {
    this.#node = node;
    this.#sink = sink;
    this.#totals = totals;
  }

  get outstanding(): number {
    return this.#outstanding;
  }

  /** Counts the response frames in `bytes[0, end)`, which are about to leave. */
  answered(bytes: Uint8Array, end: number): void {
    let frames = 0;
    const { statuses } = this.#totals;
    for (let at = 0; at < end; at += readU32(bytes, at) + 4) {
      statuses[bytes[at + 5]!]!++;
      frames++;
    }
    this.#outstanding -= frames;
  }

  submit(bytes: Uint8Array, start: number, end: number, _sink: Sink): void {
    let frames = 0;
    const { kinds } = this.#totals;
    for (let at = start; at < end; at += readU32(bytes, at) + 4) {
      kinds[bytes[at + 4]!]!++;
      frames++;
    }
    this.#outstanding += frames;
    this.#node.submit(bytes, start, end, this.#sink);
  }

  query(bytes: Uint8Array, start: number, end: number, _sink: Sink): void {
    this.#outstanding++;
    this.#totals.kinds[bytes[start + 4]!]!++;
    this.#node.query(bytes, start, end, this.#sink);
    // Some are answered at once, and a chunk holds thousands of them.
    if (this.#sink.out.position >= SPILL_BYTES) this.#sink.flush();
  }

  detach(_sink: Sink): void {
    this.#outstanding = 0;
    this.#node.detach(this.#sink);
  }

  get saturated(): boolean {
    return this.#node.saturated;
  }

  onRoom(callback: () => void): void {
    this.#node.onRoom(callback);
  }

  onLeader(listener: (leader: LeaderInfo | null) => void): () => void {
    return this.#node.onLeader(listener);
  }

  get leader(): LeaderInfo | null {
    return this.#node.leader;
  }

  status(): NodeStatus {
    return this.#node.status();
  }

  get clusterId(): string {
    return this.#node.clusterId;
  }

  get id(): number {
    return this.#node.id;
  }

  get maxFrameBytes(): number {
    return this.#node.maxFrameBytes;
  }
}
