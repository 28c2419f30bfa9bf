import type { LiveView, Tracked } from './live-views.ts';
import { LiveViews } from './live-views.ts';

/** The outcome of a command that carried an idempotency key. */
export interface KeyedAnswer extends Tracked {
  /** Order of execution. */
  readonly id: number;
  mark: number;
  /** Cluster time of execution. */
  readonly timeMs: number;
  readonly status: number;
  /** SHA-256 of the command's body, as latin1. */
  readonly digest: string;
  /** As latin1. */
  readonly key: string;
  readonly body: Uint8Array;
  /** The one executed next. */
  newer: KeyedAnswer | null;
}

/** What an answer costs beside its key and body, in the bytes that count against the limit. */
const ANSWER_OVERHEAD_BYTES = 128;

/** Idempotency keys and what came of them, oldest first out. Decided by the log alone. */
export class KeyedAnswers {
  readonly #views = new LiveViews<KeyedAnswer, KeyedAnswer>((answer) => answer);
  /** In order of execution. */
  readonly #byKey = new Map<string, KeyedAnswer>();
  nextId = 1;
  bytes = 0;
  /** A list beside the map: a Map from whose front entries are removed gets slow to find its front. */
  #oldest: KeyedAnswer | null = null;
  #newest: KeyedAnswer | null = null;

  get count(): number {
    return this.#byKey.size;
  }

  /** `mark` for answers made outside. */
  get mark(): number {
    return this.#views.lastId;
  }

  get(key: string): KeyedAnswer | undefined {
    return this.#byKey.get(key);
  }

  /** Adds the newest; its key must be new. */
  add(key: string, digest: string, status: number, body: Uint8Array, timeMs: number): void {
    const mark = this.#views.lastId;
    this.#insert({ id: this.nextId++, mark, key, digest, status, body, timeMs, newer: null });
  }

  /** Drops what is at least `ageMs` old. */
  expire(nowMs: number, ageMs: number): void {
    while (this.#oldest !== null && nowMs - this.#oldest.timeMs >= ageMs) this.#drop(this.#oldest);
  }

  /** Drops the oldest until one more with `bytes` of key and body fits (or nothing is left). */
  makeRoom(bytes: number, maxCount: number, maxBytes: number): void {
    const needed = bytes + ANSWER_OVERHEAD_BYTES;
    while (this.#oldest !== null && (this.count >= maxCount || this.bytes + needed > maxBytes))
      this.#drop(this.#oldest);
  }

  /** A frozen view, taken in constant time. */
  view(): LiveView<KeyedAnswer, KeyedAnswer> {
    return this.#views.open(this.#byKey, this.nextId);
  }

  /** Takes over answers read from a snapshot, in any order. */
  restore(answers: KeyedAnswer[], nextId: number): void {
    this.nextId = nextId;
    for (const answer of answers.sort((a, b) => a.id - b.id)) this.#insert(answer);
  }

  #insert(answer: KeyedAnswer): void {
    this.#byKey.set(answer.key, answer);
    this.bytes += cost(answer);
    if (this.#newest === null) this.#oldest = answer;
    else this.#newest.newer = answer;
    this.#newest = answer;
  }

  /** Drops the oldest. */
  #drop(oldest: KeyedAnswer): void {
    if (oldest.mark !== this.#views.lastId) this.#views.beforeChange(oldest);
    this.#byKey.delete(oldest.key);
    this.bytes -= cost(oldest);
    this.#oldest = oldest.newer;
    if (this.#oldest === null) this.#newest = null;
  }
}

function cost(answer: KeyedAnswer): number {
  return answer.key.length + answer.body.length + ANSWER_OVERHEAD_BYTES;
}
