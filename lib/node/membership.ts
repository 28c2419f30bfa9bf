import { CordwoodError } from '../../protocol/errors.ts';
import type { RaftCore } from '../core/raft-core.ts';
import type { Config, Index, Member, NodeId, Term } from '../core/types.ts';
import {
  checkQuorum,
  checkRoom,
  checkTarget,
  planMembership,
  type MembershipPlan,
  type MembershipTarget,
} from './membership-plan.ts';
import { probeMembers, type ProbeParts } from './member-probe.ts';
import { checkOptions, flag, signal, timeMs, wholeNumber, type Rules } from './check-options.ts';
import type { Turns } from './turns.ts';

export interface ChangeOptions {
  /** Work out and check the plan, ask new nodes who they are, and change nothing. */
  readonly dryRun?: boolean;
  /** Also what leaves too few voters that are alive and have room, and members that have moved and do not answer. */
  readonly force?: boolean;
  /** Refuse if another configuration than this one is in force. */
  readonly expectedConfigIndex?: Index;
  /** Default: 60 s, and longer as long as a new node is still catching up. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

export interface ChangeResult {
  /** False after a dry run that found something to do. */
  readonly done: boolean;
  /**
   * False if the members were as wanted already. Of a client's call that is not always somebody else's doing: the call may
   * have made the change itself, under a leader that was lost before it answered, and have asked the next one.
   */
  readonly changed: boolean;
  readonly configIndex: Index;
  readonly config: Config;
  readonly plan: { readonly steps: readonly string[]; readonly warnings: readonly string[] };
}

export interface MembershipParts extends ProbeParts {
  readonly core: RaftCore;
  readonly turns: Turns;
  readonly electionTimeoutMs: number;
  /** Whether a node answers at the moment and is not in quarantine. */
  canVote(id: NodeId): boolean;
  /** Whether a node has said nothing of a disk that is nearly full. */
  hasRoom(id: NodeId): boolean;
}

const RULES: Rules<ChangeOptions> = {
  dryRun: flag,
  force: flag,
  expectedConfigIndex: wholeNumber(0),
  timeoutMs: timeMs,
  signal,
};
const DEFAULT_TIMEOUT_MS = 60_000;
/** Rounds of catching up: a node that is still behind by more than a moment after so many never gets there. */
const MAX_ROUNDS = 10;

/** Changes the members of the cluster that this node leads, one change at a time. */
export class Membership {
  readonly #parts: MembershipParts;
  #running: { readonly target: string | null; readonly end: Promise<ChangeResult> } | null = null;

  constructor(parts: MembershipParts) {
    this.#parts = parts;
  }

  /**
   * Makes `target` the members: asks new nodes who they are, adds them as learners, waits until they have caught up,
   * and then changes the voters. Ends when the new configuration is committed.
   *
   * @throws CordwoodError `NOT_LEADER`, `CHANGE_PENDING`, `CONFIG_MISMATCH`, `WOULD_LOSE_QUORUM`, `ID_RETIRED`,
   *   `NOT_EMPTY`, `UNREACHABLE`, `WRONG_CLUSTER`, `WRONG_NODE`, `BAD_OPTION`, `TIMEOUT`, `ABORTED`; its `outcome` is
   *   `unknown` if the change of voters had begun and nobody here can say how it ends, or if it ended otherwise when new
   *   nodes had joined as learners
   */
  async reconfigure(target: MembershipTarget, options: ChangeOptions = {}): Promise<ChangeResult> {
    checkTarget(target);
    checkOptions(options, RULES);
    this.#mustLead();
    const { dryRun, expectedConfigIndex, force } = options;
    const joins = dryRun !== true && expectedConfigIndex === undefined && options.signal === undefined;
    const text = textOf(target, force === true);
    if (this.#running !== null) {
      // Whoever asked may have lost the node that passed it on, and asks again.
      if (joins && this.#running.target === text) return this.#join(this.#running.end, options.timeoutMs);
      throw pending();
    }
    const end = this.#reconfigure(target, options);
    this.#running = { target: dryRun === true ? null : text, end };
    try {
      return await end;
    } finally {
      this.#running = null;
    }
  }

  /** Waits for the end of a change that somebody else has begun, for as long as this caller is willing to. */
  async #join(end: Promise<ChangeResult>, timeoutMs: number | undefined): Promise<ChangeResult> {
    if (timeoutMs === undefined) return end;
    const { turns } = this.#parts;
    let ended = false;
    const mark = (): void => {
      ended = true;
      turns.wake();
    };
    void end.then(mark, mark);
    const waiting = { deadlineMs: turns.now() + timeoutMs, signal: undefined };
    try {
      await this.#until('the end of this change, which had been asked for before', () => ended, waiting);
    } catch (error) {
      throw CordwoodError.is(error) ? unknownAfter(error, 'it goes on') : error;
    }
    return end;
  }

