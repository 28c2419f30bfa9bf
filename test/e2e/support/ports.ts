import { createServer } from 'node:net';

/**
 * Below what Linux and macOS hand out for outgoing connections: while a node is down nothing else must get its port.
 */
const FIRST_PORT = 13_000;
const LAST_PORT = 31_999;

// Test files run at the same time: each process begins at a place of its own.
let next = FIRST_PORT + ((process.pid * 61) % (LAST_PORT - FIRST_PORT));

/** Ports of 127.0.0.1 that nobody listens on, and that no other call in this process has returned. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let tries = 0; ports.length < count; tries++) {
    if (tries > LAST_PORT - FIRST_PORT) throw new Error('no free ports');
    const port = next;
    next = next === LAST_PORT ? FIRST_PORT : next + 1;
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => {
      resolve(false);
    });
    probe.listen({ host: '127.0.0.1', port, exclusive: true }, () => {
      probe.close(() => {
        resolve(true);
      });
    });
  });
}
