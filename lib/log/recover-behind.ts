import type { Index, SnapshotMeta } from '../core/types.ts';
import { diskErrorCode } from './disk-error.ts';
import type { Disk } from './disk.ts';
import type { LogImage } from './log-image.ts';
import { recoverLog } from './log-recovery.ts';
import type { RecoveredLog } from './log-recovery.ts';
import { SEGMENT_HEADER_BYTES, segmentName, segmentSequence } from './segment-format.ts';
import { SegmentReader } from './segment-reader.ts';

/**
 * A damaged log without the segments that `snapshot`, which is whole, has made superfluous: as compaction might have left
 * it, but for the tail that it keeps for followers. Null: it is no part of the log that goes on behind the snapshot.
 *
 * Why that loses nothing: a segment says behind which entry it begins, and what lived in earlier ones is not beyond
 * that. It begins with the hard state, terms never go back, and the number of its first block stands in its header. So
 * all that an earlier segment can still say is entries that the snapshot covers. Without this one bit of rot in such
 * entries kept a node that is alone from starting, and took everything behind them from whoever recovers a cluster.
 */
export function recoverBehind(
  disk: Disk,
  directory: string,
  owner: number,
  snapshot: SnapshotMeta | null,
  damaged: RecoveredLog,
): RecoveredLog | null {
  if (snapshot === null || damaged.damage === null || !disk.exists(directory)) return null;
  const from = lastSegmentBehind(disk, directory, owner, snapshot.index);
  const rest = from === undefined ? null : recoverLog(disk, directory, owner, from);
  // A log that ends before the snapshot, or holds another entry there, says nothing of what was behind it.
  if (rest === null || !followsOn(rest.image, snapshot)) return null;
  // The later segments know every term that the earlier ones do; if they do not, they are not what they seem.
  if (rest.hardState.term < damaged.hardState.term) return null;
  return { ...rest, covered: rest.damage === null ? damaged.damage : null };
}

/** Whether the log goes on where the snapshot ends; without one, whether it has its beginning. */
export function followsOn(image: LogImage, snapshot: SnapshotMeta | null): boolean {
  const { index, term } = snapshot ?? { index: 0, term: 0 };
  if (image.segments.length === 0) return false;
  return image.prevIndex <= index && index <= image.lastIndex && image.termAt(index) === term;
}

/** Sequence number of the last segment that begins no later than behind entry `index`. */
function lastSegmentBehind(disk: Disk, directory: string, owner: number, index: Index): number | undefined {
  return disk
    .readdir(directory)
    .map(segmentSequence)
    .findLast((sequence) => {
      if (sequence === undefined) return false;
      const reader = new SegmentReader(disk, `${directory}/${segmentName(sequence)}`, SEGMENT_HEADER_BYTES);
      try {
        const header = reader.readHeader();
        if (typeof header === 'string' || header.owner !== owner) return false;
        return header.sequence === sequence && header.prevIndex <= index;
      } catch (error) {
        if (diskErrorCode(error) !== 'EIO') throw error;
        return false;
      } finally {
        reader.close();
      }
    });
}
