import type { HardState } from '../core/types.ts';
import type { LogImage } from './log-image.ts';
import type { RecoveredLog } from './log-recovery.ts';
import type { LogDamage } from './log-store.ts';
import type { RecoveredSnapshots } from './snapshot-files.ts';
import type { VoteFile } from './vote-file.ts';

/** What the log's own records say of it. */
export interface LogEnd {
  readonly image: LogImage;
  readonly hardState: HardState;
  /** Number of its last block. */
  readonly lastBlock: number;
}

/** Whether snapshot and log together hold everything they once held. */
export function judgeSnapshots(
  log: LogEnd,
  snapshots: Pick<RecoveredSnapshots, 'latest' | 'unreadable'>,
): LogDamage | null {
  const { prevIndex, lastIndex, segments } = log.image;
  const covered = snapshots.latest?.meta.index ?? 0;
  const newest = snapshots.unreadable[0];
  if (newest !== undefined && (prevIndex > covered || lastIndex < newest.index)) {
    return { file: newest.path, offset: 0, reason: newest.reason };
  }
  if (prevIndex > covered) {
    const reason = `entries ${covered + 1} to ${prevIndex} are neither in a snapshot nor in the log`;
    return { file: segments[0]!.path, offset: 32, reason };
  }
  return null;
}

/** Whether the log still reaches as far as the vote file has seen it reach. */
export function judgeLength(log: LogEnd, votes: VoteFile | string): LogDamage | null {
  if (typeof votes === 'string') return null;
  const { current } = log.image;
  const { lastBlock, hardState } = votes.record;
  if (lastBlock > log.lastBlock) {
    const reason = `the log ends with block ${log.lastBlock}, block ${lastBlock} was durable once`;
    return { file: current.path, offset: current.writeOffset, reason };
  }
  if (hardState.term > log.hardState.term) {
    const reason = `the log ends in term ${log.hardState.term}, term ${hardState.term} was durable once`;
    return { file: current.path, offset: current.writeOffset, reason };
  }
  return null;
}

/**
 * Whether a start may go on with a part of a damaged log, and remove the rest of it. Only if everything that can be asked
 * agrees, the vote file above all: it is the only witness that the kept part reaches as far as the log once did.
 */
export function isWhole(
  log: RecoveredLog,
  snapshots: Pick<RecoveredSnapshots, 'latest' | 'unreadable'>,
  votes: VoteFile | string,
): boolean {
  if (log.damage !== null || typeof votes === 'string') return false;
  const end = { ...log, lastBlock: log.nextBlock - 1 };
  return judgeSnapshots(end, snapshots) === null && judgeLength(end, votes) === null;
}

/** The log is whole, as far as one can see. Whether that is far enough is another question. */
export function doubtIn(votes: VoteFile | string, file: string): LogDamage | null {
  if (typeof votes === 'string') return { file, offset: 0, reason: votes };
  const { quarantine } = votes.record;
  if (quarantine === null) return null;
  return { file, offset: 0, reason: `what was lost has not been fetched again yet (${quarantine})` };
}
