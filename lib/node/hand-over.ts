import { CordwoodError } from '../../protocol/errors.ts';
import { isVoter } from '../core/quorum.ts';
import type { RaftCore } from '../core/raft-core.ts';
import type { NodeId, Term } from '../core/types.ts';
import type { Driver } from './driver.ts';
import { isLive } from './liveness.ts';
import type { Turns } from './turns.ts';

/**
 * Hands leadership to `target`, or to the voter that is furthest along (0). Resolves to the new leader once it is
 * known here. See `RaftNode.handOver` for the errors.
 */
export async function handOver(
  driver: Driver,
  turns: Turns,
  target: NodeId,
  timeoutMs: number = 3 * driver.options.electionTimeoutMs,
  signal?: AbortSignal,
): Promise<NodeId> {
  const { core, options } = driver;
  if (core.role !== 'leader') throw new CordwoodError('NOT_LEADER', 'this node does not lead');
  if (target === options.id) return target;
  if (target !== 0 && !isVoter(core.config, target))
    throw new CordwoodError('BAD_OPTION', `node ${target} is no voter`);
  // Proposals wait while leadership is handed over: not for somebody who will not answer.
  const candidates = target === 0 ? core.config.voters : [target];
  if (!candidates.some((id) => id !== options.id && isLive(driver, id))) throw unreachable(target);
  turns.wake();
  const { term } = core;
  const to = core.transfer(target);
  if (to === 0) throw unreachable(target);
  const taken = (): boolean => {
    if (!leads(core, term)) {
      if (core.leader !== 0) return true;
      // A whole cluster that stops: nobody is left who could be elected.
      if (core.config.voters.some((id) => id !== options.id && driver.connected.has(id))) return false;
      throw unreachable(0);
    }
    if (core.transferring && isLive(driver, to)) return false;
    const message = `node ${to} did not take over; node ${options.id} leads on`;
    if (!core.hasHandedOver) throw new CordwoodError('TIMEOUT', message);
    // The request is on its way, and whoever gets it late still takes it.
    throw new CordwoodError('TIMEOUT', `${message}, and a node that was asked may yet take over`, {
      outcome: 'unknown',
    });
  };
  const deadlineMs = turns.now() + timeoutMs;
  try {
    await turns.until(taken, { deadlineMs, signal }, 'no new leader is known in time');
  } catch (error) {
    if (!CordwoodError.is(error) || (leads(core, term) && !core.hasHandedOver)) throw error;
    throw new CordwoodError(error.code, error.message, { outcome: 'unknown', cause: error });
  }
  return core.leader;
}

function leads(core: RaftCore, term: Term): boolean {
  return core.role === 'leader' && core.term === term;
}

function unreachable(target: NodeId): CordwoodError {
  const message = target === 0 ? 'no other voter can be reached' : `node ${target} cannot be reached`;
  return new CordwoodError('UNREACHABLE', message);
}
