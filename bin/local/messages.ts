import type { NodeStatus } from '../../lib/node/types.ts';

/** What the supervisor of a local cluster says to a node's process. */
export type ToNode =
  | { readonly type: 'status'; readonly seq: number }
  /** `transfer`: hand leadership over first. */
  | { readonly type: 'stop'; readonly transfer: boolean };

/** What a node's process says to its supervisor. */
export type FromNode =
  | { readonly type: 'ready' }
  | { readonly type: 'leader'; readonly leader: number | null; readonly term: number }
  | { readonly type: 'status'; readonly seq: number; readonly status: NodeStatus }
  | { readonly type: 'failed'; readonly message: string };

/** One node as `cordwood local status` and `cordwood status` show it. */
export interface NodeReport {
  /** 0: not known. */
  readonly id: number;
  readonly state: 'starting' | 'up' | 'silent' | 'stopping' | 'down';
  readonly pid: number | null;
  readonly clientAddress: string;
  readonly peerAddress: string;
  readonly status: NodeStatus | null;
  /** How it ended, if it is down. */
  readonly note: string;
}

/** A request on the control socket: one JSON line, answered with one JSON line. */
export interface ControlRequest {
  readonly command: 'stop' | 'start' | 'restart' | 'status' | 'down';
  readonly id?: number;
}

export interface ControlReply {
  readonly ok: boolean;
  readonly message: string;
  readonly nodes?: readonly NodeReport[];
}
