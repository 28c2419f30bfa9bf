import type { Driver } from './driver.ts';
import type { LatencyCounts } from './latency.ts';
import type { SnapshotCounts } from './snapshot-taker.ts';
import type { NodeStatus } from './types.ts';

/** What is worth watching about a node, sampled; durations in milliseconds, sizes in bytes. */
export interface NodeMetrics {
  readonly status: NodeStatus;
  /** Requests taken in and not settled yet. */
  readonly queuedBytes: number;
  readonly saturated: boolean;
  /** How often another node, or nobody, came to lead, as this one saw it. */
  readonly leaderChanges: number;
  readonly segments: number;
  readonly snapshotBytes: number;
  readonly snapshots: SnapshotCounts;
  /** From handing a write to the log until it is durable. */
  readonly sync: LatencyCounts;
  /** On the leader: from proposing a batch until it is committed. */
  readonly commit: LatencyCounts;
  /** What the machine counts, by name. */
  readonly machine: Readonly<Record<string, number>>;
}

/** Collects what the parts of a node count anyway: asking costs, counting hardly does. */
export function metricsOf(driver: Driver, status: NodeStatus, leaderChanges: number): NodeMetrics {
  const { log, snapshots, health, pipeline, state } = driver;
  const { segments, snapshotBytes } = log.stats;
  return {
    status,
    queuedBytes: driver.admission.uncommittedBytes,
    saturated: driver.admission.saturated,
    leaderChanges,
    segments,
    snapshotBytes,
    snapshots: snapshots.counts,
    sync: health.sync.counts(),
    commit: pipeline.proposals.latency.counts(),
    machine: state.machine.counts?.() ?? {},
  };
}
