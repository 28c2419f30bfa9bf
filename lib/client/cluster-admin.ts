import { CordwoodError } from '../../protocol/errors.ts';
import type { Explanation } from '../node/explain.ts';
import type { ChangeResult } from '../node/membership.ts';
import type { MembershipTarget } from '../node/membership-plan.ts';
import type { MembersView } from '../node/types.ts';
import type { CallOptions } from './options.ts';
import type { Routes } from './routes.ts';

export interface ChangeCallOptions extends CallOptions {
  /** Show the plan, check it, and change nothing. */
  readonly dryRun?: boolean | undefined;
  /** Also what leaves too few voters that are alive and have room, and members that have moved and do not answer. */
  readonly force?: boolean | undefined;
  /** Refuse with `CONFIG_MISMATCH` if another configuration is in force. */
  readonly expectedConfigIndex?: number | undefined;
}

export interface NewMember {
  readonly id: number;
  /** `host:port` where its peers reach it. */
  readonly address: string;
  /** Gets the log and no vote. Default false. */
  readonly learner?: boolean | undefined;
}

type AdminRoute = Extract<keyof Routes, `admin${string}`>;
type Send = (request: object, route: AdminRoute, options: CallOptions | undefined) => Promise<unknown>;

/** How long a change may take before the client gives up, unless the call says otherwise. */
const CHANGE_TIMEOUT_MS = 60_000;

/** The longest that a node takes: for ever is that, too. */
const MAX_NODE_TIMEOUT_MS = 86_400_000;

/**
 * The cluster itself: its members and its leader. Changes may be asked for again: what is done already is not done
 * twice, and the answer says how it is in the end.
 *
 * Errors beside those of every call: `CHANGE_PENDING`, `CONFIG_MISMATCH`, `WOULD_LOSE_QUORUM`, `ID_RETIRED`,
 * `NOT_EMPTY`, `UNREACHABLE`, `WRONG_CLUSTER`, `WRONG_NODE`, `BAD_OPTION`.
 *
 * @example
 * const { plan } = await client.admin.add({ id: 4, address: '10.0.0.4:12379' }, { dryRun: true });
 * console.log(plan.steps.join('\n'));
 */
export class ClusterAdmin {
  readonly #send: Send;

  /** @internal Use `client.admin`. */
  constructor(send: Send) {
    this.#send = send;
  }

  /** The configuration in force at the connected node. */
  members(options?: CallOptions): Promise<MembersView> {
    return this.#ask('members', options) as Promise<MembersView>;
  }

  /** Why there is no leader, why writes wait, which peers lag, as the connected node sees it. */
  explain(options?: CallOptions): Promise<Explanation> {
    return this.#ask('explain', options) as Promise<Explanation>;
  }

  /** Adds a node that was started with `--join`. Resolves when it has caught up and, unless a learner, votes. */
  add(member: NewMember, options?: ChangeCallOptions): Promise<ChangeResult> {
    return this.#change({ op: 'add', ...member }, options);
  }

  /** Makes a learner a voter, once it has caught up. */
  promote(id: number, options?: ChangeCallOptions): Promise<ChangeResult> {
    return this.#change({ op: 'promote', id }, options);
  }

  /** Removes a member for good: its number is never given out again. */
  remove(id: number, options?: ChangeCallOptions): Promise<ChangeResult> {
    return this.#change({ op: 'remove', id }, options);
  }

  /** Makes these the members, whoever they were before. */
  set(target: MembershipTarget, options?: ChangeCallOptions): Promise<ChangeResult> {
    return this.#change({ op: 'set', ...target }, options);
  }

  /** Hands leadership to a voter, or to the one that is furthest along. Resolves to the new leader's id. */
  async transfer(target?: number, options?: CallOptions): Promise<number> {
    const request = target === undefined ? { op: 'transfer' } : { op: 'transfer', target };
    const answer = await this.#send(request, target === undefined ? 'adminOnce' : 'adminChange', options);
    return (answer as { leader: number }).leader;
  }

  #change(request: object, options: ChangeCallOptions = {}): Promise<ChangeResult> {
    const { dryRun, force, expectedConfigIndex, timeoutMs = CHANGE_TIMEOUT_MS, ...call } = options;
    const whole = {
      ...request,
      // As they are: the node refuses what is neither true nor false.
      ...(dryRun === undefined ? {} : { dryRun }),
      ...(force === undefined ? {} : { force }),
      ...(expectedConfigIndex === undefined ? {} : { expectedConfigIndex }),
      // The node gives up a little earlier, so that it is the one to say how far it got.
      timeoutMs: Math.min(MAX_NODE_TIMEOUT_MS, Math.max(1, Math.floor(timeoutMs * 0.9))),
    };
    // A second try of a change that names the configuration it starts from would find its own first one.
    const route = expectedConfigIndex === undefined ? 'adminChange' : 'adminOnce';
    return this.#send(whole, route, { ...call, timeoutMs }) as Promise<ChangeResult>;
  }

  /** A question changes nothing, whatever becomes of it. */
  async #ask(op: string, options: CallOptions | undefined): Promise<unknown> {
    try {
      return await this.#send({ op }, 'adminQuestion', options);
    } catch (error) {
      if (!CordwoodError.is(error) || error.outcome === 'not_applied') throw error;
      throw new CordwoodError(error.code, error.message, { outcome: 'not_applied', cause: error });
    }
  }
}
