import { ByteWriter, copyOf } from '../../protocol/byte-writer.ts';
import { encodeErrorResponse, encodeResponse, frameRequestId } from '../../protocol/client-codec.ts';
import { FRAME_HEADER_BYTES, Status } from '../../protocol/constants.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { decodeFields, encodeValue, type Fields } from '../../protocol/msgpack.ts';
import type { Config, NodeId } from '../core/types.ts';
import { AdminRelay } from './admin-relay.ts';
import type { Driver } from './driver.ts';
import type { Explanation } from './explain.ts';
import type { ChangeOptions, ChangeResult } from './membership.ts';
import type { MembershipTarget } from './membership-plan.ts';
import { membersOf } from './members-view.ts';
import type { Sink } from './sink.ts';

/** What admin requests are carried out with. */
export interface AdminTarget {
  readonly driver: Driver;
  readonly clusterId: string;
  reconfigure(target: MembershipTarget, options: ChangeOptions): Promise<ChangeResult>;
  /** Resolves to the new leader. */
  handOver(target: NodeId, timeoutMs: number | undefined): Promise<NodeId>;
  explain(): Explanation;
}

const MAX_LIST = 64;

/**
 * Requests about the cluster itself: who the members are, changes of them, transfers of leadership, explanations.
 * Changes are the leader's business; other nodes pass them on.
 */
export class Admin {
  readonly relay: AdminRelay;
  readonly #target: AdminTarget;

  constructor(target: AdminTarget) {
    this.#target = target;
    this.relay = new AdminRelay(
      target.driver.transport,
      target.driver.replies,
      target.driver.options.runtime,
    );
  }

  /** Takes one admin frame of a client; copied before the call returns; answered through `sink`, now or later. */
  take(bytes: Uint8Array, start: number, end: number, sink: Sink): void {
    const { driver } = this.#target;
    const frame = copyOf(bytes, start, end);
    const respond = (response: Uint8Array): void => {
      sink.out.bytes(response);
      driver.replies.touch(sink);
      // Answers may come when no turn is due, or after the last one.
      if (driver.stopped) driver.replies.flush();
      else driver.wake();
    };
    const { core } = driver;
    const isOwn = core.role === 'leader' || core.leader === 0 || LOCAL.has(opOf(frame));
    if (isOwn) void this.#answer(frame).then(respond);
    else this.relay.pass(core.leader, frame, sink);
  }

  /** Takes one that the node `peer` has passed on. It is not passed on again. */
  takePassed(peer: NodeId, token: number, bytes: Uint8Array, start: number, end: number): void {
    void this.#answer(copyOf(bytes, start, end)).then((response) => {
      this.relay.answer(peer, token, response);
    });
  }

  /** The whole response frame; never rejects. */
  async #answer(frame: Uint8Array): Promise<Uint8Array> {
    const out = new ByteWriter(512);
    const requestId = frame.length < FRAME_HEADER_BYTES ? 0 : frameRequestId(frame, 0);
    try {
      const carryOut = reading(() =>
        this.#read(decodeFields(frame, FRAME_HEADER_BYTES, frame.length, 'admin')),
      );
      encodeResponse(out, requestId, Status.ok, encodeValue(await carryOut()));
    } catch (error) {
      const known = CordwoodError.is(error) ? error : internal(error);
      encodeErrorResponse(out, requestId, statusOfError(known), known.code, known.message);
    }
    return out.take();
  }

  /** What carries the request out. */
  #read(request: Fields): () => object | Promise<object> {
    const { driver, clusterId } = this.#target;
    const op = request.string('op', 32);
    const known = FIELDS.get(op);
    // A `dryrun` that was passed over would be the change itself.
    if (known !== undefined) request.only(known);
    if (op === 'members') return () => membersOf(driver, clusterId);
    if (op === 'explain') return () => this.#target.explain();
    const timeoutMs = request.has('timeoutMs') ? request.integer('timeoutMs', 86_400_000) : undefined;
    if (op === 'transfer') {
      const target = request.has('target') ? request.integer('target') : 0;
      return async () => ({ leader: await this.#target.handOver(target, timeoutMs) });
    }
    const change = targetOf(op, request, driver.core.config);
    const options: ChangeOptions = {
      dryRun: request.flag('dryRun'),
      force: request.flag('force'),
      ...(request.has('expectedConfigIndex')
        ? { expectedConfigIndex: request.integer('expectedConfigIndex') }
        : {}),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    };
    return () => this.#target.reconfigure(change, options);
  }
}

