import path from 'node:path';
import { UsageError } from '../support/exit-codes.ts';

/** Where one node of a cluster on this machine lives. */
export interface LocalNode {
  readonly id: number;
  readonly clientPort: number;
  readonly peerPort: number;
  readonly clientAddress: string;
  readonly peerAddress: string;
}

export const MAX_LOCAL_NODES = 9;
const HOST = '127.0.0.1';

/**
 * The nodes of a local cluster. By default on the ports of the original stack server: clients at 12380, 22380, …
 * 52380, peers one port below. With a base port (or more nodes than fit that way) they lie close together: node N
 * takes clients on base + 10 (N − 1), peers again one port below.
 */
export function localLayout(nodes: number, basePort?: number): LocalNode[] {
  const base = basePort ?? 12_380;
  const step = basePort === undefined && nodes <= 5 ? 10_000 : 10;
  const last = base + step * (nodes - 1);
  if (base < 2 || last > 65_535)
    throw new UsageError(`--base-port ${base} leaves no room for ${nodes} nodes`);
  return Array.from({ length: nodes }, (_, i) => {
    const clientPort = base + step * i;
    const peerPort = clientPort - 1;
    return {
      id: i + 1,
      clientPort,
      peerPort,
      clientAddress: `${HOST}:${clientPort}`,
      peerAddress: `${HOST}:${peerPort}`,
    };
  });
}

/** Directory of all nodes of a local cluster; each has one of its own below it. */
export const DEFAULT_LOCAL_DATA: string = path.join('cordwood-data', 'local');
