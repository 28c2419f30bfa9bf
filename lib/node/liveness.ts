import type { NodeId } from '../core/types.ts';
import type { Driver } from './driver.ts';

/** Whether a node answers at the moment, as this one sees it. Only a leader hears from all others regularly. */
export function isLive(driver: Driver, id: NodeId): boolean {
  const { core, options } = driver;
  if (id === options.id) return true;
  if (!driver.connected.has(id)) return false;
  const progress = core.progressOf(id);
  return progress === undefined || driver.now - progress.lastActiveMs < options.electionTimeoutMs;
}

/**
 * Whether a node's vote and acks can be counted on, as far as is known here: it answers, and is not in quarantine. A change
 * that made one in quarantine part of a majority would wait until that has fetched its log; and where the leader is
 * lost meanwhile, for ever: nobody is elected without its vote, and it does not vote before somebody leads.
 */
export function canVote(driver: Driver, id: NodeId): boolean {
  if (!isLive(driver, id)) return false;
  const progress = driver.core.progressOf(id);
  // A new leader has heard of no loss yet, and an old one may hear of it before the next report.
  const whole = progress === undefined || progress.match >= progress.neededIndex;
  return whole && driver.reports.of(id)?.quarantined !== true;
}
