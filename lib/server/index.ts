/** The front door for clients of a node: the binary protocol and HTTP on one port. */
export type * from '../node/index.ts';
export { ErrorCodes, type ErrorCode } from '../../protocol/errors.ts';
export { startServer } from './front-door.ts';
export type { Server, ServerOptions } from './front-door.ts';
export { defaultLimits } from './limits.ts';
export type { ServerLimits } from './limits.ts';
