export { startServer } from './front-door.ts';
export type { Server, ServerOptions } from './front-door.ts';
export { defaultLimits } from './limits.ts';
export type { ServerLimits } from './limits.ts';
