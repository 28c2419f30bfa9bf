import { formatAddress, parseAddress } from '../../protocol/address.ts';
import { localLayout } from '../local/layout.ts';
import { UsageError } from './exit-codes.ts';

/** Where to find the cluster: `--addr`, else CORDWOOD_ADDR, else the five nodes of `cordwood local up`. */
export function clusterAddresses(given: string | undefined): string[] {
  const text = given ?? process.env['CORDWOOD_ADDR'];
  if (text === undefined || text.trim() === '') return localLayout(5).map((node) => node.clientAddress);
  return addressList(text, given === undefined ? 'CORDWOOD_ADDR' : '--addr');
}

/** Comma-separated `host:port`, schemes dropped. */
export function addressList(text: string, option: string): string[] {
  return text.split(',').map((part) => {
    try {
      const { host, port } = parseAddress(part);
      return formatAddress(host, port);
    } catch {
      throw new UsageError(`${option}: "${part.trim()}" is not host:port`);
    }
  });
}

/** One `host:port`. */
export function oneAddress(text: string, option: string): string {
  const [address, ...more] = addressList(text, option);
  if (more.length > 0) throw new UsageError(`${option} takes one address, not ${more.length + 1}`);
  return address!;
}

/** `4=host:port` as a member. */
export function memberAddress(text: string): { id: number; peerAddress: string } {
  const [id = '', address = ''] = text.split('=', 2);
  if (!/^[1-9]\d*$/.test(id)) throw new UsageError(`"${text}" is not ID=host:port`);
  return { id: Number(id), peerAddress: oneAddress(address, text) };
}
