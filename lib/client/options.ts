import { formatAddress, parseAddress } from '../../protocol/address.ts';
import { Limits } from '../../protocol/constants.ts';
import {
  badOption,
  checkOptions,
  flag,
  MAX_TIMER_MS,
  required,
  signal,
  texts,
  wholeNumber,
  type Rules,
} from '../node/check-options.ts';

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
  /**
   * Bytes that requests hold in the client at most, waiting or on the wire: of each what is sent, and 600 more. Calls
   * beyond it fail with `BUSY`. Default 256 MiB, which is 400,000 small ones.
   */
  readonly maxQueuedBytes?: number;
  /** Largest answer taken from a node. Default 64 MiB. */
  readonly maxResponseBytes?: number;
  /** A connection that is silent this long with requests on it is given up for another. Default 500. */
  readonly stallMs?: number;
  /** Ends `connect`; the connected client does not look at it any more. */
  readonly signal?: AbortSignal;
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

const callMs = wholeNumber(1, MAX_TIMER_MS);

const RULES: Rules<ClientOptions> = {
  addresses: required(texts('a list of client addresses, one or more', 1)),
  timeoutMs: callMs,
  connectTimeoutMs: callMs,
  session: flag,
  sessionTtlMs: callMs,
  preferLeader: flag,
  // One below the protocol's window: the window counts from the lowest unanswered to the newest, both included.
  maxOutstanding: wholeNumber(1, Limits.maxSessionWindow - 1),
  maxOutstandingBytes: wholeNumber(1, 2 ** 40),
  maxQueuedBytes: wholeNumber(1, 2 ** 40),
  maxResponseBytes: wholeNumber(64, 2 ** 31),
  stallMs: wholeNumber(20, MAX_TIMER_MS),
  signal,
};

/** @throws CordwoodError `BAD_OPTION`, naming the option */
export function clientSettings(options: ClientOptions): ClientSettings {
  checkOptions(options, RULES);
  return {
    addresses: [...new Set(options.addresses.map((address) => normalAddress(address)))],
    timeoutMs: options.timeoutMs ?? 5000,
    connectTimeoutMs: options.connectTimeoutMs ?? 5000,
    session: options.session ?? true,
    sessionTtlMs: options.sessionTtlMs,
    preferLeader: options.preferLeader ?? true,
    maxOutstanding: options.maxOutstanding ?? 32_768,
    maxOutstandingBytes: options.maxOutstandingBytes ?? 16 << 20,
    maxQueuedBytes: options.maxQueuedBytes ?? 256 << 20,
    maxResponseBytes: options.maxResponseBytes ?? 64 << 20,
    stallMs: options.stallMs ?? 500,
  };
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
    throw badOption('addresses', `must be host:port: ${(cause as Error).message}`, cause);
  }
  throw badOption('addresses', `must name a port to connect to: "${address}" has none`);
}
