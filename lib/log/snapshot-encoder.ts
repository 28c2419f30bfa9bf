import { createHash } from 'node:crypto';
import { copyBytes, writeU32 } from '../../protocol/byte-writer.ts';
import type { SnapshotMeta } from '../core/types.ts';
import {
  CHUNK_BYTES,
  CHUNK_HEADER_BYTES,
  chunkCrc,
  encodeSnapshotFooter,
  encodeSnapshotHeader,
} from './snapshot-format.ts';
import type { SnapshotOrigin } from './snapshot-format.ts';

/** Lays out a snapshot file from its first byte to its last, content of any size in pieces of any size. */
export class SnapshotEncoder {
  readonly header: Uint8Array;
  readonly #hash = createHash('sha256');
  readonly #chunk: Uint8Array = new Uint8Array(CHUNK_HEADER_BYTES + CHUNK_BYTES);
  #filled = 0;
  #chunkCount = 0;
  #totalBytes = 0;

  constructor(meta: SnapshotMeta, owner: number, origin?: SnapshotOrigin) {
    this.header = encodeSnapshotHeader(meta, owner, origin);
  }

  /** Takes content; yields the chunks that are full now, each valid until the next is asked for. */
  *add(content: Uint8Array): Generator<Uint8Array, void, undefined> {
    this.#totalBytes += content.length;
    for (let at = 0; at < content.length;) {
      const take = Math.min(content.length - at, CHUNK_BYTES - this.#filled);
      copyBytes(content, at, at + take, this.#chunk, CHUNK_HEADER_BYTES + this.#filled);
      this.#filled += take;
      at += take;
      if (this.#filled === CHUNK_BYTES) yield this.#seal();
    }
  }

  /** What is left of the content, and the footer. */
  finish(): { readonly bytes: readonly Uint8Array[]; readonly digest: string } {
    const rest = this.#filled > 0 ? [this.#seal()] : [];
    const sha256 = this.#hash.digest();
    const footer = encodeSnapshotFooter({
      totalBytes: this.#totalBytes,
      chunkCount: this.#chunkCount,
      sha256,
    });
    return { bytes: [...rest, footer], digest: sha256.toString('hex') };
  }

  #seal(): Uint8Array {
    const content = this.#chunk.subarray(CHUNK_HEADER_BYTES, CHUNK_HEADER_BYTES + this.#filled);
    writeU32(this.#chunk, 0, this.#filled);
    writeU32(this.#chunk, 4, chunkCrc(this.#chunkCount, content));
    const bytes = this.#chunk.subarray(0, CHUNK_HEADER_BYTES + this.#filled);
    this.#hash.update(bytes.subarray(0, CHUNK_HEADER_BYTES));
    this.#chunkCount++;
    this.#filled = 0;
    return bytes;
  }
}
