import { randomFillSync } from 'node:crypto';
import { createServer, type AddressInfo } from 'node:net';
import { parseAddress } from '../../../protocol/address.ts';
import type { LogSizes } from '../../../lib/log/log-options.ts';
import { DirectLogStore } from '../../../lib/log/direct-log-store.ts';
import { MemoryDisk } from '../../../lib/log/memory-disk.ts';
import type { OpenEnvironment } from '../../../lib/node/bootstrap.ts';
import { createTcpTransport } from '../../../lib/transport/tcp-transport.ts';

/** Real sockets, the real log, a disk in memory that outlives the node: for tests of the driver. */
export function memoryEnvironment(disk: MemoryDisk, sizes: Partial<LogSizes> = {}): OpenEnvironment {
  return (_options, resolved, events) => {
    const log = new DirectLogStore({
      disk,
      path: 'node',
      events,
      schedule: (_step, _bytes, run) => {
        setImmediate(run);
      },
      random: (bytes) => {
        randomFillSync(bytes);
      },
      sizes: { minSegmentBytes: 256 << 10, maxSegmentBytes: 1 << 20, ...sizes },
    });
    const self = resolved.members[resolved.id - 1]!;
    return Promise.resolve({
      clusterId: 'test',
      log,
      connect: (transportEvents) =>
        createTcpTransport({
          identity: {
            clusterId: 'test',
            nodeId: resolved.id,
            incarnation: `incarnation-${resolved.id}`,
            clientAddress: resolved.clientAddress,
          },
          listen: parseAddress(self.peerAddress),
          events: transportEvents,
        }),
      release: () => Promise.resolve(),
    });
  };
}

/** Ports that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(
    servers.map(
      (server) =>
        new Promise<void>((resolve) => {
          server.listen(0, '127.0.0.1', resolve);
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(
    servers.map(
      (server) =>
        new Promise((resolve) => {
          server.close(resolve);
        }),
    ),
  );
  return ports;
}
