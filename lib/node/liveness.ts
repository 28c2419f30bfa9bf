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
