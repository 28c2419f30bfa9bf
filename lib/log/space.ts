/** Room on the file system of a data directory. */
export interface DiskSpace {
  /** What an ordinary process may still use. */
  readonly freeBytes: number;
  readonly totalBytes: number;
}

const MAX_LOW_MARK = 256 << 20;
/** At this share of the mark even what a leader sends is not taken any more. */
const FULL_SHARE = 4;

/** With less free than this the disk counts as nearly full: a tenth of it, at most 256 MiB, or what was asked for. */
export function lowMark(space: DiskSpace, configuredBytes: number): number {
  return configuredBytes > 0 ? configuredBytes : Math.min(MAX_LOW_MARK, Math.floor(space.totalBytes / 10));
}

export function fullMark(lowBytes: number): number {
  return Math.floor(lowBytes / FULL_SHARE);
}
