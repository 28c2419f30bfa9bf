import { ByteWriter } from '../../../protocol/byte-writer.ts';
import {
  encodeErrorResponse,
  encodeResponse,
  frameKind,
  frameRequestId,
} from '../../../protocol/client-codec.ts';
import { Kind, Limits, Status } from '../../../protocol/constants.ts';
import { errorCodeOfStatus, type ErrorCode } from '../../../protocol/errors.ts';
import { encodeValue } from '../../../protocol/msgpack.ts';
import { readU32 } from '../../../protocol/byte-writer.ts';
import { ReplicatedState } from '../../../lib/machine/replicated-state.ts';
import { StackMachine } from '../../../lib/machine/stack-machine.ts';
import type { Sink } from '../../../lib/node/sink.ts';
import type { LeaderInfo, NodeStatus, PeerStatus, Requests } from '../../../lib/node/types.ts';

interface Work {
  readonly bytes: Buffer;
  readonly sink: Sink;
  readonly query: boolean;
}

/**
 * A node that is a cluster of one without a log: the real sessions and stacks, and switches for what happens to
 * nodes. Answers in a turn of its own, as nodes do.
 */
export class FakeNode implements Requests {
  readonly id = 1;
  readonly clusterId = 'fake';
  maxFrameBytes: number = Limits.maxFrameBytes;
  leader: LeaderInfo | null = { id: 1, address: '127.0.0.1:1' };
  quarantine: string | null = null;
  quarantineCode: ErrorCode = 'LOG_DAMAGED';
  diskFull = false;
  peers: PeerStatus[] = [];
  saturated = false;
  /** What every write and query is refused with. */
  refuseWith: Status | null = null;
  /** Requests are taken and not answered, until it is set to false and `work` is called. */
  holding = false;
  /** Write frames applied, as far as they were commands. */
  commandsApplied = 0;
  detached = 0;
  readonly state: ReplicatedState = new ReplicatedState(new StackMachine());
  #queue: Work[] = [];
  #scheduled = false;
  #leaderListeners = new Set<(leader: LeaderInfo | null) => void>();
  #roomCallbacks: (() => void)[] = [];

  /** Ends it, as a failure ends a node. */
  readonly end: () => void;
  readonly closed: Promise<void>;

  constructor() {
    let end: () => void = () => undefined;
    this.closed = new Promise((resolve) => (end = resolve));
    this.end = end;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  submit(bytes: Uint8Array, start: number, end: number, sink: Sink): void {
    this.#take({ bytes: Buffer.from(bytes.subarray(start, end)), sink, query: false });
  }

  query(bytes: Uint8Array, start: number, end: number, sink: Sink): void {
    this.#take({ bytes: Buffer.from(bytes.subarray(start, end)), sink, query: true });
  }

  detach(sink: Sink): void {
    this.detached++;
    this.#queue = this.#queue.filter((work) => work.sink !== sink);
  }

  onRoom(callback: () => void): void {
    if (this.saturated) this.#roomCallbacks.push(callback);
    else callback();
  }

  /** Ends the saturation. */
  makeRoom(): void {
    this.saturated = false;
    for (const callback of this.#roomCallbacks.splice(0)) callback();
  }

  onLeader(listener: (leader: LeaderInfo | null) => void): () => void {
    this.#leaderListeners.add(listener);
    return () => this.#leaderListeners.delete(listener);
  }

  setLeader(leader: LeaderInfo | null): void {
    this.leader = leader;
    for (const listener of this.#leaderListeners) listener(leader);
  }

  status(): NodeStatus {
    const member = { id: 1, peerAddress: '127.0.0.1:2' };
    const index = this.state.appliedIndex;
    return {
      id: 1,
      clusterId: this.clusterId,
      role: this.leader?.id === 1 ? 'leader' : 'follower',
      term: 1,
      leader: this.leader?.id ?? null,
      leaderAddress: this.leader?.address ?? null,
      clientAddress: '127.0.0.1:1',
      lastIndex: index,
      commitIndex: index,
      appliedIndex: index,
      durableIndex: index,
      firstIndex: 1,
      snapshotIndex: 0,
      logBytes: 0,
      sessions: this.state.sessionCount,
      config: { voters: [1], outgoing: [], learners: [], learnersNext: [], members: [member] },
      peers: this.peers,
      machine: 'stack',
      version: '0',
      uptimeMs: 0,
      quarantine: this.quarantine,
      quarantineCode: this.quarantine === null ? null : this.quarantineCode,
      diskFreeBytes: 0,
      diskLow: false,
      diskFull: this.diskFull,
    };
  }

  /** Answers everything that waits. */
  work(): void {
    const touched = new Set<Sink>();
    for (let work = this.#queue.shift(); work !== undefined; work = this.#queue.shift()) {
      const { bytes, sink, query } = work;
      if (query) this.#answer(bytes, sink.out);
      else this.#apply(bytes, sink.out);
      touched.add(sink);
      if (sink.out.position >= 1 << 20) sink.flush();
    }
    for (const sink of touched) sink.flush();
  }

  #take(work: Work): void {
    this.#queue.push(work);
    if (this.#scheduled || this.holding) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (!this.holding) this.work();
    });
  }

  #apply(bytes: Buffer, out: ByteWriter): void {
    const refused = this.refuseWith ?? (this.leader === null ? Status.noLeader : null);
    if (refused !== null) {
      for (let at = 0; at < bytes.length; at += readU32(bytes, at) + 4) this.#refuse(bytes, at, out, refused);
      return;
    }
    for (let at = 0; at < bytes.length; at += readU32(bytes, at) + 4) {
      const kind = frameKind(bytes, at);
      if (kind === Kind.command || kind === Kind.keyedCommand) this.commandsApplied++;
    }
    const meta = { index: this.state.appliedIndex + 1, timeMs: 1 };
    this.state.applyBatch(bytes, 0, bytes.length, meta, [{ end: bytes.length, out }]);
  }

  #answer(bytes: Buffer, out: ByteWriter): void {
    const requestId = frameRequestId(bytes, 0);
    switch (frameKind(bytes, 0)) {
      case Kind.ping:
        encodeResponse(out, requestId, Status.ok);
        break;
      case Kind.status:
        encodeResponse(out, requestId, Status.ok, encodeValue(this.status()));
        break;
      default:
        if (this.leader === null) this.#refuse(bytes, 0, out, Status.noLeader);
        else if (this.refuseWith !== null) this.#refuse(bytes, 0, out, this.refuseWith);
        else this.state.query(bytes, 0, bytes.length, out);
    }
  }

  #refuse(bytes: Buffer, at: number, out: ByteWriter, status: Status): void {
    encodeErrorResponse(
      out,
      frameRequestId(bytes, at),
      status,
      errorCodeOfStatus(status)!,
      'refused by the test',
    );
  }
}
