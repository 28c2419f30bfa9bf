import fs from 'node:fs';
import { NodeDisk } from './node-disk.ts';
import { LOG_DIRECTORY, SNAPSHOT_DIRECTORY } from './open-log-files.ts';
import { segmentSequence } from './segment-format.ts';
import { parseSnapshotName } from './snapshot-format.ts';

/** How far the start of a node has read its directory, in bytes. */
export interface RecoveryProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** Counts what is read, where another thread can see it: `memory` holds one float64. */
export class CountingDisk extends NodeDisk {
  readonly #done: Float64Array;

  constructor(memory: SharedArrayBuffer) {
    super();
    this.#done = new Float64Array(memory);
  }

  override read(fd: number, into: Uint8Array, offset: number, length: number, position: number): number {
    const bytes = super.read(fd, into, offset, length, position);
    this.#done[0]! += bytes;
    return bytes;
  }
}

/** What a start will read: the segments, and the newest snapshot. */
export function readableBytes(directory: string): { readonly log: number; readonly snapshot: number } {
  const sizesOf = (folder: string, counts: (name: string) => boolean): number[] => {
    const path = `${directory}/${folder}`;
    if (!fs.existsSync(path)) return [];
    const names = fs.readdirSync(path).filter(counts).sort();
    return names.map((name) => fs.statSync(`${path}/${name}`, { throwIfNoEntry: false })?.size ?? 0);
  };
  const segments = sizesOf(LOG_DIRECTORY, (name) => segmentSequence(name) !== undefined);
  const snapshots = sizesOf(SNAPSHOT_DIRECTORY, (name) => parseSnapshotName(name) !== undefined);
  return { log: segments.reduce((sum, size) => sum + size, 0), snapshot: snapshots.at(-1) ?? 0 };
}
