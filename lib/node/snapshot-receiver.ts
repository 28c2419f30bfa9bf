import { ByteWriter, copyOf } from '../../protocol/byte-writer.ts';
import { Lane, SnapshotStatus } from '../../protocol/constants.ts';
import {
  CHUNK_HEADER_BYTES,
  encodeSnapshotAck,
  type SnapshotChunk,
  type SnapshotManifest,
} from '../../protocol/peer-transfer.ts';
import type { Index, NodeId, SnapshotMeta, Term } from '../core/types.ts';
import type { LogStore, SnapshotWriter } from '../log/log-store.ts';
import type { Transport } from '../transport/transport.ts';

export interface SnapshotReceiverEvents {
  readonly term: Term;
  /** A whole snapshot is durable here. Resolves to whether the state is now at least as new. */
  received(meta: SnapshotMeta): Promise<boolean>;
}

interface Staging {
  readonly manifest: SnapshotManifest;
  from: NodeId;
  writer: SnapshotWriter;
  /** Content up to here has arrived. */
  offset: number;
}

/**
 * Takes a snapshot in. What has arrived is kept while the connection or the leader changes: whoever offers the same
 * snapshot (index, term and digest) goes on where the last one stopped.
 */
export class SnapshotReceiver {
  readonly #log: LogStore;
  readonly #transport: Transport;
  readonly #events: SnapshotReceiverEvents;
  #staging: Staging | null = null;
  /** All of it has arrived, and is made durable and installed. */
  #finishing: Staging | null = null;
  /** Everything happens one after the other, in the order the frames came. */
  #chain: Promise<void> = Promise.resolve();
  #queuedBytes = 0;

  constructor(log: LogStore, transport: Transport, events: SnapshotReceiverEvents) {
    this.#log = log;
    this.#transport = transport;
    this.#events = events;
  }

  begin(from: NodeId, manifest: SnapshotManifest): void {
    this.#enqueue(() => this.#begin(from, manifest));
  }

  /** `bytes[start, end)` is the whole frame; its content is copied. */
  chunk(from: NodeId, chunk: SnapshotChunk, bytes: Uint8Array, start: number, end: number): void {
    // A sender keeps to its window; one that does not is not worth memory.
    if (this.#queuedBytes > 16 << 20) return;
    const content = copyOf(bytes, start + CHUNK_HEADER_BYTES, end);
    this.#queuedBytes += content.length;
    this.#enqueue(async () => {
      this.#queuedBytes -= content.length;
      await this.#chunk(from, chunk, content);
    });
  }

  /**
   * Now and then: tells the leader that a large snapshot which is being installed is not stuck, and lets go of one that
   * broke off when the log has everything up to `commit`, and with it what the snapshot would bring.
   */
  sweep(commit: Index): void {
    const finishing = this.#finishing;
    if (finishing !== null) {
      this.#ack(finishing.from, finishing.manifest.meta, finishing.offset, SnapshotStatus.more);
    }
    const staging = this.#staging;
    if (staging === null || staging.manifest.meta.index > commit) return;
    this.#enqueue(async () => {
      if (this.#staging === staging) await this.#drop();
    });
  }

  async close(): Promise<void> {
    await this.#chain;
    // What the disk does not let go of the next start removes.
    await this.#drop().catch(() => undefined);
  }

  #enqueue(step: () => Promise<void>): void {
    this.#chain = this.#chain.then(step).catch(async () => {
      // The disk refused, or what came was damaged: forget it; the leader starts over.
      const staging = this.#staging;
      await this.#drop().catch(() => undefined);
      if (staging) this.#ack(staging.from, staging.manifest.meta, 0, SnapshotStatus.busy);
    });
  }

  async #begin(from: NodeId, manifest: SnapshotManifest): Promise<void> {
    const { meta } = manifest;
    const old = this.#staging;
    if (
      old !== null &&
      old.manifest.digest === manifest.digest &&
      old.manifest.meta.index === meta.index &&
      old.manifest.meta.term === meta.term
    ) {
      old.from = from;
    } else {
      await this.#drop();
      this.#staging = { manifest, from, writer: await this.#create(from, meta), offset: 0 };
    }
    this.#ack(from, meta, this.#staging!.offset, SnapshotStatus.more);
    if (manifest.sizeBytes === this.#staging!.offset) await this.#commit(this.#staging!);
  }

  async #chunk(from: NodeId, chunk: SnapshotChunk, content: Uint8Array): Promise<void> {
    const staging = this.#staging;
    if (staging === null) return;
    const { meta, sizeBytes } = staging.manifest;
    if (chunk.index !== meta.index || chunk.term !== meta.term || chunk.offset !== staging.offset) return;
    if (chunk.offset + content.length > sizeBytes) throw new RangeError('more bytes than announced');
    await staging.writer.write(content);
    staging.offset += content.length;
    staging.from = from;
    this.#ack(from, meta, staging.offset, SnapshotStatus.more);
    if (staging.offset === sizeBytes) await this.#commit(staging);
  }

  async #commit(staging: Staging): Promise<void> {
    const { meta, digest } = staging.manifest;
    this.#staging = null;
    this.#finishing = staging;
    let status: SnapshotStatus = SnapshotStatus.damaged;
    try {
      await staging.writer.commit(digest);
      status = SnapshotStatus.busy;
      if (await this.#events.received(meta)) status = SnapshotStatus.installed;
    } finally {
      this.#finishing = null;
      this.#ack(staging.from, meta, staging.offset, status);
    }
  }

  async #create(from: NodeId, meta: SnapshotMeta): Promise<SnapshotWriter> {
    try {
      return await this.#log.snapshots.create(meta);
    } catch (error) {
      // Otherwise the leader waits for an answer until its patience is at an end.
      this.#ack(from, meta, 0, SnapshotStatus.busy);
      throw error;
    }
  }

  async #drop(): Promise<void> {
    const staging = this.#staging;
    this.#staging = null;
    await staging?.writer.abort();
  }

  #ack(to: NodeId, meta: SnapshotMeta, nextOffset: number, status: SnapshotStatus): void {
    const out = new ByteWriter(64);
    encodeSnapshotAck(out, {
      currentTerm: this.#events.term,
      index: meta.index,
      term: meta.term,
      nextOffset,
      status,
    });
    this.#transport.send(to, Lane.data, [out.buffer.subarray(0, out.position)]);
    this.#transport.flush();
  }
}
