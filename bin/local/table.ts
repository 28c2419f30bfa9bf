import Table from 'cli-table3';
import type { NodeReport } from './messages.ts';

/** The nodes of a cluster, a line each; with the numbers of their processes if any is known. */
export function nodeTable(reports: readonly NodeReport[]): string {
  const pids = reports.some(({ pid }) => pid !== null);
  const head = ['node', 'role', 'term', 'applied', 'clients: HTTP and binary', 'peers'];
  const table = new Table({
    head: pids ? [...head, 'pid'] : head,
    style: { head: [], border: [], compact: true },
  });
  for (const { id, state, pid, clientAddress, peerAddress, status, note } of reports) {
    const role =
      status === null ? STATES[state] : status.quarantine === null ? ROLES[status.role] : 'quarantined';
    table.push([
      id === 0 ? '-' : id,
      state === 'down' && note !== '' && note !== 'stopped' ? `${role}: ${note}` : role,
      status?.term ?? '-',
      status?.appliedIndex ?? '-',
      clientAddress,
      peerAddress,
      ...(pids ? [pid ?? '-'] : []),
    ]);
  }
  return table.toString();
}

const STATES: Readonly<Record<NodeReport['state'], string>> = {
  starting: 'starting',
  up: 'up',
  silent: 'not answering',
  stopping: 'stopping',
  down: 'down',
};

const ROLES = {
  leader: 'leader',
  follower: 'follower',
  candidate: 'candidate',
  preCandidate: 'candidate',
} as const;
