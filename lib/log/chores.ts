/** Something done now and then. */
export interface Chore {
  readonly intervalMs: number;
  /** What the log does ends a rest: the next time is `intervalMs` after that, at the latest. */
  readonly followsWork: boolean;
  /** Returns for how long it rests, beyond `intervalMs`. */
  run(nowMs: number): number;
}

interface Due {
  readonly chore: Chore;
  dueMs: number;
}

/** What the log thread does now and then, and when it is due. */
export class Chores {
  readonly #list: Due[] = [];

  /** From `dueMs` on. One without an interval is never done. */
  add(chore: Chore, dueMs: number): void {
    if (chore.intervalMs > 0) this.#list.push({ chore, dueMs });
  }

  /** When the next one is due; Infinity: never. */
  get nextMs(): number {
    let nextMs = Infinity;
    for (const { dueMs } of this.#list) nextMs = Math.min(nextMs, dueMs);
    return nextMs;
  }

  /**
   * The log has done something. Counter-example: it rested, so that nobody was to look at the room on the disk for ten
   * seconds; then it was filled in five.
   */
  worked(nowMs: number): void {
    for (const due of this.#list) {
      if (due.chore.followsWork) due.dueMs = Math.min(due.dueMs, nowMs + due.chore.intervalMs);
    }
  }

  /** Does what is due. */
  run(nowMs: number): void {
    for (const due of this.#list) {
      const { chore, dueMs } = due;
      if (dueMs <= nowMs) due.dueMs = nowMs + chore.intervalMs + chore.run(nowMs);
    }
  }
}
