/** A place to connect to or listen on. */
export interface Address {
  /** Host name or IP address, without brackets. */
  readonly host: string;
  readonly port: number;
}

/**
 * Reads `host:port`; a scheme before it and a path behind it are ignored, an IPv6 address stands in brackets.
 *
 * @throws RangeError if there is no host or no port from 0 to 65535.
 *
 * @example
 * parseAddress('http://127.0.0.1:12379'); // { host: '127.0.0.1', port: 12379 }
 */
export function parseAddress(text: string): Address {
  const match = /^(?:[a-z][a-z0-9+.-]*:\/\/)?(?:\[([0-9a-f:.%]+)\]|([^\s:/[\]]+)):(\d{1,5})(?:\/.*)?$/i.exec(
    text.trim(),
  );
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || !(port <= 65_535)) throw new RangeError(`"${text}" is not host:port`);
  return { host, port };
}

/** The opposite of `parseAddress`. */
export function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
