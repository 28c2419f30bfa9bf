/** What is left of a failure. */
export interface Shrunk {
  /** Faults that are needed for it. */
  readonly faults: readonly number[];
  /** How it ends with those alone. */
  readonly error: Error;
  /** Stories told to find out. */
  readonly runs: number;
}

/**
 * Cuts down the faults of a story that fails, as far as it still fails: whole stretches first, then smaller ones, at
 * last one by one (Zeller's ddmin). It need not fail in the same way; what matters is that fewer faults are to blame.
 *
 * `tell` runs the story with these faults only and returns its error, null if there is none. `enough` is asked before
 * each run.
 */
export async function shrink(
  tell: (faults: ReadonlySet<number>) => Promise<Error | null> | Error | null,
  count: number,
  error: Error,
  enough: () => boolean = () => false,
): Promise<Shrunk> {
  let faults = Array.from({ length: count }, (_, i) => i + 1);
  let runs = 0;
  let left = error;
  for (let size = Math.ceil(faults.length / 2); size >= 1;) {
    let shorter = false;
    for (let at = 0; at < faults.length && !enough();) {
      const without = [...faults.slice(0, at), ...faults.slice(at + size)];
      runs++;
      const again = await tell(new Set(without));
      if (again === null) {
        at += size;
        continue;
      }
      faults = without;
      left = again;
      shorter = true;
    }
    if (enough()) break;
    // One by one until nothing more can go: what could not be left out before may be superfluous now.
    if (size > 1) size = Math.ceil(size / 2);
    else if (!shorter) break;
  }
  return { faults, error: left, runs };
}
