import type { IncomingHttpHeaders } from 'node:http';
import { isLoopback } from './loopback.ts';

/** Whom the gateway listens to, beside everyone who is no browser. */
export interface DefencePolicy {
  /** The server listens on a loopback address only. */
  readonly loopback: boolean;
  /** Lower-case host names, without port. */
  readonly hosts: ReadonlySet<string>;
}

export function defencePolicy(listenHost: string, allowedHosts: readonly string[]): DefencePolicy {
  const hosts = [listenHost, ...allowedHosts].map((host) => host.toLowerCase());
  return { loopback: isLoopback(listenHost), hosts: new Set(hosts) };
}

/**
 * Why a request is refused, or null. The gateway has no cookies and no passwords to steal, but a page of any site
 * can make its visitor's browser send requests to the visitor's own machine; two ways in are closed here:
 *
 * - A page of another origin: browsers say so in `Origin` or `Sec-Fetch-Site`. A form or a `fetch` without CORS is
 *   sent without asking first, so it must be refused, not merely left unreadable.
 * - DNS rebinding: a name of the attacker's that resolves to 127.0.0.1 makes the page same-origin. A server that
 *   only listens on loopback knows the names it can rightly be called by.
 *
 * curl and other programs send no `Origin`, no `Sec-Fetch-Site` and the host they were given.
 */
export function refusalOf(headers: IncomingHttpHeaders, policy: DefencePolicy): string | null {
  const host = headers.host?.toLowerCase();
  if (policy.loopback && host !== undefined && host !== '') {
    const name = hostName(host);
    if (!isLoopback(name) && !policy.hosts.has(name)) return 'this node is not called by that host name';
  }
  const site = headers['sec-fetch-site'];
  if (site === 'cross-site') return 'requests from pages of other sites are refused';
  const origin = headers.origin;
  if (origin === undefined) return null;
  if (host !== undefined && (origin === `http://${host}` || origin === `https://${host}`)) return null;
  return 'requests from pages of another origin are refused';
}

/** The host of a `Host` header, without port and brackets. */
function hostName(host: string): string {
  if (host.startsWith('[')) return host.slice(1, host.indexOf(']'));
  const colon = host.lastIndexOf(':');
  return colon === -1 ? host : host.slice(0, colon);
}
