import { OVERWRITTEN } from '../../../lib/testing/sim-network.ts';
import { DirectLogStore } from '../../../lib/log/direct-log-store.ts';
import type { SnapshotMeta } from '../../../lib/core/types.ts';
import type { LogStore } from '../../../lib/log/log-store.ts';
import { MemoryDisk } from '../../../lib/log/memory-disk.ts';
import type { Runtime } from '../../../lib/node/runtime.ts';
import { SnapshotReceiver } from '../../../lib/node/snapshot-receiver.ts';
import { SnapshotTransfers } from '../../../lib/node/snapshot-transfers.ts';
import type { Transport } from '../../../lib/transport/transport.ts';
import { Lane, PeerKind } from '../../../protocol/constants.ts';
import { peerFrameKind } from '../../../protocol/peer-frame.ts';
import {
  decodeSnapshotAck,
  decodeSnapshotBegin,
  decodeSnapshotChunk,
} from '../../../protocol/peer-transfer.ts';
import { config } from '../../log/helpers.ts';

export const LEADER = 1;
export const PAUSE_MS = 100;
export const META: SnapshotMeta = { index: 50, term: 3, config, configIndex: 0 };

/** A clock that goes on when it is told to. */
export class ManualRuntime implements Runtime {
  #nowMs = 0;
  #timers: { readonly dueMs: number; readonly run: () => void }[] = [];

  now(): number {
    return this.#nowMs;
  }

  wallNow(): number {
    return this.#nowMs;
  }

  defer(callback: () => void): void {
    setImmediate(callback);
  }

  timer(delayMs: number, run: () => void): () => void {
    const timer = { dueMs: this.#nowMs + delayMs, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  random(): number {
    return 0;
  }

  advance(ms: number): void {
    this.#nowMs += ms;
    const due = this.#timers.filter(({ dueMs }) => dueMs <= this.#nowMs);
    this.#timers = this.#timers.filter(({ dueMs }) => dueMs > this.#nowMs);
    for (const { run } of due) run();
  }
}

/** Lets everything happen that does not wait for the clock. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 60; i++) await new Promise((resolve) => setImmediate(resolve));
}

function openLog(disk: MemoryDisk): LogStore {
  return new DirectLogStore({
    disk,
    path: 'node',
    events: { onDurable: () => undefined, onFailure: () => undefined },
    schedule: (_step, _bytes, run) => {
      setImmediate(run);
    },
    random: (bytes) => bytes.fill(1),
  });
}

interface Follower {
  readonly disk: MemoryDisk;
  readonly log: LogStore;
  readonly receiver: SnapshotReceiver;
  up: boolean;
  /** Frames to it are on their way for ever. */
  stuck: boolean;
}

/** A leader's transfers and the receivers of its followers, with nothing between them but links that can break. */
export class SnapshotRig {
  readonly runtime: ManualRuntime = new ManualRuntime();
  readonly leaderLog: LogStore = openLog(new MemoryDisk());
  readonly followers: Map<number, Follower> = new Map();
  readonly transfers: SnapshotTransfers;
  /** Offsets of the chunks sent to each follower. */
  readonly offsets: Map<number, number[]> = new Map();
  readonly begun: number[] = [];
  readonly ended: number[] = [];
  /** Connections that were given up for new ones. */
  readonly renewed: [peer: number, lane: Lane][] = [];
  bytesSent = 0;
  /** What a follower waits for before it says that it has installed a snapshot. */
  install: () => Promise<boolean> = () => Promise.resolve(true);

  constructor(ids: readonly number[]) {
    for (const id of ids) {
      const disk = new MemoryDisk();
      const log = openLog(disk);
      const receiver = new SnapshotReceiver(log, this.#transport(id), {
        term: 3,
        received: () => this.install(),
      });
      this.followers.set(id, { disk, log, receiver, up: true, stuck: false });
      this.offsets.set(id, []);
    }
    this.transfers = new SnapshotTransfers(
      this.leaderLog,
      this.#transport(LEADER),
      this.runtime,
      PAUSE_MS,
      (peer) => this.ended.push(peer),
    );
  }

  /** The leader takes a snapshot of so many bytes. */
  async snapshot(bytes: number): Promise<void> {
    const writer = await this.leaderLog.snapshots.create(META);
    const content = new Uint8Array(bytes);
    for (let i = 0; i < bytes; i += 97) content[i] = i;
    await writer.write(content);
    await writer.commit();
  }

  /** Breaks the connection to a follower, or mends it. */
  link(id: number, up: boolean): void {
    this.followers.get(id)!.up = up;
    if (up) this.transfers.laneUp(id);
  }

  /** Lets so much time go by, a millisecond at a time. */
  async run(ms: number): Promise<void> {
    for (let i = 0; i < ms; i++) {
      this.runtime.advance(1);
      await settle();
    }
  }

  #transport(self: number): Transport {
    return {
      send: (peer, lane, parts) => {
        const other = self === LEADER ? peer : self;
        const follower = this.followers.get(other)!;
        if (!follower.up) return false;
        const frame = Buffer.concat(parts);
        if (!follower.stuck) setImmediate(() => this.#deliver(other, self === LEADER, lane, frame));
        return true;
      },
      flush: () => undefined,
      setPeers: () => undefined,
      renew: (peer, lane) => this.renewed.push([peer, lane]),
      queuedBytes: () => 0,
      clientAddress: () => undefined,
      close: () => Promise.resolve(),
    };
  }

  #deliver(id: number, fromLeader: boolean, lane: Lane, frame: Buffer): void {
    const follower = this.followers.get(id)!;
    if (!follower.up) return;
    if (!fromLeader) {
      this.transfers.acked(id, decodeSnapshotAck(frame, 0, frame.length));
      return;
    }
    if (lane !== Lane.bulk) throw new Error('a snapshot on the lane of the entries');
    if (peerFrameKind(frame, 0) === PeerKind.snapshotBegin) {
      this.begun.push(id);
      follower.receiver.begin(LEADER, decodeSnapshotBegin(frame, 0, frame.length));
      return;
    }
    const chunk = decodeSnapshotChunk(frame, 0, frame.length);
    this.offsets.get(id)!.push(chunk.offset);
    this.bytesSent += frame.length;
    follower.receiver.chunk(LEADER, chunk, frame, 0, frame.length);
    // A socket reads into the same memory again.
    frame.fill(OVERWRITTEN);
  }
}
