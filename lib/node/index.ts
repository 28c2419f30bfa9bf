/** What a node takes and says of itself: the types that several entries of the package name. */
export type { Config, Index, Member, NodeId, Role, Term } from '../core/types.ts';
export type { RecoveryProgress } from '../log/recovery-progress.ts';
export type { SnapshotOrigin } from '../log/snapshot-format.ts';
export type { ByteWriter } from '../../protocol/byte-writer.ts';
export type { Backup, BackupOptions } from './backup.ts';
export type { Explanation, Finding, FindingCode, FindingCodes } from './explain.ts';
export type { LatencyCounts } from './latency.ts';
export type { ChangeOptions, ChangeResult } from './membership.ts';
export type { MembershipTarget } from './membership-plan.ts';
export type { NodeMetrics } from './metrics.ts';
export type { Runtime } from './runtime.ts';
export type { Sink } from './sink.ts';
export type { SnapshotCounts } from './snapshot-taker.ts';
export type {
  LeaderInfo,
  Logger,
  MembersView,
  MemberView,
  NodeStatus,
  PeerStatus,
  Requests,
} from './types.ts';