  async #reconfigure(target: MembershipTarget, options: ChangeOptions): Promise<ChangeResult> {
    const { core } = this.#parts;
    const deadlineMs = this.#parts.turns.now() + (options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    await this.#until('the leader’s term to begin', () => this.#leadsFor(core.termCommitted), {
      deadlineMs,
      signal: options.signal,
    });
    await this.#settle(options.signal, deadlineMs);
    this.#checkStart(options);
    const plan = planMembership(core.config, core.configIndex, target);
    if (!plan.changes) return this.#result(plan, true, false);
    const members = await probeMembers(this.#parts, plan, options);
    if (options.force !== true) {
      checkQuorum(plan, (id) => this.#willVote(plan, id));
      checkRoom(plan, core.config, (id) => this.#parts.hasRoom(id));
    }
    if (options.dryRun === true) return this.#result(plan, false, true);
    await this.#carryOut(plan, members, options, deadlineMs);
    return this.#result(plan, true, true);
  }

  /** Another change is under way here, or one is in the log that is not finished. */
  get pending(): boolean {
    return this.#running !== null || this.#unfinished;
  }

  /** One is in the log that is not finished. */
  get #unfinished(): boolean {
    const { core } = this.#parts;
    return core.config.outgoing.length > 0 || core.configIndex > core.commitIndex;
  }

  /**
   * Waits a moment for the end of a change that is in the log already. A new leader finishes what its predecessor left:
   * mostly it is this very change, and whoever asked for it asks again now.
   */
  async #settle(signal: AbortSignal | undefined, deadlineMs: number): Promise<void> {
    const { electionTimeoutMs, turns } = this.#parts;
    const limits = { deadlineMs: Math.min(deadlineMs, turns.now() + electionTimeoutMs), signal };
    try {
      await this.#until('the change under way', () => this.#leadsFor(!this.#unfinished), limits);
    } catch (error) {
      throw CordwoodError.is(error) && error.code === 'TIMEOUT' ? pending() : error;
    }
  }

  #checkStart({ expectedConfigIndex }: ChangeOptions): void {
    const { core } = this.#parts;
    if (expectedConfigIndex !== undefined && expectedConfigIndex !== core.configIndex) {
      throw new CordwoodError(
        'CONFIG_MISMATCH',
        `the configuration in force is that of entry ${core.configIndex}, not ${expectedConfigIndex}`,
      );
    }
    if (this.#unfinished) throw pending();
  }

  async #carryOut(
    plan: MembershipPlan,
    members: readonly Member[],
    options: ChangeOptions,
    deadlineMs: number,
  ): Promise<void> {
    const { core } = this.#parts;
    const waiting = { deadlineMs, signal: options.signal };
    // What the plan was made from. While newcomers were asked who they are this node may have lost leadership and got it
    // back, and another leader may have made a change: the plan would undo that.
    let { configIndex } = plan;
    if (plan.newcomers.length > 0) {
      const old = core.config;
      const learners = [...old.learners, ...plan.newcomers];
      await this.#change({ voters: old.voters, learners, members }, configIndex, waiting);
      ({ configIndex } = core);
    }
    try {
      await this.#changeVoters(plan, members, options, configIndex, deadlineMs);
    } catch (error) {
      if (plan.newcomers.length === 0 || !CordwoodError.is(error)) throw error;
      // Something has happened, whatever came of the rest: who asked must not take this for an answer after which he may
      // simply ask another node.
      throw unknownAfter(error, `${plan.newcomers.join(', ')} joined as learners`);
    }
  }

  async #changeVoters(
    plan: MembershipPlan,
    members: readonly Member[],
    options: ChangeOptions,
    configIndex: Index,
    deadlineMs: number,
  ): Promise<void> {
    for (const id of plan.promoted) await this.#catchUp(id, options, deadlineMs);
    this.#mustLead();
    // Time has gone by since the plan was made.
    if (options.force !== true) checkQuorum(plan, (id) => this.#parts.canVote(id));
    if (this.#isInForce(plan)) return;
    await this.#change({ ...plan, members }, configIndex, { deadlineMs, signal: options.signal });
  }

  /** One change of the configuration at `expectedIndex`: ends when it is committed, whoever leads by then. */
  async #change(target: Wanted, expectedIndex: Index, waiting: Waiting): Promise<void> {
    const { core, turns } = this.#parts;
    turns.wake();
    const term = core.term;
    const index = core.proposeConfig(target, expectedIndex);
    if (typeof index !== 'number') throw refusalError(index);
    try {
      await this.#until('the change to be committed', () => this.#isSettled(target, index, term), waiting);
    } catch (error) {
      if (!CordwoodError.is(error) || error.outcome === 'unknown' || error.code === 'NOT_LEADER') throw error;
      throw unknownAfter(error, 'the change is in the log and may yet take effect');
    }
  }

  #isSettled(target: Wanted, index: Index, term: Term): boolean {
    const { core } = this.#parts;
    if (this.#isInForce(target)) return true;
    // Another leader's entry was committed in its place.
    if (core.commitIndex >= index && core.prevIndex < index && core.termAt(index) !== term) {
      throw new CordwoodError(
        'NOT_LEADER',
        'leadership was lost, and with it this step of the change: it did not happen',
      );
    }
    return false;
  }

  /** The configuration in force is `target`, and committed. */
  #isInForce(target: Wanted): boolean {
    const { core } = this.#parts;
    const { config } = core;
    return (
      config.outgoing.length === 0 &&
      core.configIndex <= core.commitIndex &&
      same(config.voters, target.voters) &&
      same(config.learners, target.learners) &&
      config.members.every(({ id, peerAddress }) => {
        const wanted = target.members.find((member) => member.id === id);
        return wanted === undefined || wanted.peerAddress === peerAddress;
      })
    );
  }

  /**
   * Waits until a node is so close behind that it catches up with what came meanwhile within an election timeout
   * (dissertation 4.2.1): with a vote it must not be what commits wait for.
   */
  async #catchUp(id: NodeId, options: ChangeOptions, deadlineMs: number): Promise<void> {
    const { core, turns, electionTimeoutMs } = this.#parts;
    let limitMs = deadlineMs;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const startMs = turns.now();
      const target = core.lastIndex;
      let match = -1;
      const arrived = (): boolean => {
        this.#mustLead();
        const now = core.progressOf(id)?.match ?? 0;
        if (now > match && options.timeoutMs === undefined) limitMs = turns.now() + DEFAULT_TIMEOUT_MS;
        match = now;
        return now >= target;
      };
      const waiting = {
        get deadlineMs() {
          return limitMs;
        },
        signal: options.signal,
      };
      await this.#until(`node ${id} to catch up (no voter was changed)`, arrived, waiting);
      if (turns.now() - startMs < electionTimeoutMs) return;
    }
    throw new CordwoodError('TIMEOUT', `node ${id} does not keep up with the writes; no voter was changed`);
  }

  #willVote(plan: MembershipPlan, id: NodeId): boolean {
    return plan.newcomers.includes(id) || this.#parts.canVote(id);
  }

  #leadsFor(condition: boolean): boolean {
    this.#mustLead();
    return condition;
  }

  #mustLead(): void {
    if (this.#parts.core.role === 'leader') return;
    throw new CordwoodError('NOT_LEADER', 'this node does not lead; no voter was changed');
  }

  async #until(what: string, done: () => boolean, waiting: Waiting): Promise<void> {
    await this.#parts.turns.until(done, waiting, `waited in vain for ${what}`);
  }

  #result(plan: MembershipPlan, done: boolean, changed: boolean): ChangeResult {
    const { core } = this.#parts;
    const { steps, warnings } = plan;
    return { done, changed, configIndex: core.configIndex, config: core.config, plan: { steps, warnings } };
  }
}

