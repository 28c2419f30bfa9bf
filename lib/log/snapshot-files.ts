import { CordwoodError } from '../../protocol/errors.ts';
import type { SnapshotMeta } from '../core/types.ts';
import { diskErrorCode } from './disk-error.ts';
import type { Disk } from './disk.ts';
import type { StoredSnapshot } from './log-store.ts';
import { SnapshotFileReader, SnapshotFileWriter } from './snapshot-file.ts';
import { parseSnapshotName, snapshotName } from './snapshot-format.ts';

/** What `snapshots/` held at the start. */
export interface RecoveredSnapshots {
  /** Newest snapshot whose every byte verifies. */
  readonly latest: StoredSnapshot | null;
  /** Snapshot files that do not verify, newest first: file name and what is wrong. */
  readonly unreadable: readonly { readonly path: string; readonly reason: string; readonly index: number }[];
  readonly bytes: number;
}

/**
 * Looks through `snapshots/` at the start: removes what writers left unfinished, and finds the newest snapshot that
 * verifies from first to last byte.
 */
export function recoverSnapshots(disk: Disk, directory: string, owner: number): RecoveredSnapshots {
  const unreadable: { path: string; reason: string; index: number }[] = [];
  let latest: StoredSnapshot | null = null;
  let bytes = 0;
  removeUnfinished(disk, directory);
  for (const name of disk.readdir(directory).reverse()) {
    const path = `${directory}/${name}`;
    const parsed = parseSnapshotName(name);
    if (parsed === undefined || latest !== null) continue;
    const { snapshot, fileBytes, problem } = readSnapshot(disk, path, parsed, owner, false);
    if (snapshot === null) unreadable.push({ path, reason: problem, index: parsed.index });
    else {
      latest = snapshot;
      bytes = fileBytes;
    }
  }
  // A snapshot whose name survived only in the kernel's memory must not be relied on.
  disk.syncDirectory(directory);
  return { latest, unreadable, bytes };
}

/** Removes what writers left that are gone. */
export function removeUnfinished(disk: Disk, directory: string): void {
  for (const name of disk.readdir(directory)) if (name.endsWith('.tmp')) disk.unlink(`${directory}/${name}`);
}

/** Every snapshot of a directory, newest first, each read to its end and its digest summed. Changes nothing. */
export function inspectSnapshots(
  disk: Disk,
  directory: string,
  owner: number,
): {
  readonly file: string;
  readonly fileBytes: number;
  readonly index: number;
  readonly snapshot: StoredSnapshot | null;
  readonly problem: string | null;
}[] {
  if (!disk.exists(directory)) return [];
  const names = disk.readdir(directory).reverse();
  return names.flatMap((name) => {
    const parsed = parseSnapshotName(name);
    if (parsed === undefined) return [];
    const file = `${directory}/${name}`;
    return [{ file, index: parsed.index, ...readSnapshot(disk, file, parsed, owner, true) }];
  });
}

type ReadSnapshot =
  | { readonly snapshot: StoredSnapshot; readonly fileBytes: number; readonly problem: null }
  | { readonly snapshot: null; readonly fileBytes: number; readonly problem: string };

/** Reads all of a snapshot; `deep` sums its digest too. Only errors that say nothing of the file are thrown. */
function readSnapshot(
  disk: Disk,
  path: string,
  named: { readonly index: number; readonly term: number },
  owner: number,
  deep: boolean,
): ReadSnapshot {
  let reader: SnapshotFileReader | null = null;
  try {
    reader = new SnapshotFileReader(disk, path);
    reader.verify(deep);
    const { meta } = reader.snapshot;
    if (meta.index !== named.index || meta.term !== named.term || reader.owner !== owner) {
      throw new CordwoodError('SNAPSHOT_DAMAGED', `${path} has the name or the owner of another`);
    }
    return { snapshot: reader.snapshot, fileBytes: reader.fileBytes, problem: null };
  } catch (error) {
    if (!CordwoodError.is(error) && diskErrorCode(error) !== 'EIO') throw error;
    return { snapshot: null, fileBytes: reader?.fileBytes ?? 0, problem: (error as Error).message };
  } finally {
    reader?.close();
  }
}

/**
 * The snapshots of a directory at work: writers and readers by handle. Keeps the newest snapshot and those that are
 * being read; removes the others.
 */
export class SnapshotFiles {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #owner: number;
  #latest: StoredSnapshot | null;
  #bytes = 0;
  readonly #writers = new Map<number, { readonly file: SnapshotFileWriter; readonly meta: SnapshotMeta }>();
  readonly #readers = new Map<number, SnapshotFileReader>();
  #nextHandle: number;

  constructor(
    disk: Disk,
    directory: string,
    owner: number,
    latest: StoredSnapshot | null,
    firstHandle: number = 1,
  ) {
    this.#nextHandle = firstHandle;
    this.#disk = disk;
    this.#directory = directory;
    this.#owner = owner;
    this.#latest = latest;
  }

