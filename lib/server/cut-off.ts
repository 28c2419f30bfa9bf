/** Ends a connection, and its process's work for it, at once. */
export type CutOff = (why: string) => void;

/** Beyond the limit so much is freed that the next time is not at once: 1/8 of the limit. */
const FREED_SHARE = 8;

/** Ends the heaviest of `connections`, one after the other, until `bytes()` of all of them are well below `maxBytes`. */
export function cutOffHeaviest<T>(
  connections: Iterable<T>,
  weightOf: (connection: T) => number,
  end: (connection: T) => void,
  bytes: () => number,
  maxBytes: number,
): void {
  const heaviestFirst = [...connections].sort((a, b) => weightOf(b) - weightOf(a));
  for (const connection of heaviestFirst) {
    if (bytes() <= maxBytes - maxBytes / FREED_SHARE) return;
    end(connection);
  }
}
