import { Kind, Status } from '../../protocol/constants.ts';
import type { NodeMetrics } from '../node/metrics.ts';
import type { Requests } from '../node/types.ts';
import type { FrameTotals } from './counted-requests.ts';
import { errorReply } from './http-reply.ts';
import type { Route } from './http-routes.ts';
import type { PrometheusText } from './prometheus.ts';

/** What the front door counts. */
export interface DoorCounts {
  readonly totals: FrameTotals;
  readonly connections: { readonly binary: number; readonly http: number; readonly total: number };
  readonly output: { readonly bytes: number };
}

/** HTTP requests since the start, by method, route and status. */
export class HttpTotals {
  readonly #counts = new Map<string, number>();

  add(method: string, route: string, status: number): void {
    const key = `${method} ${route} ${status}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }

  list(): [labels: { method: string; route: string; status: string }, count: number][] {
    return [...this.#counts].map(([key, count]) => {
      const [method = '', route = '', status = ''] = key.split(' ');
      return [{ method, route, status }, count];
    });
  }
}

/** `GET /metrics`: this node, its front door and its process, in the text format of Prometheus. */
export function metricsRoute(node: Requests, door: DoorCounts, http: HttpTotals): Route {
  return {
    method: 'GET',
    path: '/metrics',
    handle: async () => {
      if (node.metrics === undefined) return errorReply(400, 'UNSUPPORTED', 'this node counts nothing');
      const { PrometheusText: Text } = await import('./prometheus.ts');
      const text = new Text();
      describeNode(text, node.metrics());
      describeDoor(text, door, http);
      return { status: 200, type: text.contentType, body: await text.render() };
    },
  };
}

const ROLES = ['leader', 'follower', 'candidate', 'preCandidate'] as const;

function describeNode(text: PrometheusText, metrics: NodeMetrics): void {
  const { status, snapshots } = metrics;
  const { clusterId, id, machine, version } = status;
  text.gauge('cordwood_info', 'What runs here; always 1.', [
    [{ cluster: clusterId, node: id, machine, version }, 1],
  ]);
  text.gauge(
    'cordwood_role',
    '1 for the role the node has.',
    ROLES.map((role) => [{ role }, Number(status.role === role)]),
  );
  text.gauge('cordwood_term', 'Term the node is in.', status.term);
  text.gauge('cordwood_leader_id', 'Node that leads, as this one knows; 0: none.', status.leader ?? 0);
  text.counter(
    'cordwood_leader_changes_total',
    'Times another node, or nobody, came to lead.',
    metrics.leaderChanges,
  );
  const indexes = {
    first: status.firstIndex,
    last: status.lastIndex,
    durable: status.durableIndex,
    commit: status.commitIndex,
    applied: status.appliedIndex,
    snapshot: status.snapshotIndex,
  };
  text.gauge(
    'cordwood_index',
    'Positions in the log.',
    Object.entries(indexes).map(([at, index]) => [{ at }, index]),
  );
  text.gauge('cordwood_log_bytes', 'Segments, spares and reserve on disk.', status.logBytes);
  text.gauge('cordwood_log_segments', 'Segment files.', metrics.segments);
  text.gauge('cordwood_snapshot_bytes', 'The newest snapshot on disk.', metrics.snapshotBytes);
  text.gauge('cordwood_disk_free_bytes', 'Room on the disk; 0: not known.', status.diskFreeBytes);
  text.gauge('cordwood_disk_low', '1: too little room to take writes.', Number(status.diskLow));
  text.gauge('cordwood_quarantined', '1: neither votes nor serves.', Number(status.quarantine !== null));
  text.gauge('cordwood_queued_bytes', 'Requests taken in and not settled.', metrics.queuedBytes);
  text.gauge('cordwood_saturated', '1: requests are not read any more.', Number(metrics.saturated));
  text.gauge('cordwood_sessions', 'Open sessions of the cluster.', status.sessions);
  text.counter('cordwood_snapshots_total', 'Snapshots taken by this node.', [
    [{ outcome: 'taken' }, snapshots.taken],
    [{ outcome: 'failed' }, snapshots.failed],
  ]);
  text.gauge('cordwood_snapshot_running', '1: one is being taken.', Number(snapshots.running));
  text.gauge(
    'cordwood_snapshot_duration_seconds',
    'How long the last one took.',
    snapshots.lastDurationMs / 1000,
  );
  text.histogram('cordwood_sync_seconds', 'From a write to the log until it is durable.', metrics.sync);
  text.histogram('cordwood_commit_seconds', 'From proposing a batch until it is committed.', metrics.commit);
  text.gauge(
    'cordwood_peer_connected',
    '1: there is a connection.',
    status.peers.map(({ id: peer, connected }) => [{ peer }, Number(connected)]),
  );
  text.gauge(
    'cordwood_peer_match_index',
    'On the leader: what is durable there.',
    status.peers.flatMap(({ id: peer, match }) => (match === null ? [] : [[{ peer }, match]])),
  );
  for (const [name, value] of Object.entries(metrics.machine)) {
    const help = `Of the machine "${machine}".`;
    if (name.endsWith('_total')) text.counter(`cordwood_machine_${name}`, help, value);
    else text.gauge(`cordwood_machine_${name}`, help, value);
  }
}

function describeDoor(text: PrometheusText, door: DoorCounts, http: HttpTotals): void {
  const { connections, output, totals } = door;
  text.gauge('cordwood_connections', 'Open client connections.', [
    [{ protocol: 'binary' }, connections.binary],
    [{ protocol: 'http' }, connections.http],
  ]);
  text.gauge('cordwood_unsent_bytes', 'Answers that clients have not taken yet.', output.bytes);
  text.counter(
    'cordwood_requests_total',
    'Requests of the binary protocol.',
    named(Kind, totals.kinds).map(([kind, count]) => [{ kind }, count]),
  );
  text.counter(
    'cordwood_answers_total',
    'Answers of the binary protocol.',
    named(Status, totals.statuses).map(([status, count]) => [{ status }, count]),
  );
  text.counter('cordwood_http_requests_total', 'HTTP requests that were answered.', http.list());
}

/** The counts that are not 0, with their names; a number without one is its own name. */
function named(names: Readonly<Record<string, number>>, counts: Float64Array): [string, number][] {
  const known = new Map(Object.entries(names).map(([name, value]) => [value, name]));
  return [...counts].flatMap((count, value) =>
    count === 0 ? [] : [[known.get(value) ?? String(value), count]],
  );
}
