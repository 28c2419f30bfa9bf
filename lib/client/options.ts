import { formatAddress, parseAddress } from '../../protocol/address.ts';
import { Limits } from '../../protocol/constants.ts';
import { CordwoodError } from '../../protocol/errors.ts';

export interface ClientOptions {
  /** Client addresses of some nodes of the cluster, `host:port`; a scheme is ignored. The others are learned. */
  readonly addresses: readonly string[];
  /** How long a call may take, retries included. Default 5000. */
  readonly timeoutMs?: number;
  /** How long `connect` looks for a node that answers. Default 5000. */
  readonly connectTimeoutMs?: number;
  /**
   * With a session (the default) a command whose answer was lost is sent again and still runs once. Without one
   * it is not sent again: its outcome is `unknown`.
   */
  readonly session?: boolean;
  /** How long the cluster keeps the session of a client it does not hear from. Default 10 minutes. */
  readonly sessionTtlMs?: number;
  /** Go to the leader (the default), or stay on whichever node answered first; followers forward. */
  readonly preferLeader?: boolean;
  /** Requests on the wire at most; more wait in the client. Default 32768, at most 65535. */
  readonly maxOutstanding?: number;
  /** Bytes of requests on the wire at most; more wait in the client. Default 16 MiB. */
  readonly maxOutstandingBytes?: number;
  /** Bytes of requests the client holds at most, waiting or on the wire. Calls beyond it fail with `BUSY`. Default 256 MiB. */
  readonly maxQueuedBytes?: number;
  /** Largest answer taken from a node. Default 64 MiB. */
  readonly maxResponseBytes?: number;
  /** A connection that is silent this long with requests on it is given up for another. Default 500. */
  readonly stallMs?: number;
  /** Ends `connect`; the connected client does not look at it any more. */
  readonly signal?: AbortSignal;
  /** Reserved. */
  readonly token?: string;
}

/** Options every call takes. */
export interface CallOptions {
  /** Ends the wait, not the command: `error.outcome` tells whether it may still run. */
  readonly signal?: AbortSignal | undefined;
  /** How long the call may take, retries included. Default: the client's. */
  readonly timeoutMs?: number | undefined;
}

export interface ClientSettings {
  readonly addresses: readonly string[];
  readonly timeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly session: boolean;
  readonly sessionTtlMs: number | undefined;
  readonly preferLeader: boolean;
  readonly maxOutstanding: number;
  readonly maxOutstandingBytes: number;
  readonly maxQueuedBytes: number;
  readonly maxResponseBytes: number;
  readonly stallMs: number;
}

/** Longest timeout; also what Node's timers can count. */
const MAX_TIMEOUT_MS = 0x7fffffff;

/** @throws CordwoodError `BAD_OPTION` */
export function clientSettings(options: Omit<ClientOptions, 'signal'>): ClientSettings {
  const addresses = [...new Set(options.addresses.map(normalAddress))];
  return {
    addresses,
    timeoutMs: integer('timeoutMs', options.timeoutMs, 5000, 1, MAX_TIMEOUT_MS),
    connectTimeoutMs: integer('connectTimeoutMs', options.connectTimeoutMs, 5000, 1, MAX_TIMEOUT_MS),
    session: options.session ?? true,
    sessionTtlMs:
      options.sessionTtlMs === undefined
        ? undefined
        : integer('sessionTtlMs', options.sessionTtlMs, 0, 1, MAX_TIMEOUT_MS),
    preferLeader: options.preferLeader ?? true,
    // One below the protocol's window: the window counts from the lowest unanswered to the newest, both included.
    maxOutstanding: integer('maxOutstanding', options.maxOutstanding, 32_768, 1, Limits.maxSessionWindow - 1),
    maxOutstandingBytes: integer('maxOutstandingBytes', options.maxOutstandingBytes, 16 << 20, 1, 2 ** 40),
    maxQueuedBytes: integer('maxQueuedBytes', options.maxQueuedBytes, 256 << 20, 1, 2 ** 40),
    maxResponseBytes: integer('maxResponseBytes', options.maxResponseBytes, 64 << 20, 64, 2 ** 31),
    stallMs: integer('stallMs', options.stallMs, 500, 20, MAX_TIMEOUT_MS),
  };
}

function integer(
  name: string,
  value: number | undefined,
  fallback: number,
  min: number,
  max: number,
): number {
  if (value === undefined) return fallback;
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new CordwoodError('BAD_OPTION', `${name} must be an integer from ${min} to ${max}, not ${value}`);
  }
  return value;
}

/**
 * `host:port` without scheme, path and upper case; IPv6 hosts in brackets.
 *
 * @throws CordwoodError `BAD_OPTION`
 */
export function normalAddress(address: string): string {
  try {
    const { host, port } = parseAddress(address);
    if (port > 0) return formatAddress(host.toLowerCase(), port);
  } catch (cause) {
    throw new CordwoodError('BAD_OPTION', (cause as Error).message, { cause });
  }
  throw new CordwoodError('BAD_OPTION', `"${address}" has no port to connect to`);
}
