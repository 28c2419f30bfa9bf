import { fail, type CheckedNode } from './core-checker.ts';
import type { SimLog } from './sim-log.ts';

/** What was durable by the log's own word must be found again by the next process on that disk. */
export function checkRecovery(node: CheckedNode, before: SimLog, now: SimLog): void {
  const { recovery } = now;
  const damage = recovery.damage ?? recovery.doubt;
  if (damage !== null) {
    fail(node, `recovery finds damage after a crash: ${damage.file} at ${damage.offset}: ${damage.reason}`);
  }
  const { hardState } = before;
  const found = recovery.hardState;
  if (found.term < hardState.term) {
    fail(node, `term ${hardState.term} was durable, found is ${found.term}`);
  }
  if (found.term === hardState.term && found.vote !== hardState.vote && hardState.vote !== 0) {
    fail(node, `the vote of term ${found.term} is another one`);
  }
  const from = Math.max(before.durable.prevIndex, now.durable.prevIndex, recovery.snapshot?.index ?? 0);
  for (const entry of before.durable.entries) {
    if (entry.index <= from) continue;
    const again = now.durable.get(entry.index);
    if (again?.id === entry.id) continue;
    // It was about to be replaced, and has been; what stood behind it went with it.
    if (again && again.term > entry.term) break;
    const what = `entry ${entry.index}/${entry.term} was durable and is gone`;
    fail(node, `${what} (log ends at ${recovery.lastIndex})`);
  }
}