/** What is wrong with a request's fields is the mistake of who asks, not of a peer that this node has asked. */
function reading<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!CordwoodError.is(error) || error.code !== 'PROTOCOL_ERROR') throw error;
    throw new CordwoodError('MALFORMED', error.message, { cause: error });
  }
}

const OF_CHANGES = ['op', 'dryRun', 'force', 'expectedConfigIndex', 'timeoutMs'];

/** What each request may say. */
const FIELDS: ReadonlyMap<string, readonly string[]> = new Map([
  ['members', ['op']],
  ['explain', ['op']],
  ['transfer', ['op', 'target', 'timeoutMs']],
  ['set', [...OF_CHANGES, 'voters', 'learners', 'members']],
  ['add', [...OF_CHANGES, 'id', 'address', 'learner']],
  ['promote', [...OF_CHANGES, 'id']],
  ['remove', [...OF_CHANGES, 'id']],
]);

/** Questions that any node answers for itself. */
const LOCAL: ReadonlySet<string> = new Set(['members', 'explain']);

function opOf(frame: Uint8Array): string {
  try {
    return decodeFields(frame, FRAME_HEADER_BYTES, frame.length, 'admin').string('op', 32);
  } catch {
    return '';
  }
}

/** What a request for one change makes of the configuration in force. */
function targetOf(op: string, request: Fields, config: Config): MembershipTarget {
  const { voters, learners } = config;
  switch (op) {
    case 'set':
      return {
        voters: idsOf(request.get('voters'), 'voters'),
        learners: request.has('learners') ? idsOf(request.get('learners'), 'learners') : [],
        members: request.has('members') ? addressesOf(request.get('members')) : [],
      };
    case 'add': {
      const id = request.integer('id');
      const members = [{ id, peerAddress: request.string('address', 512) }];
      const asLearner = request.flag('learner');
      if (asLearner)
        return { voters, learners: voters.includes(id) ? learners : withId(learners, id), members };
      return { voters: withId(voters, id), learners: without(learners, id), members };
    }
    case 'promote': {
      const id = request.integer('id');
      if (!learners.includes(id) && !voters.includes(id)) throw bad(`node ${id} is no learner`);
      return { voters: withId(voters, id), learners: without(learners, id) };
    }
    case 'remove': {
      const id = request.integer('id');
      return { voters: without(voters, id), learners: without(learners, id) };
    }
    default:
      throw new CordwoodError('UNSUPPORTED', `admin: this node does not know ${JSON.stringify(op)}`);
  }
}

function idsOf(value: unknown, what: string): NodeId[] {
  if (!Array.isArray(value) || value.length > MAX_LIST || !value.every((id) => Number.isSafeInteger(id)))
    throw bad(`${what} is no list of node ids`);
  return value as NodeId[];
}

function addressesOf(value: unknown): { id: NodeId; peerAddress: string }[] {
  if (!Array.isArray(value) || value.length > MAX_LIST) throw bad('members is no list');
  return value.map((member: unknown) => {
    const { id, peerAddress } = (member ?? {}) as Record<string, unknown>;
    if (!Number.isSafeInteger(id) || typeof peerAddress !== 'string')
      throw bad('members is no list of {id, peerAddress}');
    return { id: id as NodeId, peerAddress };
  });
}

function withId(ids: readonly NodeId[], id: NodeId): NodeId[] {
  return ids.includes(id) ? [...ids] : [...ids, id];
}

function without(ids: readonly NodeId[], id: NodeId): NodeId[] {
  return ids.filter((other) => other !== id);
}

/** The status that makes a client do the right thing: try again, ask again, or report. */
function statusOfError(error: CordwoodError): Status {
  if (error.outcome === 'unknown') return Status.unknown;
  switch (error.code) {
    case 'NOT_LEADER':
    case 'NO_LEADER':
      return Status.noLeader;
    case 'SHUTTING_DOWN':
      return Status.shuttingDown;
    case 'UNSUPPORTED':
      return Status.unsupported;
    case 'MALFORMED':
      return Status.malformed;
    default:
      return Status.refused;
  }
}

function internal(cause: unknown): CordwoodError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new CordwoodError('OUTCOME_UNKNOWN', `admin: ${message}`, { cause });
}

function bad(message: string): CordwoodError {
  return new CordwoodError('BAD_OPTION', message);
}
