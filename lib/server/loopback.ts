import { BlockList, isIP } from 'node:net';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/**
 * Whether `host`, a name or an address without brackets, always means this machine. By names, only `localhost` and what
 * is below it do (RFC 6761): `127.evil.example` is a name like any other, and its owner says where it leads.
 */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase();
  const version = isIP(name);
  if (version !== 0) return loopback.check(name, version === 4 ? 'ipv4' : 'ipv6');
  return name === 'localhost' || name.endsWith('.localhost');
}
