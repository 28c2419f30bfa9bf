export { ReadLevel, Status } from '../../protocol/constants.ts';
export {
  CordwoodError,
  ErrorCodes,
  type CordwoodErrorOptions,
  type ErrorCode,
  type Outcome,
} from '../../protocol/errors.ts';
export type { LeaderHint } from '../../protocol/client-codec.ts';
export type * from '../node/index.ts';
export { type Channel, type ChannelEvents } from './channel.ts';
export { Client, type ListOptions } from './client.ts';
export type {
  Answer,
  ClientCore,
  ClientEvents,
  CommandOptions,
  ConnectedNode,
  QueryOptions,
  ReadLevelName,
} from './client-core.ts';
export { type ChangeCallOptions, ClusterAdmin, type NewMember } from './cluster-admin.ts';
export type { CallOptions, ClientOptions } from './options.ts';
export type { StackInfo } from './stack-operations.ts';
export { Stack } from './stack.ts';
