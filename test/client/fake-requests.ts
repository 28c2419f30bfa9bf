import { Client } from '../../lib/client/index.ts';
import type { Channel } from '../../lib/client/channel.ts';
import { LocalChannel } from '../../lib/client/local-channel.ts';
import type { ClientOptions } from '../../lib/client/options.ts';
import type { Sink } from '../../lib/node/sink.ts';
import type { LeaderInfo, NodeStatus, Requests } from '../../lib/node/types.ts';
import { readU32 } from '../../protocol/byte-writer.ts';
import {
  encodeResponse,
  frameFlags,
  frameKind,
  frameRequestId,
  writeSeq,
  writeSession,
  writeWindow,
} from '../../protocol/client-codec.ts';
import { FRAME_HEADER_BYTES, type Status, WRITE_HEADER_BYTES } from '../../protocol/constants.ts';
import { ManualRuntime, settle } from '../node/support/snapshot-rig.ts';
import { FakeCluster, type Frame } from './fake-cluster.ts';

/** A node in this process, as far as a client sees it; answers at the end of the turn. */
export class FakeRequests implements Requests {
  readonly cluster: FakeCluster = new FakeCluster();
  readonly id = 1;
  readonly clusterId = 'local';
  readonly maxFrameBytes: number = 1 << 20;
  saturated = false;
  leader: LeaderInfo | null = { id: 1, address: '' };
  readonly sinks: Set<Sink> = new Set();
  /** All frames it has taken. */
  readonly frames: Frame[] = [];
  refuseWith = 0;
  closed?: Promise<void>;
  /** How long an answer takes, if the node has a clock. */
  delayMs = 0;
  runtime: ManualRuntime | null = null;
  /** Whether it answers a frame. */
  answers: (frame: Frame) => boolean = () => true;
  #listeners = new Set<(leader: LeaderInfo | null) => void>();
  #room: (() => void)[] = [];

  submit(bytes: Uint8Array, start: number, end: number, sink: Sink): void {
    for (let at = start; at < end; at += readU32(bytes, at) + 4) {
      this.#answer(bytes, at, at + readU32(bytes, at) + 4, WRITE_HEADER_BYTES, sink);
    }
  }

  query(bytes: Uint8Array, start: number, end: number, sink: Sink): void {
    this.#answer(bytes, start, end, FRAME_HEADER_BYTES, sink);
  }

  detach(sink: Sink): void {
    this.sinks.delete(sink);
  }

  onRoom(callback: () => void): void {
    if (this.saturated) this.#room.push(callback);
    else callback();
  }

  onLeader(listener: (leader: LeaderInfo | null) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  setLeader(leader: LeaderInfo | null): void {
    this.leader = leader;
    for (const listener of this.#listeners) listener(leader);
  }

  makeRoom(): void {
    this.saturated = false;
    for (const callback of this.#room.splice(0)) callback();
  }

  status(): NodeStatus {
    return {} as NodeStatus;
  }

  #answer(bytes: Uint8Array, start: number, end: number, header: number, sink: Sink): void {
    const write = header === WRITE_HEADER_BYTES;
    const frame: Frame = {
      kind: frameKind(bytes, start),
      flags: frameFlags(bytes, start),
      requestId: frameRequestId(bytes, start),
      window: write ? writeWindow(bytes, start) : 0,
      session: write ? writeSession(bytes, start) : 0,
      seq: write ? writeSeq(bytes, start) : 0,
      body: Buffer.from(bytes.slice(start + header, end)),
    };
    this.sinks.add(sink);
    this.frames.push(frame);
    if (!this.answers(frame)) return;
    const { status, body } =
      this.refuseWith === 0 ? this.cluster.execute(frame) : { status: this.refuseWith, body: undefined };
    const respond = (): void => {
      if (!this.sinks.has(sink)) return;
      encodeResponse(sink.out, frame.requestId, status as Status, body);
      sink.flush();
    };
    if (this.runtime !== null && this.delayMs > 0) this.runtime.timer(this.delayMs, respond);
    else setImmediate(respond);
  }
}

/** A client whose clock goes on when it is told to, and the node in this process that it asks. */
export class ClockedClient extends Client {
  readonly requests: FakeRequests;
  readonly runtime: ManualRuntime;

  constructor(
    options: Partial<ClientOptions> = {},
    openChannel: (node: FakeRequests) => Channel = (node) => new LocalChannel(node),
  ) {
    const node = new FakeRequests();
    const runtime = new ManualRuntime();
    super({ addresses: ['local:1'], preferLeader: false, ...options }, () => openChannel(node), runtime);
    node.runtime = runtime;
    this.requests = node;
    this.runtime = runtime;
    this.start();
  }

  /** Lets time go by, and happen what is due meanwhile. */
  async pass(ms: number): Promise<void> {
    for (const end = this.runtime.now() + ms; this.runtime.now() < end;) {
      this.runtime.advance(Math.min(Math.max(10, ms / 100), end - this.runtime.now()));
      await settle();
    }
  }
}
