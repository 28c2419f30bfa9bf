/** Sizes the log works with. The defaults suit production; tests use tiny ones. */
export interface LogSizes {
  /** Capacity of the first segments; it doubles with each one that is filled. */
  readonly minSegmentBytes: number;
  readonly maxSegmentBytes: number;
  /** Zeros are written ahead of the log in pieces of this size. */
  readonly fillBytes: number;
  /** Writes that wait together are taken as one block up to this size. */
  readonly maxGroupBytes: number;
  /** Files kept ready for coming segments at most. */
  readonly spareSegments: number;
  /**
   * So much room is made ready ahead of the log while it rests, so that it goes on overwriting under load; 0: a few
   * pieces of zeros, and a file for the next segment when the current one is half full.
   */
  readonly aheadBytes: number;
  /** While nothing else is to do, 256 KiB of what is at rest are read and checked this often; 0: never. */
  readonly scrubIntervalMs: number;
  /** Kept in a file of its own for when the disk is full. */
  readonly reserveBytes: number;
  /** With less free than this on the disk no work is done ahead; 0: a tenth of the disk, at most 256 MiB. */
  readonly lowSpaceBytes: number;
  /** How often the room on the disk is looked at. */
  readonly spaceIntervalMs: number;
}

export const defaultLogSizes: LogSizes = {
  minSegmentBytes: 4 << 20,
  maxSegmentBytes: 64 << 20,
  fillBytes: 256 << 10,
  maxGroupBytes: 16 << 20,
  spareSegments: 8,
  aheadBytes: 0,
  scrubIntervalMs: 250,
  reserveBytes: 8 << 20,
  lowSpaceBytes: 0,
  spaceIntervalMs: 1000,
};