  get latest(): StoredSnapshot | null {
    return this.#latest;
  }

  /** The newest snapshot, where that was not known yet. */
  adopt(latest: StoredSnapshot | null): void {
    this.#latest ??= latest;
  }

  /** Size of the newest snapshot's file, once one was written here. */
  get bytes(): number {
    return this.#bytes;
  }

  create(meta: SnapshotMeta): number {
    const handle = this.#nextHandle++;
    const path = `${this.#directory}/${snapshotName(meta.index, meta.term)}.${handle}.tmp`;
    if (this.#disk.exists(path)) this.#disk.unlink(path);
    this.#writers.set(handle, { file: new SnapshotFileWriter(this.#disk, path, meta, this.#owner), meta });
    return handle;
  }

  write(handle: number, content: Uint8Array): void {
    this.#writer(handle).file.write(content);
  }

  /**
   * Makes the snapshot count: fsync, read back and compare, rename, fsync of the directory. Older ones go afterwards.
   * A failure before the rename leaves nothing behind. If the directory cannot be synced the file stays, since it is whole,
   * but does not count: what it stands for is still in the log.
   */
  commit(handle: number, expectedDigest?: string): StoredSnapshot {
    const { file, meta } = this.#writer(handle);
    this.#writers.delete(handle);
    let stored: StoredSnapshot;
    try {
      let digest: string;
      try {
        digest = file.finish();
      } finally {
        file.close();
      }
      if (expectedDigest !== undefined && digest !== expectedDigest) {
        throw new CordwoodError('SNAPSHOT_DAMAGED', `snapshot ${meta.index}: the content has another digest`);
      }
      stored = this.#readBack(file.path);
      if (stored.digest !== digest) {
        throw new CordwoodError(
          'SNAPSHOT_DAMAGED',
          `${file.path}: what was read back is not what was written`,
        );
      }
      this.#disk.rename(file.path, this.#path(meta));
    } catch (error) {
      this.#remove(file.path);
      throw error;
    }
    this.#disk.syncDirectory(this.#directory);
    if (this.#latest === null || this.#latest.meta.index <= meta.index) this.#latest = stored;
    this.#removeOld();
    return stored;
  }

  abort(handle: number): void {
    const writer = this.#writers.get(handle);
    if (writer === undefined) return;
    this.#writers.delete(handle);
    writer.file.close();
    this.#remove(writer.file.path);
  }

  open(meta: SnapshotMeta): { handle: number; snapshot: StoredSnapshot } {
    const reader = new SnapshotFileReader(this.#disk, this.#path(meta));
    const handle = this.#nextHandle++;
    this.#readers.set(handle, reader);
    return { handle, snapshot: reader.snapshot };
  }

  read(handle: number, offset: number, maxBytes: number): Uint8Array {
    const reader = this.#readers.get(handle);
    if (reader === undefined) throw new CordwoodError('CLOSED', 'the snapshot reader is closed');
    return reader.read(offset, maxBytes);
  }

  release(handle: number): void {
    const reader = this.#readers.get(handle);
    if (reader === undefined) return;
    this.#readers.delete(handle);
    reader.close();
    this.#removeOld();
  }

  close(): void {
    for (const handle of [...this.#writers.keys()]) this.abort(handle);
    for (const handle of [...this.#readers.keys()]) this.release(handle);
  }

  #readBack(path: string): StoredSnapshot {
    const reader = new SnapshotFileReader(this.#disk, path, true);
    try {
      reader.verify(true);
      this.#bytes = reader.fileBytes;
      return reader.snapshot;
    } finally {
      reader.close();
    }
  }

  /** What cannot be removed now is tried again with the next snapshot: it is only in the way. */
  #removeOld(): void {
    if (this.#latest === null) return;
    const keep = new Set([...this.#readers.values()].map((reader) => reader.path));
    keep.add(this.#path(this.#latest.meta));
    try {
      for (const name of this.#disk.readdir(this.#directory)) {
        const path = `${this.#directory}/${name}`;
        if (parseSnapshotName(name) !== undefined && !keep.has(path)) this.#disk.unlink(path);
      }
    } catch {
      // Neither the new snapshot nor whoever read the old one is any worse for it.
    }
  }

  #remove(path: string): void {
    if (this.#disk.exists(path)) this.#disk.unlink(path);
  }

  #writer(handle: number): { readonly file: SnapshotFileWriter; readonly meta: SnapshotMeta } {
    const writer = this.#writers.get(handle);
    if (writer === undefined) throw new CordwoodError('CLOSED', 'the snapshot writer is closed');
    return writer;
  }

  #path(meta: { readonly index: number; readonly term: number }): string {
    return `${this.#directory}/${snapshotName(meta.index, meta.term)}`;
  }
}