interface Wanted {
  readonly voters: readonly NodeId[];
  readonly learners: readonly NodeId[];
  readonly members: readonly Member[];
}

interface Waiting {
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
}

/** `error`, where something has happened nevertheless. */
function unknownAfter(error: CordwoodError, happened: string): CordwoodError {
  const message = `${error.message}; ${happened}`;
  return new CordwoodError(error.code, message, { outcome: 'unknown', cause: error });
}

function refusalError(refusal: string): CordwoodError {
  if (refusal === 'changePending') return pending();
  if (refusal === 'indexMismatch') return new CordwoodError('CONFIG_MISMATCH', 'another change came first');
  return new CordwoodError('NOT_LEADER', 'leadership was lost before the change began');
}

function pending(): CordwoodError {
  return new CordwoodError('CHANGE_PENDING', 'another change of the members is under way');
}

/** Equal for requests that ask for the same, in whatever order. */
function textOf({ voters, learners = [], members = [] }: MembershipTarget, force: boolean): string {
  const sorted = [voters, learners].map((ids) => [...ids].sort((a, b) => a - b));
  const addresses = members.map(({ id, peerAddress }) => `${id}=${peerAddress}`).sort();
  return JSON.stringify([...sorted, addresses, force]);
}

function same(a: readonly NodeId[], b: readonly NodeId[]): boolean {
  return a.length === b.length && a.every((id) => b.includes(id));
}
