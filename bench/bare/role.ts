import type { AddressInfo, Server } from 'node:net';

/** A running part of the pipeline. */
export interface Role {
  readonly port: number;
  close(): void;
}

export function listening(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}
