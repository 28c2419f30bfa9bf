import type { HardState } from '../core/types.ts';
import type { VoteFile } from './vote-file.ts';

/** How far the log reaches is noted while nothing waits, and after so many blocks in any case. */
const NOTE_EVERY_BLOCKS = 64;

/**
 * What a node must not forget beside its entries: term and vote, why it is in quarantine, and how far its log reached.
 * In memory, and in the vote file once there is one. What is called with `lastBlock` gets the number of the log's last
 * block, or null if the log is damaged: what that ends with says nothing, and the file knows better.
 */
export class NodeRecord {
  #hardState: HardState;
  #quarantine: string | null = null;
  #votes: VoteFile | null = null;
  /** Last block whose durability was noted in the file. */
  #noted = 0;

  constructor(hardState: HardState) {
    this.#hardState = hardState;
  }

  get hardState(): HardState {
    return this.#hardState;
  }

  /** The file; null: there is none yet. */
  get votes(): VoteFile | null {
    return this.#votes;
  }

  /** From now on term and vote go to `votes` too; what it knows better counts. */
  keep(votes: VoteFile): void {
    this.#votes = votes;
    const { hardState, quarantine } = votes.record;
    this.#quarantine = quarantine;
    if (isNewer(hardState, this.#hardState)) this.#hardState = hardState;
  }

  /** Throws RangeError if the term goes back. */
  setHardState(state: HardState): void {
    if (state.term < this.#hardState.term) {
      throw new RangeError(`the term cannot go back from ${this.#hardState.term} to ${state.term}`);
    }
    this.#hardState = state;
  }

  /** Durable when this returns. */
  setQuarantine(reason: string | null, lastBlock: number | null): void {
    this.#quarantine = reason;
    this.store(lastBlock);
  }

  /** The log is about to look whole, but what was lost is not in it yet. */
  doubt(reason: string): void {
    this.#quarantine ??= reason;
    this.store(null);
  }

  /** Writes all of it to the file. */
  store(lastBlock: number | null): void {
    const votes = this.#votes;
    if (votes === null) return;
    const reached = lastBlock ?? votes.record.lastBlock;
    votes.store({ hardState: this.#hardState, lastBlock: reached, quarantine: this.#quarantine });
  }

  /** After each sync of the log: term and vote are on file no later than the entries behind them. */
  synced(lastBlock: number | null): void {
    const votes = this.#votes;
    if (votes === null) return;
    const { term, vote } = votes.record.hardState;
    if (term !== this.#hardState.term || vote !== this.#hardState.vote) this.store(lastBlock);
    if (lastBlock !== null && lastBlock - this.#noted >= NOTE_EVERY_BLOCKS) this.noteReach(lastBlock);
  }

  /** Everything up to `lastBlock` is durable: a log that is cut short at rest is not taken for one that never was longer. */
  noteReach(lastBlock: number): void {
    this.#votes?.noteReach(lastBlock);
    this.#noted = lastBlock;
  }
}

/** Whether `a` was decided on after `b`. */
function isNewer(a: HardState, b: HardState): boolean {
  return a.term > b.term || (a.term === b.term && b.vote === 0 && a.vote !== 0);
}
