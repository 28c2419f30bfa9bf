/**
 * Cordwood: a Raft consensus engine to embed, and a replicated stack server built on it.
 *
 * `cordwood` has everything to run nodes and talk to them; `cordwood/client` the client alone; `cordwood/server` the
 * front door (TCP and HTTP) for a node; `cordwood/protocol` the wire; `cordwood/testing` the simulator.
 */
export { RaftNode, type CloseOptions } from './node/node.ts';
export type { NodeOptions } from './node/types.ts';
export { systemRuntime } from './node/runtime.ts';
export { VERSION } from './node/version.ts';
export type * from './node/index.ts';
export { CommandError, defaultStackLimits, defineMachine, StackMachine } from './machine/index.ts';
export type {
  ApplyMeta,
  MachineDefinition,
  SnapshotView,
  StackLimits,
  StateMachine,
} from './machine/index.ts';
export * from './client/index.ts';
export { ByteWriter } from '../protocol/byte-writer.ts';
