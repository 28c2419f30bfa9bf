import { checkOptions, positive, positiveOrInfinite, timeMs, type Rules } from '../node/check-options.ts';

/**
 * What one front door takes from the outside world. Sizes in bytes, times in milliseconds. Each has a default that
 * holds on a machine with 1 GiB of memory.
 */
export interface ServerLimits {
  /**
   * Open client connections, HTTP and binary together; one more is closed at once. Default 10,000; in either case no more
   * than the process may open (`ulimit -n`) without the 256 files that are kept for the node.
   */
  readonly maxConnections: number;
  /** Open client connections of one IP address. Default: no limit of its own. */
  readonly maxConnectionsPerAddress: number;
  /** From the connection to the end of its preamble (or of the first bytes of its HTTP request). Default 5,000. */
  readonly handshakeTimeoutMs: number;
  /**
   * Frames that have not arrived whole, of all binary connections; above it, those that keep the most for the longest
   * are closed. Default 256 MiB.
   */
  readonly maxTotalInputBytes: number;

  /** Unsent answers at which a connection's requests are no longer read. Default 8 MiB. */
  readonly pauseOutputBytes: number;
  /**
   * A connection that takes none of its unsent answers for so long is closed. The kernels' buffers hold megabytes and
   * move on in large steps: of a client that reads 400 KB a second nothing may be seen for 10 s. Default 60,000.
   */
  readonly stallTimeoutMs: number;
  /**
   * Unsent answers at which a connection is closed at once: reads are small and their answers are not, so requests
   * that were read already can still pile up far more than `pauseOutputBytes`. Default 128 MiB.
   */
  readonly maxOutputBytes: number;
  /** Unsent answers of all connections; above it, those that keep the most for the longest are closed. Default 512 MiB. */
  readonly maxTotalOutputBytes: number;

  /** From the start of an HTTP request to the end of its headers. Default 10,000. */
  readonly headersTimeoutMs: number;
  /** From the start of an HTTP request to the end of its body. Default 60,000. */
  readonly requestTimeoutMs: number;
  /** An idle HTTP connection is closed after this. Default 30,000. */
  readonly keepAliveTimeoutMs: number;
  /** All headers of an HTTP request together. Default 16 KiB. */
  readonly maxHeaderBytes: number;
  /** Bodies of HTTP requests that are under way, all together; beyond it large ones wait. Default 64 MiB. */
  readonly maxTotalBodyBytes: number;
  /**
   * HTTP requests that wait behind earlier ones of their connection, on all connections; the connection that brings one
   * more is closed. Default 32,768.
   */
  readonly maxWaitingRequests: number;
  /** How long the gateway tries to carry out an HTTP request that names no time of its own. Default 5,000. */
  readonly commandTimeoutMs: number;
  /** The most a request may ask for. Default 60,000. */
  readonly maxCommandTimeoutMs: number;

  /** On `close`: how long to wait for answers that are under way. Default 2,000. */
  readonly closeGraceMs: number;
}

export const defaultLimits: ServerLimits = {
  maxConnections: 10_000,
  maxConnectionsPerAddress: Infinity,
  handshakeTimeoutMs: 5_000,
  maxTotalInputBytes: 256 << 20,
  pauseOutputBytes: 8 << 20,
  stallTimeoutMs: 60_000,
  maxOutputBytes: 128 << 20,
  maxTotalOutputBytes: 512 << 20,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  keepAliveTimeoutMs: 30_000,
  maxHeaderBytes: 16 << 10,
  maxTotalBodyBytes: 64 << 20,
  maxWaitingRequests: 32_768,
  commandTimeoutMs: 5_000,
  maxCommandTimeoutMs: 60_000,
  closeGraceMs: 2_000,
};

const RULES: Rules<ServerLimits> = {
  maxConnections: positiveOrInfinite,
  maxConnectionsPerAddress: positiveOrInfinite,
  handshakeTimeoutMs: timeMs,
  maxTotalInputBytes: positiveOrInfinite,
  pauseOutputBytes: positiveOrInfinite,
  stallTimeoutMs: timeMs,
  maxOutputBytes: positiveOrInfinite,
  maxTotalOutputBytes: positiveOrInfinite,
  headersTimeoutMs: timeMs,
  requestTimeoutMs: timeMs,
  keepAliveTimeoutMs: timeMs,
  maxHeaderBytes: positive,
  maxTotalBodyBytes: positiveOrInfinite,
  maxWaitingRequests: positiveOrInfinite,
  commandTimeoutMs: timeMs,
  maxCommandTimeoutMs: timeMs,
  closeGraceMs: timeMs,
};

/**
 * The defaults with `given` over them.
 *
 * @throws CordwoodError `BAD_OPTION`
 */
export function resolveLimits(given: Partial<ServerLimits> = {}): ServerLimits {
  checkOptions<Partial<ServerLimits>>(given, RULES, 'limits.');
  const set = Object.entries(given).filter(([, value]: [string, unknown]) => value !== undefined);
  return { ...defaultLimits, ...(Object.fromEntries(set) as Partial<ServerLimits>) };
}
