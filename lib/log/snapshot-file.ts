import { createHash } from 'node:crypto';
import { CordwoodError } from '../../protocol/errors.ts';
import { readU32 } from '../../protocol/byte-writer.ts';
import type { SnapshotMeta } from '../core/types.ts';
import type { Disk } from './disk.ts';
import { readFully, writeFully } from './disk.ts';
import type { StoredSnapshot } from './log-store.ts';
import { SnapshotEncoder } from './snapshot-encoder.ts';
import {
  CHUNK_HEADER_BYTES,
  SNAPSHOT_FOOTER_BYTES,
  SNAPSHOT_HEADER_BYTES,
  chunkCrc,
  decodeSnapshotFooter,
  decodeSnapshotHeader,
  snapshotHeaderBytes,
} from './snapshot-format.ts';
import type { SnapshotOrigin } from './snapshot-format.ts';

/** Reads one snapshot file. Opening checks header, footer and size; content is checked chunk by chunk as it is read. */
export class SnapshotFileReader {
  readonly snapshot: StoredSnapshot;
  readonly owner: number;
  /** Of a backup. */
  readonly origin: SnapshotOrigin | undefined;
  readonly path: string;
  readonly fileBytes: number;
  readonly #disk: Disk;
  readonly #fd: number;
  readonly #contentOffset: number;
  readonly #chunkBytes: number;
  #chunk: Uint8Array;
  #chunkNumber = -1;

  /** `wholly`: all of it will be read, once, and from the disk where that can be had, not out of the kernel's cache. */
  constructor(disk: Disk, path: string, wholly = false) {
    this.#disk = disk;
    this.path = path;
    this.#fd = wholly ? disk.openDirect(path, 'read') : disk.open(path, 'read');
    try {
      this.fileBytes = disk.size(this.#fd);
      const first = this.#bytes(0, SNAPSHOT_HEADER_BYTES);
      const header = decodeSnapshotHeader(this.#bytes(0, snapshotHeaderBytes(first)));
      if (typeof header === 'string') throw damaged(path, header);
      const footer = decodeSnapshotFooter(
        this.#bytes(this.fileBytes - SNAPSHOT_FOOTER_BYTES, SNAPSHOT_FOOTER_BYTES),
      );
      if (footer === null) throw damaged(path, 'footer');
      const chunks = Math.ceil(footer.totalBytes / header.chunkBytes);
      const expected =
        header.contentOffset + footer.totalBytes + chunks * CHUNK_HEADER_BYTES + SNAPSHOT_FOOTER_BYTES;
      if (footer.chunkCount !== chunks || expected !== this.fileBytes) throw damaged(path, 'size');
      this.#contentOffset = header.contentOffset;
      this.#chunkBytes = header.chunkBytes;
      this.#chunk = new Uint8Array(Math.min(header.chunkBytes, footer.totalBytes) + CHUNK_HEADER_BYTES);
      this.owner = header.owner;
      this.origin = header.origin;
      const digest = Buffer.from(footer.sha256).toString('hex');
      this.snapshot = { meta: header.meta, sizeBytes: footer.totalBytes, digest };
    } catch (error) {
      disk.close(this.#fd);
      throw error;
    }
  }

  /** `maxBytes` of the content from `offset`, less only at the end. The caller owns them. */
  read(offset: number, maxBytes: number): Uint8Array {
    const length = Math.max(0, Math.min(maxBytes, this.snapshot.sizeBytes - offset));
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const number = Math.floor((offset + at) / this.#chunkBytes);
      const from = offset + at - number * this.#chunkBytes;
      const part = this.#loadChunk(number).subarray(from, from + length - at);
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
  }

  /** Reads everything. `deep` sums the SHA-256 too. Throws `SNAPSHOT_DAMAGED`. */
  verify(deep: boolean): void {
    const hash = deep ? createHash('sha256') : null;
    const chunks = Math.ceil(this.snapshot.sizeBytes / this.#chunkBytes);
    for (let number = 0; number < chunks; number++) {
      this.#loadChunk(number);
      hash?.update(this.#chunk.subarray(0, CHUNK_HEADER_BYTES));
    }
    if (hash !== null && hash.digest('hex') !== this.snapshot.digest) throw damaged(this.path, 'digest');
  }

  close(): void {
    this.#disk.close(this.#fd);
  }

  /** Content of a chunk; valid until the next is loaded. */
  #loadChunk(number: number): Uint8Array {
    const start = number * this.#chunkBytes;
    const length = Math.min(this.#chunkBytes, this.snapshot.sizeBytes - start);
    const content = this.#chunk.subarray(CHUNK_HEADER_BYTES, CHUNK_HEADER_BYTES + length);
    if (number === this.#chunkNumber) return content;
    this.#chunkNumber = -1;
    const position = this.#contentOffset + number * (this.#chunkBytes + CHUNK_HEADER_BYTES);
    const wanted = CHUNK_HEADER_BYTES + length;
    const got = readFully(this.#disk, this.#fd, this.#chunk, 0, wanted, position);
    if (
      got !== wanted ||
      readU32(this.#chunk, 0) !== length ||
      readU32(this.#chunk, 4) !== chunkCrc(number, content)
    ) {
      throw damaged(this.path, `chunk ${number}`);
    }
    this.#chunkNumber = number;
    return content;
  }

  #bytes(position: number, length: number): Uint8Array {
    if (position < 0 || length <= 0 || position + length > this.fileBytes)
      throw damaged(this.path, 'too short');
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, readFully(this.#disk, this.#fd, bytes, 0, length, position));
  }
}

/**
 * Synced a piece at a time: with all of it at the end, the log's next fdatasync would wait until the device has taken
 * the whole snapshot.
 */
const SYNC_BYTES: number = 4 << 20;

/** Writes one snapshot file, content of any size in pieces of any size. */
export class SnapshotFileWriter {
  readonly path: string;
  readonly #disk: Disk;
  readonly #fd: number;
  readonly #encoder: SnapshotEncoder;
  #position: number;
  #syncedTo = 0;

  constructor(disk: Disk, path: string, meta: SnapshotMeta, owner: number) {
    this.#disk = disk;
    this.path = path;
    this.#encoder = new SnapshotEncoder(meta, owner);
    this.#fd = disk.openDirect(path, 'create');
    try {
      this.#position = writeFully(disk, this.#fd, [this.#encoder.header], 0);
    } catch (error) {
      // Nobody else knows of it yet. On a full disk each attempt would leave a descriptor and a file behind.
      this.close();
      disk.unlink(path);
      throw error;
    }
  }

  write(content: Uint8Array): void {
    for (const chunk of this.#encoder.add(content)) {
      this.#position += writeFully(this.#disk, this.#fd, [chunk], this.#position);
      if (this.#position - this.#syncedTo < SYNC_BYTES) continue;
      this.#disk.datasync(this.#fd);
      this.#syncedTo = this.#position;
    }
  }

  /** Writes the footer and makes the file durable under the name it has; returns the digest. */
  finish(): string {
    const { bytes, digest } = this.#encoder.finish();
    this.#position += writeFully(this.#disk, this.#fd, bytes, this.#position);
    this.#disk.truncate(this.#fd, this.#position);
    this.#disk.datasync(this.#fd);
    return digest;
  }

  close(): void {
    this.#disk.close(this.#fd);
  }
}

function damaged(path: string, what: string): CordwoodError {
  return new CordwoodError('SNAPSHOT_DAMAGED', `${path}: ${what} does not verify`);
}
