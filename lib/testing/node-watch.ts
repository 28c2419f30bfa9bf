import type { RaftCore } from '../core/raft-core.ts';
import type { Config, Index, NodeId, Term } from '../core/types.ts';
import { fail, type CheckedNode, type CoreChecker } from './core-checker.ts';

/**
 * Looks at one process of a node after every event: what it decided may not be undone while it runs, and whatever is
 * new goes to the checker of the whole cluster.
 */
export class NodeWatch {
  readonly #node: CheckedNode;
  readonly #core: RaftCore;
  readonly #checker: CoreChecker;
  readonly #count: (what: string) => void;
  #lastTerm: Term;
  #lastVote: NodeId;
  #lastCommit: Index;
  #lastConfig: Config;
  #lastApplied: Index = 0;
  #ledTerm: Term = 0;
  #installing = false;
  #quarantined = false;

  /** Begins with the core as it has started. `count` is told of what is worth a figure at the end of a story. */
  constructor(node: CheckedNode, checker: CoreChecker, count: (what: string) => void) {
    this.#node = node;
    this.#core = node.core;
    this.#checker = checker;
    this.#count = count;
    this.#lastTerm = node.core.term;
    this.#lastVote = node.core.vote;
    this.#lastCommit = node.core.commitIndex;
    this.#lastConfig = node.core.config;
  }

  /** Cheap: it is called after every event. */
  check(): void {
    const core = this.#core;
    const node = this.#node;
    if (core.term < this.#lastTerm) fail(node, `term went back from ${this.#lastTerm} to ${core.term}`);
    if (core.term === this.#lastTerm && core.vote !== this.#lastVote && this.#lastVote !== 0) {
      fail(node, `voted for ${this.#lastVote} and then for ${core.vote} in term ${core.term}`);
    }
    this.#lastTerm = core.term;
    this.#lastVote = core.vote;
    this.#checkCommit();
    const { state } = core;
    // What the core has decided and the driver has not carried out yet is not in the model.
    if (state.unwrittenFirst !== 0 || state.resetTo !== null || state.created.length > 0) return;
    if (core.role === 'leader') this.#checker.leads(node, core.term);
    this.#countChanges();
    if (node.log.lastIndex !== core.lastIndex) {
      fail(node, `its log ends at ${core.lastIndex}, what it wrote at ${node.log.lastIndex}`);
    }
  }

  /** An entry's commands were applied by this process's machine. */
  applied(index: Index): void {
    if (index < this.#lastApplied) fail(this.#node, `applied ${index} after ${this.#lastApplied}`);
    this.#lastApplied = index;
    const { commitIndex } = this.#core;
    if (index > commitIndex) fail(this.#node, `applied ${index}, committed is ${commitIndex}`);
  }

  /**
   * As soon as the model has what is committed: a leader that commits the way into a joint configuration begins to
   * leave it, and may be deposed before its turn comes to write that (cluster story 294014257).
   */
  #checkCommit(): void {
    const { commitIndex, state } = this.#core;
    const isKnown =
      state.resetTo === null && (state.unwrittenFirst === 0 || commitIndex < state.unwrittenFirst);
    if (!isKnown) return;
    const before = this.#lastConfig;
    this.#lastConfig = this.#core.config;
    if (commitIndex === this.#lastCommit) return;
    this.#checker.commitMoved(this.#node, this.#lastCommit, commitIndex, before);
    this.#lastCommit = commitIndex;
    this.#checker.checkLeader(this.#node);
  }

  #countChanges(): void {
    const { role, term, installing, quarantined } = this.#core;
    const led = role === 'leader' ? term : 0;
    if (led !== this.#ledTerm && led !== 0) this.#count('terms led');
    if (installing && !this.#installing) this.#count('snapshots installed');
    if (quarantined && !this.#quarantined) this.#count('quarantines');
    this.#ledTerm = led;
    this.#installing = installing;
    this.#quarantined = quarantined;
  }
}
