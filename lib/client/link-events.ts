import type { LeaderHint } from '../../protocol/client-codec.ts';
import type { CordwoodError } from '../../protocol/errors.ts';
import type { Call } from './call.ts';
import type { Connection } from './connection.ts';

/** What a link to a cluster tells whoever sends calls over it. */
export interface LinkEvents {
  /** Requests go to `link.active` from now on. */
  onReady(connection: Connection): void;
  /** The connection has ended; its calls are still in `requests`. */
  onLost(connection: Connection, error: CordwoodError): void;
  /** `connection` does not answer and another one is there: calls that may be sent again belong on that. */
  onAbandoned(connection: Connection): void;
  onAnswer(call: Call, status: number, bytes: Uint8Array, start: number, end: number): void;
  onTooLarge(call: Call, bytes: number): void;
  onLeader(leader: LeaderHint | null): void;
  onDrain(): void;
  /** No node is connected, and every address has failed in a way that lasts. `error` is of the last one. */
  onUnreachable(error: CordwoodError): void;
}
