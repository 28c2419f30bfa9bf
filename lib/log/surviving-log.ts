import { CordwoodError } from '../../protocol/errors.ts';
import type { Config, HardState, Index, SnapshotMeta, Term } from '../core/types.ts';
import type { Disk } from './disk.ts';
import type { Identity } from './identity.ts';
import { inspectDirectory } from './inspect-directory.ts';
import type { DirectoryReport } from './inspect-directory.ts';
import type { LogImage } from './log-image.ts';
import { readEntries } from './log-reader.ts';
import { missingLog, recoverLog } from './log-recovery.ts';
import type { LogSlice } from './log-store.ts';
import type { Beginning } from './new-directory.ts';
import { LOG_DIRECTORY, ownerOf } from './open-log-files.ts';
import { followsOn, recoverBehind } from './recover-behind.ts';
import { SnapshotFileReader } from './snapshot-file.ts';

const READ_BYTES = 4 << 20;

/**
 * What can be used of a stopped node's directory, damaged or not: the newest whole snapshot, and the entries that follow
 * it without a gap. Changes nothing.
 */
export class SurvivingLog {
  readonly report: DirectoryReport;
  readonly identity: Identity;
  readonly hardState: HardState;
  /** End of what can be used. */
  readonly lastIndex: Index;
  readonly lastTerm: Term;
  /** Everything up to here was committed: a snapshot holds nothing else. 0: there is none. */
  readonly committedIndex: Index;
  /** The leader's clock in the last entries, milliseconds since 1970; 0 if it is not known. */
  readonly lastTimeMs: number;
  /** The newest configuration up to `lastIndex`; null: the one of the identity. */
  readonly config: Config | null;
  readonly #disk: Disk;
  readonly #snapshot: { readonly file: string; readonly meta: SnapshotMeta } | null;
  readonly #image: LogImage;

  /** @throws CordwoodError `LOG_DAMAGED` if nothing in `path` can be used, `BAD_OPTION` if it is no data directory */
  constructor(disk: Disk, path: string) {
    this.report = inspectDirectory(disk, path);
    const { identity, snapshots, hardState } = this.report;
    if (identity === null)
      throw new CordwoodError('LOG_DAMAGED', `${path}: nobody can tell whose it is without its identity`);
    this.#disk = disk;
    this.identity = identity;
    this.hardState = hardState;
    const newest = snapshots.find(({ snapshot }) => snapshot !== null);
    const meta = newest?.snapshot?.meta ?? null;
    this.#snapshot = meta === null || newest === undefined ? null : { file: newest.file, meta };
    this.committedIndex = meta?.index ?? 0;

    const owner = ownerOf(identity.clusterId, identity.nodeId, identity.incarnation);
    const logDirectory = `${path}/${LOG_DIRECTORY}`;
    const found =
      (disk.exists(logDirectory) ? recoverLog(disk, logDirectory, owner) : null) ?? missingLog(logDirectory);
    const recovered = recoverBehind(disk, logDirectory, owner, meta, found) ?? found;
    const { image } = recovered;
    const follows = followsOn(image, meta);
    if (meta === null && !follows)
      throw new CordwoodError(
        'LOG_DAMAGED',
        `${path}: there is no whole snapshot, and the log lacks its begin`,
      );
    this.#image = image;
    this.lastIndex = follows ? image.lastIndex : this.committedIndex;
    this.lastTerm = follows ? image.lastTerm : (meta?.term ?? 0);
    this.lastTimeMs = follows ? recovered.lastTimeMs : 0;
    const inLog = follows ? recovered.configs.at(-1) : undefined;
    this.config =
      inLog !== undefined && inLog.index > this.committedIndex
        ? inLog.config
        : (meta?.config ?? inLog?.config ?? null);
  }

  /** For a new directory that begins with all of it, and then `extra`. */
  beginning(hardState: HardState, extra: LogSlice): Beginning {
    const [disk, image, snapshot] = [this.#disk, this.#image, this.#snapshot];
    const { committedIndex, lastIndex } = this;
    return {
      hardState,
      snapshot:
        snapshot === null ? null : { meta: snapshot.meta, content: () => contentOf(disk, snapshot.file) },
      *entries() {
        for (let next = committedIndex + 1; next <= lastIndex;) {
          const slice = readEntries(disk, image, next, lastIndex, READ_BYTES);
          yield slice;
          next = slice.last + 1;
        }
        yield extra;
      },
    };
  }
}

function* contentOf(disk: Disk, file: string): Generator<Uint8Array, void, undefined> {
  const reader = new SnapshotFileReader(disk, file);
  try {
    for (let offset = 0; offset < reader.snapshot.sizeBytes;) {
      const piece = reader.read(offset, READ_BYTES);
      offset += piece.length;
      yield piece;
    }
  } finally {
    reader.close();
  }
}
