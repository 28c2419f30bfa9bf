import { randomFillSync, randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { CordwoodError } from '../../protocol/errors.ts';
import type { HardState, SnapshotMeta } from '../core/types.ts';
import type { Disk } from './disk.ts';
import { writeIdentity } from './identity.ts';
import type { Identity } from './identity.ts';
import { LogEngine } from './log-engine.ts';
import { defaultLogSizes } from './log-options.ts';
import type { LogSlice } from './log-store.ts';
import { LOG_DIRECTORY, SNAPSHOT_DIRECTORY, ownerOf } from './open-log-files.ts';
import { SnapshotFiles } from './snapshot-files.ts';
import { VoteFile } from './vote-file.ts';

/** What the first data directories of a new cluster begin with. */
export interface Beginning {
  readonly hardState: HardState;
  readonly snapshot: { readonly meta: SnapshotMeta; content(): Iterable<Uint8Array> } | null;
  /** Entries behind the snapshot, ascending and without a gap. */
  entries(): Iterable<LogSlice>;
}

/** Directories are made under this name and renamed when they are whole. */
const UNFINISHED = '.unfinished';

/**
 * Writes a data directory that begins with a state instead of empty. After a crash at any point there is nothing at
 * `target`, or all of it.
 *
 * @throws CordwoodError `NOT_EMPTY` if there is something at `target`
 */
export function writeNewDirectory(
  disk: Disk,
  target: string,
  whose: Omit<Identity, 'incarnation' | 'createdMs'>,
  beginning: Beginning,
): Identity {
  const directory = path.resolve(target);
  checkEmpty(directory);
  const unfinished = `${directory}${UNFINISHED}`;
  fs.rmSync(unfinished, { recursive: true, force: true });
  disk.mkdir(unfinished);
  const identity: Identity = { ...whose, incarnation: randomUUID(), createdMs: Date.now() };
  try {
    const owner = ownerOf(identity.clusterId, identity.nodeId, identity.incarnation);
    writeSnapshot(disk, unfinished, owner, beginning);
    writeLog(disk, unfinished, owner, beginning);
    disk.syncDirectory(unfinished);
    writeIdentity(disk, unfinished, identity);
    if (fs.existsSync(directory)) fs.rmdirSync(directory);
    disk.rename(unfinished, directory);
    disk.syncDirectory(path.dirname(directory));
  } catch (error) {
    fs.rmSync(unfinished, { recursive: true, force: true });
    throw error;
  }
  return identity;
}

/** Refuses a target that holds anything at all. */
export function checkEmpty(directory: string): void {
  const status = fs.statSync(directory, { throwIfNoEntry: false });
  if (status === undefined) return;
  if (status.isDirectory() && fs.readdirSync(directory).length === 0) return;
  throw new CordwoodError('NOT_EMPTY', `${directory} is there already, and not empty: it is left as it is`);
}

function writeSnapshot(disk: Disk, directory: string, owner: number, { snapshot }: Beginning): void {
  disk.mkdir(`${directory}/${SNAPSHOT_DIRECTORY}`);
  if (snapshot === null) return;
  const files = new SnapshotFiles(disk, `${directory}/${SNAPSHOT_DIRECTORY}`, owner, null);
  const handle = files.create(snapshot.meta);
  for (const piece of snapshot.content()) files.write(handle, piece);
  files.commit(handle);
}

function writeLog(disk: Disk, directory: string, owner: number, beginning: Beginning): void {
  const { hardState, snapshot } = beginning;
  const logDirectory = `${directory}/${LOG_DIRECTORY}`;
  const options = {
    sizes: defaultLogSizes,
    owner,
    random: (bytes: Uint8Array): void => {
      randomFillSync(bytes);
    },
  };
  LogEngine.format(disk, logDirectory, options);
  const { engine } = LogEngine.recover(disk, logDirectory, options, false);
  engine.keepVotes(
    VoteFile.create(disk, directory, owner, {
      hardState: { term: 0, vote: 0 },
      lastBlock: 0,
      quarantine: null,
    }),
  );
  const resetTo = snapshot === null ? null : { index: snapshot.meta.index, term: snapshot.meta.term };
  engine.write([{ ticket: 0, hardState, resetTo, first: 0, last: 0, records: [] }]);
  for (const { first, last, bytes } of beginning.entries()) {
    engine.write([{ ticket: 0, hardState: null, resetTo: null, first, last, records: [bytes] }]);
  }
  engine.sync();
  engine.close();
}
