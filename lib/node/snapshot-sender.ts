import { ByteWriter } from '../../protocol/byte-writer.ts';
import { Lane, SnapshotStatus } from '../../protocol/constants.ts';
import { encodeSnapshotBegin, encodeSnapshotChunk, type SnapshotAck } from '../../protocol/peer-transfer.ts';
import type { NodeId, Term } from '../core/types.ts';
import type { LogStore, SnapshotReader } from '../log/log-store.ts';
import type { Transport } from '../transport/transport.ts';
import type { Runtime } from './runtime.ts';

const CHUNK_BYTES = 256 << 10;
/** Sent and not acknowledged. */
const WINDOW_BYTES = 4 * CHUNK_BYTES;
/** The entries everybody waits for share the network, the disks and the event loops with this. */
const BYTES_PER_MS = (64 << 20) / 1000;
/** How far a transfer may be ahead of that rate: timers are coarse. */
const AHEAD_MS = 20;

/**
 * Streams the newest snapshot to one follower on the bulk lane, a few chunks ahead of its acks. The follower says how
 * far it has got, so a transfer that broke off goes on where it was.
 */
export class SnapshotSender {
  readonly #peer: NodeId;
  readonly #term: Term;
  readonly #transport: Transport;
  readonly #runtime: Runtime;
  readonly #onEnd: (installed: boolean) => void;
  #reader: SnapshotReader | null = null;
  #sent = 0;
  #acked = 0;
  #started = false;
  #answered = false;
  #pumping = false;
  #ended = false;
  /** When what was sent so far should have been sent, at the rate allowed. */
  #paidUntilMs = 0;
  #cancelPause: (() => void) | null = null;
  /** Moves with every ack: a transfer is given up for lack of progress, never for taking long. */
  progressMs: number;

  constructor(
    peer: NodeId,
    term: Term,
    transport: Transport,
    runtime: Runtime,
    onEnd: (installed: boolean) => void,
  ) {
    this.#peer = peer;
    this.#term = term;
    this.#transport = transport;
    this.#runtime = runtime;
    this.progressMs = runtime.now();
    this.#onEnd = onEnd;
  }

  /**
   * Index of the snapshot on its way: the log must not be compacted past it meanwhile. 0 until the follower has
   * answered: one that is gone keeps nobody from compacting.
   */
  get index(): number {
    return this.#answered ? (this.#reader?.snapshot.meta.index ?? 0) : 0;
  }

  async start(log: LogStore): Promise<void> {
    const latest = log.snapshots.latest;
    if (latest === null) {
      this.end(false);
      return;
    }
    try {
      this.#reader = await log.snapshots.open(latest);
    } catch {
      this.end(false);
      return;
    }
    if (this.#ended) {
      await this.#reader.close();
      return;
    }
    this.#begin();
  }

  acked(ack: SnapshotAck, nowMs: number): void {
    const reader = this.#reader;
    if (this.#ended || reader === null) return;
    const { meta } = reader.snapshot;
    if (ack.index !== meta.index || ack.term !== meta.term) return;
    this.progressMs = nowMs;
    this.#answered = true;
    if (ack.status === SnapshotStatus.installed) {
      this.end(true);
    } else if (ack.status === SnapshotStatus.more) {
      this.#acked = ack.nextOffset;
      if (!this.#started) {
        this.#started = true;
        this.#sent = ack.nextOffset;
      }
      void this.#pump();
    } else {
      this.end(false);
    }
  }

  /** The lane came up (again). */
  laneUp(): void {
    if (!this.#ended && this.#reader !== null) this.#begin();
  }

  end(installed: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancelPause?.();
    // Whether the file could be closed is of no interest to anyone any more.
    this.#reader?.close().catch(() => undefined);
    this.#onEnd(installed);
  }

  /** Announces the snapshot; the follower's answer says from where to send. */
  #begin(): void {
    this.#started = false;
    const { snapshot } = this.#reader!;
    const out = new ByteWriter(1024);
    encodeSnapshotBegin(out, {
      leaderTerm: this.#term,
      meta: snapshot.meta,
      sizeBytes: snapshot.sizeBytes,
      digest: snapshot.digest,
    });
    this.#transport.send(this.#peer, Lane.bulk, [out.buffer.subarray(0, out.position)]);
    this.#transport.flush();
  }

  #mayGoOn(): boolean {
    return !this.#ended && this.#started;
  }

  /** Whether to send nothing for a moment, to keep to the rate. */
  #pauses(): boolean {
    if (this.#cancelPause !== null) return true;
    const aheadMs = this.#paidUntilMs - this.#runtime.now();
    if (aheadMs <= AHEAD_MS) return false;
    this.#cancelPause = this.#runtime.timer(aheadMs, () => {
      this.#cancelPause = null;
      void this.#pump();
    });
    return true;
  }

  async #pump(): Promise<void> {
    if (this.#pumping) return;
    this.#pumping = true;
    const reader = this.#reader!;
    const { meta, sizeBytes } = reader.snapshot;
    try {
      while (
        !this.#ended &&
        this.#started &&
        this.#sent < sizeBytes &&
        this.#sent - this.#acked < WINDOW_BYTES &&
        !this.#pauses()
      ) {
        const offset = this.#sent;
        const content = await reader.read(offset, CHUNK_BYTES);
        // A new beginning while the disk was read has set another position.
        if (!this.#mayGoOn() || this.#sent !== offset) continue;
        const out = new ByteWriter(content.length + 64);
        const chunk = { leaderTerm: this.#term, index: meta.index, term: meta.term, offset };
        encodeSnapshotChunk(out, chunk, content);
        if (!this.#transport.send(this.#peer, Lane.bulk, [out.buffer.subarray(0, out.position)])) break;
        this.#sent = offset + content.length;
        this.#paidUntilMs = Math.max(this.#paidUntilMs, this.#runtime.now()) + content.length / BYTES_PER_MS;
        this.#transport.flush();
      }
    } catch {
      this.end(false);
    } finally {
      this.#pumping = false;
    }
  }
}
