import { createServer, type Server } from 'node:net';

/**
 * Below the range that outgoing connections take theirs from, and below the ports of `cordwood local up` and of the
 * tests: a port stays free while its node is down.
 */
const LOWEST = 10_000;
const HIGHEST = 12_300;

/** `count` ports of 127.0.0.1 that nobody listens on. */
export async function freePorts(count: number): Promise<number[]> {
  const held: Server[] = [];
  try {
    for (let tries = 0; held.length < count; tries++) {
      if (tries > 50 * count) throw new Error('no free ports found');
      const server = await listen(LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST)));
      if (server !== null) held.push(server);
    }
    return held.map((server) => (server.address() as { port: number }).port);
  } finally {
    await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))));
  }
}

function listen(port: number): Promise<Server | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
