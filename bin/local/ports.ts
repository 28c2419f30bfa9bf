import { createServer } from 'node:net';
import { CordwoodError } from '../../protocol/errors.ts';
import type { LocalNode } from './layout.ts';

/** Fails with `ADDRESS_IN_USE` if a port of the layout is taken: better said once, before five processes say it. */
export async function checkPorts(nodes: readonly LocalNode[]): Promise<void> {
  const ports = nodes.flatMap((node) => [node.clientPort, node.peerPort]);
  const taken = (await Promise.all(ports.map(isTaken))).flatMap((is, i) => (is ? [ports[i]!] : []));
  if (taken.length === 0) return;
  const which = taken.length === 1 ? `port ${taken[0]} is` : `ports ${taken.join(', ')} are`;
  throw new CordwoodError(
    'ADDRESS_IN_USE',
    `${which} in use. Another cluster? It can be given other ports and data: --base-port 7380 --data DIR`,
  );
}

function isTaken(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(true));
    probe.listen({ host: '127.0.0.1', port, exclusive: true }, () => probe.close(() => resolve(false)));
  });
}
