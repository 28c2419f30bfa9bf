/**
 * Cordwood: a Raft consensus engine to embed, and a replicated stack server built on it.
 *
 * `cordwood` has everything to run nodes and talk to them; `cordwood/client` the client alone; `cordwood/server` the
 * front door (TCP and HTTP) for a node; `cordwood/protocol` the wire; `cordwood/testing` the simulator.
 */
export { RaftNode, type CloseOptions } from './node/node.ts';
export type { Backup, BackupOptions } from './node/backup.ts';
export type { Explanation, Finding } from './node/explain.ts';
export type { ChangeOptions, ChangeResult } from './node/membership.ts';
export type { MembershipTarget } from './node/membership-plan.ts';
export type { LatencyCounts } from './node/latency.ts';
export type { NodeMetrics } from './node/metrics.ts';
export type { MembersView, MemberView } from './node/types.ts';
export type { RecoveryProgress } from './log/recovery-progress.ts';
export type { LeaderInfo, Logger, NodeOptions, NodeStatus, PeerStatus, Requests } from './node/types.ts';
export { systemRuntime, type Runtime } from './node/runtime.ts';
export type { Sink } from './node/sink.ts';
export { VERSION } from './node/version.ts';
export * from './machine/index.ts';
export * from './client/index.ts';
export {
  CordwoodError,
  ErrorCodes,
  type CordwoodErrorOptions,
  type ErrorCode,
  type Outcome,
} from '../protocol/errors.ts';
export { ReadLevel, Status } from '../protocol/constants.ts';
export { ByteWriter } from '../protocol/byte-writer.ts';
