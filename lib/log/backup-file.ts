import { CordwoodError } from '../../protocol/errors.ts';
import type { Disk } from './disk.ts';
import { SnapshotFileReader } from './snapshot-file.ts';
import type { SnapshotOrigin } from './snapshot-format.ts';
import type { SnapshotMeta } from '../core/types.ts';

/** Read at a time: one chunk of the file. */
const READ_BYTES = 1 << 20;

/** A backup file, open and known to be whole. */
export class BackupFile {
  readonly meta: SnapshotMeta;
  readonly origin: SnapshotOrigin;
  /** Of the content. */
  readonly sizeBytes: number;
  readonly fileBytes: number;
  /** SHA-256 of the content, hex: names the backup. */
  readonly digest: string;
  readonly #reader: SnapshotFileReader;

  /**
   * Opens a backup and reads it to its end: every checksum and the digest over all of it.
   *
   * @throws CordwoodError `SNAPSHOT_DAMAGED` if it is no backup, or not whole
   */
  static open(disk: Disk, path: string): BackupFile {
    const reader = new SnapshotFileReader(disk, path);
    try {
      if (reader.origin === undefined)
        throw new CordwoodError('SNAPSHOT_DAMAGED', `${path}: a node's own snapshot, and no backup`);
      reader.verify(true);
      return new BackupFile(reader, reader.origin);
    } catch (error) {
      reader.close();
      throw error;
    }
  }

  private constructor(reader: SnapshotFileReader, origin: SnapshotOrigin) {
    const { meta, sizeBytes, digest } = reader.snapshot;
    this.meta = meta;
    this.origin = origin;
    this.sizeBytes = sizeBytes;
    this.digest = digest;
    this.fileBytes = reader.fileBytes;
    this.#reader = reader;
  }

  /** The state, piece by piece; each piece belongs to whoever takes it. Throws `SNAPSHOT_DAMAGED`. */
  *content(): Generator<Uint8Array, void, undefined> {
    for (let offset = 0; offset < this.sizeBytes;) {
      const piece = this.#reader.read(offset, READ_BYTES);
      offset += piece.length;
      yield piece;
    }
  }

  close(): void {
    this.#reader.close();
  }
}
